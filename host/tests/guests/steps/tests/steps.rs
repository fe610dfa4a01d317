//! What the SDK builds on a host's atomic steps, timers and rooms by name, in a real host.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::future::join_all;
use futures::stream;
use greenroom_testkit::{House, Role, Visitor};
use serde_json::{Value, json};

/// Timers that are due at the same moment.
const BELLS: u64 = 5_000;
const PATIENCE: Duration = Duration::from_secs(120);

fn vote(event_id: &str, option: u32) -> Value {
    json!({ "eventId": event_id, "option": option })
}

#[tokio::test]
async fn a_repeated_request_has_its_first_answer_and_changes_nothing() {
    let house = House::open(&["steps"]).await;
    let room = house.room(json!([{ "name": "steps" }])).await;
    let anna = room.viewer(1001);
    let answers = join_all((0..20).map(|_| anna.post("steps/votes", vote("e1", 1)))).await;
    let answers: Vec<Value> = answers.into_iter().map(|answer| answer.ok()).collect();
    assert!(answers.iter().all(|answer| answer["option"] == 1), "{answers:?}");
    assert_eq!(answers.iter().filter(|answer| answer["replayed"] == false).count(), 1, "{answers:?}");
    // The check of the vote comes after that of the event id; another's event id is another event.
    assert_eq!(anna.post("steps/votes", vote("e1", 1)).await.ok(), json!({ "option": 1, "replayed": true }));
    let _ = anna.post("steps/votes", vote("e1", 0)).await.refused(422, "event-id-reused");
    assert_eq!(anna.post("steps/votes", vote("e2", 1)).await.refused(409, "voted-for-it")["extra"]["option"], 1);
    let _ = anna.post("steps/votes", vote("e3", 0)).await.refused(409, "no-votes-left");
    assert_eq!(room.viewer(1002).post("steps/votes", vote("e1", 0)).await.ok()["replayed"], false);
    assert_eq!(anna.get("steps/votes").await.ok(), json!({ "options": [1, 1] }));
    house.close().await;
}

#[tokio::test]
async fn votes_of_many_shards_are_summed_and_told_once_a_period_and_the_last_is_told() {
    let house = House::open(&["steps"]).await;
    let room = house.room(json!([{ "name": "steps" }])).await;
    let mut seen = room.viewer(1).watch().await;
    let voters = (1001..1201).map(|user_id| {
        let voter = room.viewer(user_id);
        async move { voter.post("steps/votes", vote("e", u32::from(user_id % 4 == 0))).await.ok() }
    });
    stream::iter(voters).buffer_unordered(16).collect::<Vec<_>>().await;
    // Time stood still: all of them voted in one period, which ends now.
    house.clock.advance(Duration::from_millis(500));
    assert_eq!(seen.next("steps.sums").await, json!({ "options": [150, 50] }));
    room.viewer(2001).post("steps/votes", vote("e", 0)).await.ok();
    house.clock.advance(Duration::from_millis(500));
    assert_eq!(seen.next("steps.sums").await, json!({ "options": [151, 50] }));
    house.close().await;
}

#[tokio::test]
async fn a_consumer_pushes_and_tells_in_the_room_of_its_message_alone() {
    let house = House::open(&["steps"]).await;
    let (room, other) =
        (house.room(json!([{ "name": "steps" }])).await, house.room(json!([{ "name": "steps" }])).await);
    let (mut seen, mut seen_elsewhere) = (room.viewer(1).watch().await, other.viewer(1).watch().await);
    let _ = other.viewer(1001).post("steps/words", vote("there", 0)).await.ok();
    assert_eq!(seen_elsewhere.next("steps.heard").await, "there");
    let _ = room.viewer(1001).post("steps/words", vote("here", 0)).await.ok();
    assert_eq!(seen.next("steps.heard").await, "here", "the first that is heard in this room");
    house.clock.advance(Duration::from_millis(500));
    assert_eq!(seen.next("steps.sums").await, json!({ "options": [0, 0] }));
    house.close().await;
}

#[tokio::test]
async fn after_the_close_nobody_votes_and_it_is_the_rooms_own_streamer_who_closes_and_is_in_its_audit() {
    let house = House::open(&["steps"]).await;
    let room = house.room(json!([{ "name": "steps" }])).await;
    room.viewer(1001).post("steps/votes", vote("e", 0)).await.ok();
    let _ = room.viewer(1001).post("steps/close", json!(null)).await.refused(403, "forbidden");
    let _ = room.somebody(78, Role::Streamer).post("steps/close", json!(null)).await.refused(403, "forbidden");
    let sums = json!({ "options": [1, 0] });
    assert_eq!(room.streamer().post("steps/close", json!(null)).await.ok(), sums);
    let voters = (1001..1201).map(|user_id| {
        let voter = room.viewer(user_id);
        async move { voter.post("steps/votes", vote("late", 1)).await.refused(409, "closed") }
    });
    stream::iter(voters).buffer_unordered(16).collect::<Vec<_>>().await;
    assert_eq!(room.viewer(1001).post("steps/votes", vote("e", 0)).await.ok()["replayed"], true);
    assert_eq!(room.operator().post("steps/close", json!(null)).await.ok(), sums);
    let audit = room.operator().get("audit").await.ok();
    let calls: Vec<_> =
        audit["entries"].as_array().unwrap().iter().filter(|entry| entry["action"] == "plugin.called").collect();
    assert_eq!(calls.iter().map(|entry| entry["by"].clone()).collect::<Vec<_>>(), [json!("1"), json!("77")]);
    let path = format!("/v1/rooms/{}/steps/close", room.room_id);
    assert_eq!(calls[1]["to"], json!({ "plugin": "steps", "method": "POST", "path": path, "body": null }));
    house.close().await;
}

#[tokio::test]
async fn the_first_who_come_are_numbered_once_each() {
    let house = House::open(&["steps"]).await;
    let room = house.room(json!([{ "name": "steps" }])).await;
    let asks = (0..30).map(|n| {
        let visitor = room.viewer(1001 + n % 6);
        async move { (visitor.user_id, visitor.post("steps/places", json!(null)).await) }
    });
    let mut numbers = std::collections::BTreeMap::new();
    for (user_id, answer) in stream::iter(asks).buffer_unordered(8).collect::<Vec<_>>().await {
        if answer.status == 200 {
            let number = answer.ok()["number"].as_i64().unwrap();
            assert_eq!(*numbers.entry(user_id).or_insert(number), number, "user {user_id} keeps the number");
        } else {
            let _ = answer.refused(409, "too-late");
        }
    }
    let mut given: Vec<i64> = numbers.into_values().collect();
    given.sort_unstable();
    assert_eq!(given, [1, 2, 3]);
    house.close().await;
}

/// Sets timers for all bells to ring at that time.
async fn hang(visitor: &Visitor, due_at_ms: u64) {
    for first in (0..BELLS).step_by(500) {
        let bells = json!({ "first": first, "count": 500, "dueAtMs": due_at_ms });
        let begun = Instant::now();
        loop {
            // On a busy machine setting so many may take longer than a call has; a timer of the same name is the same timer.
            let answer = visitor.post("steps/bells", bells.clone()).await;
            if answer.status != 504 {
                let _ = answer.ok();
                break;
            }
            assert!(begun.elapsed() < PATIENCE, "{}", answer.body);
        }
    }
}

/// What has rung, once it is so many.
async fn rung(visitor: &Visitor, at_least: u64) -> Value {
    let begun = Instant::now();
    loop {
        let rung = visitor.get("steps/bells").await.ok();
        if rung["bells"].as_u64().unwrap() >= at_least {
            return rung;
        }
        assert!(begun.elapsed() < PATIENCE, "{rung}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn thousands_of_timers_of_one_moment_all_fire_once() {
    let house = House::open(&["steps"]).await;
    let room = house.room(json!([{ "name": "steps" }])).await;
    let visitor = room.viewer(1001);
    hang(&visitor, house.clock.now_ms() + 60_000).await;
    house.clock.advance(Duration::from_millis(59_999));
    assert_eq!(visitor.get("steps/bells").await.ok(), json!({ "times": 0, "bells": 0 }), "none is due");
    house.clock.advance(Duration::from_millis(1));
    assert_eq!(rung(&visitor, BELLS).await, json!({ "times": BELLS, "bells": BELLS }));
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn thousands_of_timers_of_one_moment_all_fire_once_though_the_host_is_restarted_meanwhile() {
    let house = House::open(&["steps"]).await;
    let room = house.room(json!([{ "name": "steps" }])).await;
    let (room_id, visitor) = (room.room_id, room.viewer(1001));
    hang(&visitor, house.clock.now_ms() + 60_000).await;
    house.clock.advance(Duration::from_secs(60));
    let before = rung(&visitor, 1).await;
    assert!(before["bells"].as_u64().unwrap() < BELLS, "it is not in the middle: {before}");
    // Those that are firing are let finish; the others are due after the start.
    let house = house.restart().await;
    let visitor = house.known_room(room_id).viewer(1001);
    assert_eq!(rung(&visitor, BELLS).await, json!({ "times": BELLS, "bells": BELLS }));
    house.close().await;
}
