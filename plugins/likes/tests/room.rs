//! Likes in a whole room: many viewers, repeats and races, the cap, the total that the room sees, cheating, a restart in the middle.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

use std::time::Duration;

use futures::StreamExt;
use futures::future::join_all;
use futures::stream;
use greenroom_testkit::{House, Watch, event_id};
use serde_json::{Value, json};

const PERIOD: Duration = Duration::from_millis(500);

fn likes(event_id: &str, count: i64) -> Value {
    json!({ "eventId": event_id, "count": count })
}

/// Passes over totals until this one, which must be the last; none of them may be above it or go back.
async fn total(seen: &mut Watch, expected: i64) -> Value {
    let mut before = 0;
    loop {
        let push = seen.next("likes.total").await;
        let total = push["total"].as_i64().unwrap();
        assert!(before < total && total <= expected, "{total} after {before}, {expected} expected");
        if total == expected {
            return push;
        }
        before = total;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rooms_likes_are_counted_once_and_capped_and_the_last_total_is_told() {
    let house = House::open(&["likes"]).await;
    let room = house.room(json!([{ "name": "likes", "config": { "topLen": 3 } }])).await;
    let mut seen = room.viewer(1).watch().await;

    // 200 viewers at once, each says everything twice.
    let crowd = (1001..1201).flat_map(|user_id| [user_id, user_id]).map(|user_id| {
        let viewer = room.viewer(user_id);
        async move { viewer.post("likes", likes("e1", 1 + user_id % 5)).await.ok() }
    });
    let answers: Vec<Value> = stream::iter(crowd).buffer_unordered(16).collect().await;
    assert_eq!(answers.iter().filter(|answer| answer["replayed"] == false).count(), 200);
    house.clock.advance(PERIOD);
    let push = total(&mut seen, 600).await;
    assert_eq!(room.viewer(1).get("likes").await.ok(), push);

    // One viewer from several places at once: 30 are what may be gathered, whatever is sent.
    let anna = room.viewer(2001);
    let sent: Vec<String> = (0..5).map(|_| event_id()).collect();
    let answers = join_all(sent.iter().map(|event_id| anna.post("likes", likes(event_id, 9)))).await;
    let counted: Vec<i64> = answers.into_iter().map(|answer| answer.ok()["counted"].as_i64().unwrap()).collect();
    assert_eq!(counted.iter().sum::<i64>(), 30, "{counted:?}");
    // A repetition has its answer, also when there is nothing left; and when there is something again.
    for _ in 0..2 {
        let again = anna.post("likes", likes(&sent[0], 9)).await.ok();
        assert_eq!(again, json!({ "counted": counted[0], "replayed": true }));
        house.clock.advance(PERIOD);
    }
    // A second has passed: ten more.
    assert_eq!(anna.post("likes", likes("e-later", 10_000)).await.ok()["counted"], 10);
    assert_eq!(anna.post("likes", likes("e-none", 1)).await.ok()["counted"], 0);
    house.clock.advance(PERIOD);
    let push = total(&mut seen, 640).await;

    // The top likers, once in a while.
    house.clock.advance(Duration::from_secs(5));
    let mut top = seen.next("likes.top").await;
    while top["likers"][0]["likes"] != 40 {
        top = seen.next("likes.top").await;
    }
    let names: Vec<&str> = top["likers"].as_array().unwrap().iter().map(|p| p["userId"].as_str().unwrap()).collect();
    assert_eq!(names, ["2001", "1004", "1009"]);
    assert_eq!(room.viewer(1).get("likes/top").await.ok(), top);

    // A restart forgets nothing: totals, allowances, repetitions.
    let room_id = room.room_id;
    let house = house.restart().await;
    let room = house.known_room(room_id);
    let anna = room.viewer(2001);
    let mut seen = room.viewer(1).watch().await;
    assert_eq!(room.viewer(1).get("likes").await.ok(), push);
    assert_eq!(anna.post("likes", likes("e-later", 10_000)).await.ok(), json!({ "counted": 10, "replayed": true }));
    assert_eq!(anna.post("likes", likes("e-after", 1)).await.ok()["counted"], 1);
    house.clock.advance(PERIOD);
    let push = total(&mut seen, 641).await;

    // The stream ends: the total stays, and no more likes.
    house.clock.advance(Duration::from_secs(60));
    let stream_id = push["streamId"].as_str().unwrap().to_owned();
    room.operator().delete("streams/current").await.ok();
    let _ = anna.post("likes", likes("e-end", 1)).await.refused(409, "stream-not-live");
    assert_eq!(anna.get(&format!("likes/streams/{stream_id}")).await.ok(), push);
    let _ = anna.get("likes/streams/another").await.refused(404, "stream-without-likes");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_cheats_gains_nothing() {
    let house = House::open(&["likes"]).await;
    let room = house.room(json!([{ "name": "likes" }])).await;
    let other = house.room(json!([{ "name": "likes" }])).await;
    let (anna, mut seen) = (room.viewer(1001), room.viewer(1).watch().await);
    assert_eq!(anna.post("likes", likes("e1", 5)).await.ok()["counted"], 5);
    for count in [json!(0), json!(-5), json!(10_001), json!(1.5), json!("7"), json!(u64::MAX), json!(null)] {
        let _ = anna.post("likes", json!({ "eventId": "e2", "count": count })).await.refused(400, "invalid-request");
    }
    // Time, user and stream are the host's to say.
    for forged in ["nowMs", "atMs", "userId", "streamId", "roomId"] {
        let body = json!({ "eventId": "e2", "count": 1, forged: 1 });
        let _ = anna.post("likes", body).await.refused(400, "invalid-request");
    }
    let _ = anna.post("likes", likes("", 1)).await.refused(400, "invalid-request");
    let _ = anna.post("likes", likes("a b", 1)).await.refused(400, "invalid-request");
    // The event id is of another count.
    let _ = anna.post("likes", likes("e1", 25)).await.refused(422, "event-id-reused");
    // Another's event id is nothing to take away, and another room is another allowance and another total.
    assert_eq!(room.viewer(1002).post("likes", likes("e1", 1)).await.ok()["replayed"], false);
    assert_eq!(other.viewer(1001).post("likes", likes("e1", 30)).await.ok()["counted"], 30);
    // New event ids do not help against the cap.
    let answers = join_all((0..4).map(|index| {
        let anna = anna.clone();
        async move { anna.post("likes", likes(&format!("new-{index}"), 10_000)).await.ok() }
    }));
    let counted: i64 = answers.await.iter().map(|answer| answer["counted"].as_i64().unwrap()).sum();
    assert_eq!(counted, 25);
    house.clock.advance(PERIOD);
    let _ = total(&mut seen, 31).await;
    house.close().await;
}
