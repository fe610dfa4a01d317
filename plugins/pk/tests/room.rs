//! A battle of two rooms over HTTP and push.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

use std::cell::RefCell;
use std::time::Duration;

use futures::future::join_all;
use greenroom_testkit::{House, Role, Room, event_id};
use serde_json::{Value, json};

/// From the acceptance of a battle to its beginning, and from a tie to its overtime.
const LEAD: Duration = Duration::from_secs(1);

fn plugins(config: &Value) -> Value {
    json!([{ "name": "pk", "config": config }, { "name": "gift" }])
}

/// The id and the price of a gift in gold coins.
async fn gift(room: &Room<'_>) -> (Value, i64) {
    let gifts = room.viewer(1).get("gifts").await.ok();
    let gift = gifts["gifts"].as_array().unwrap().iter().find(|gift| gift["assetType"] == 1).unwrap().clone();
    (gift["giftId"].clone(), gift["price"].as_str().unwrap().parse().unwrap())
}

/// A battle that begins in a moment.
async fn begun(one: &Room<'_>, other: &Room<'_>, duration_s: u32) -> String {
    let ask = json!({ "eventId": event_id(), "opponentRoomId": other.room_id.to_string(), "durationS": duration_s });
    let made = one.streamer().post("pks", ask.clone()).await.ok();
    assert_eq!(one.streamer().post("pks", ask).await.ok()["replayed"], true);
    let battle_id = made["battleId"].as_str().unwrap().to_owned();
    let live = other.streamer().post(&format!("pks/{battle_id}/accept"), json!(null)).await.ok();
    assert_eq!(live["status"], "live");
    battle_id
}

async fn send(room: &Room<'_>, user_id: i64, gift_id: &Value, count: u32) {
    let sent = json!({ "eventId": event_id(), "giftId": gift_id, "count": count });
    let viewer = room.viewer(user_id);
    let (one, other) = tokio::join!(viewer.post("gifts", sent.clone()), viewer.post("gifts", sent));
    assert!(one.ok()["replayed"] != other.ok()["replayed"]);
}

/// Waits until the battle has this score.
async fn scored(room: &Room<'_>, battle_id: &str, challenger: i64, challenged: i64) {
    let expected = [challenger, challenged].map(|score| json!(score.to_string()));
    for _ in 0..1_000 {
        let battle = room.viewer(1).get(&format!("pks/{battle_id}")).await.ok();
        if [&battle["challenger"]["score"], &battle["challenged"]["score"]] == [&expected[0], &expected[1]] {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let battle = room.viewer(1).get(&format!("pks/{battle_id}")).await.ok();
    assert_eq!([battle["challenger"]["score"].clone(), battle["challenged"]["score"].clone()], expected);
}

#[tokio::test]
async fn the_gifts_of_both_rooms_decide_and_both_rooms_see_it() {
    let house = House::open(&["pk", "gift"]).await;
    let (one, other) = (house.room(plugins(&json!({}))).await, house.room(plugins(&json!({}))).await);
    for user_id in 1_001..1_011 {
        house.give(user_id, 100_000).await;
    }
    let (gift_id, price) = gift(&one).await;
    let (mut seen, mut seen_elsewhere) = (one.viewer(1).watch().await, other.viewer(1).watch().await);
    send(&one, 1_001, &gift_id, 5).await;
    let battle_id = begun(&one, &other, 60).await;
    for seen in [&mut seen, &mut seen_elsewhere] {
        assert_eq!(seen.next("pk.invited").await["battleId"], json!(battle_id));
        assert_eq!(seen.next("pk.started").await["battleId"], json!(battle_id));
    }
    house.clock.advance(LEAD);
    join_all((1_001..1_006).map(|user_id| send(&one, user_id, &gift_id, 2))).await;
    join_all((1_006..1_011).map(|user_id| send(&other, user_id, &gift_id, 3))).await;
    scored(&one, &battle_id, 10 * price, 15 * price).await;
    house.clock.advance(Duration::from_millis(500));
    for seen in [&mut seen, &mut seen_elsewhere] {
        // The last score always arrives, whatever was shown before it.
        while seen.next("pk.score").await["challenged"]["score"] != json!((15 * price).to_string()) {}
    }
    let rooms = (one.room_id, other.room_id);
    drop((seen, seen_elsewhere));
    let house = house.restart().await;
    let (one, other) = (house.known_room(rooms.0), house.known_room(rooms.1));
    let mut seen = one.viewer(1).watch().await;
    house.clock.advance(Duration::from_secs(60));
    // After the end by the host's clock, and before the sums are final.
    send(&one, 1_001, &gift_id, 100).await;
    house.clock.advance(Duration::from_secs(3));
    let ended = seen.next("pk.ended").await;
    assert_eq!((&ended["winner"], &ended["status"]), (&json!("challenged"), &json!("ended")));
    scored(&other, &battle_id, 10 * price, 15 * price).await;
    assert_eq!(other.viewer(1).get("pk").await.ok()["battleId"], json!(battle_id));
    begun(&other, &one, 10).await;
    house.close().await;
}

#[tokio::test]
async fn a_tie_goes_on_and_then_nobody_has_won() {
    let house = House::open(&["pk", "gift"]).await;
    let overtime = json!({ "tie": { "kind": "overtime", "seconds": 30, "times": 1 } });
    let (one, other) = (house.room(plugins(&overtime)).await, house.room(plugins(&json!({}))).await);
    let mut seen = other.viewer(1).watch().await;
    let battle_id = begun(&one, &other, 10).await;
    house.clock.advance(LEAD + Duration::from_secs(13));
    assert_eq!(seen.next("pk.overtime").await["overtimes"], 1);
    house.clock.advance(LEAD + Duration::from_secs(33));
    let ended = seen.next("pk.ended").await;
    assert_eq!((&ended["winner"], &ended["battleId"]), (&json!(null), &json!(battle_id)));
    house.close().await;
}

#[tokio::test]
async fn a_gift_counts_if_it_was_sent_in_the_time_that_the_battle_says() {
    let house = House::open(&["pk", "gift"]).await;
    let overtime = json!({ "tie": { "kind": "overtime", "seconds": 30, "times": 1 } });
    let (one, other) = (house.room(plugins(&overtime)).await, house.room(plugins(&json!({}))).await);
    house.give(1_001, 100_000).await;
    let (gift_id, price) = gift(&one).await;
    let (mut seen, sent) = (other.viewer(1).watch().await, RefCell::new(Vec::new()));
    // As many in both rooms, and settled, so that whoever counts has come to them as well, most likely, before time goes on.
    let both = async || {
        sent.borrow_mut().push(house.clock.now_ms());
        send(&one, 1_001, &gift_id, 1).await;
        send(&other, 1_001, &gift_id, 1).await;
        house.settled(1_001).await;
    };
    both().await;
    let battle_id = begun(&one, &other, 10).await;
    both().await;
    house.clock.advance(LEAD);
    both().await;
    let counts = |battle: &Value| sent.borrow().iter().filter(|at_ms| is_in_time(battle, **at_ms)).count() as i64;
    let begun = counts(&one.viewer(1).get("pk").await.ok());
    scored(&one, &battle_id, begun * price, begun * price).await;
    house.clock.advance(Duration::from_secs(10));
    both().await;
    house.clock.advance(Duration::from_secs(3));
    assert_eq!(seen.next("pk.overtime").await["overtimes"], 1);
    both().await;
    house.clock.advance(LEAD);
    both().await;
    house.clock.advance(Duration::from_secs(33));
    let battle = seen.next("pk.ended").await;
    assert_eq!((begun, counts(&battle)), (1, 2), "once before the end and once in overtime: {battle}");
    scored(&one, &battle_id, 2 * price, 2 * price).await;
    house.close().await;
}

fn is_in_time(battle: &Value, at_ms: u64) -> bool {
    let time = |from: &Value, to: &Value| (from.as_u64().unwrap()..to.as_u64().unwrap()).contains(&at_ms);
    let is_break = |between: &Value| time(&between["fromMs"], &between["toMs"]);
    time(&battle["startedAtMs"], &battle["endsAtMs"])
        && !battle["breaks"].as_array().into_iter().flatten().any(is_break)
}

#[tokio::test]
async fn a_room_is_in_one_battle_and_only_who_is_invited_accepts_in_time() {
    let house = House::open(&["pk", "gift"]).await;
    let config = json!({});
    let (one, other) = (house.room(plugins(&config)).await, house.room(plugins(&config)).await);
    let third = house.room(plugins(&config)).await;
    let without = house.room(json!([])).await;
    let ask = |opponent: &Room<'_>, duration_s: i64| json!({ "eventId": event_id(), "opponentRoomId": opponent.room_id.to_string(), "durationS": duration_s });
    let _ = one.viewer(1_001).post("pks", ask(&other, 60)).await.refused(403, "forbidden");
    let _ = one.somebody(78, Role::Streamer).post("pks", ask(&other, 60)).await.refused(403, "forbidden");
    let _ = one.streamer().post("pks", ask(&one, 60)).await.refused(400, "invalid-request");
    let _ = one.streamer().post("pks", ask(&other, -1)).await.refused(400, "invalid-request");
    let _ = one.streamer().post("pks", ask(&without, 60)).await.refused(404, "no-opponent");
    let to_third = one.streamer().post("pks", ask(&third, 60)).await.ok();
    let accept_third = format!("pks/{}/accept", to_third["battleId"].as_str().unwrap());
    let _ = other.streamer().post(&accept_third, json!(null)).await.refused(403, "not-invited");
    let _ = other.streamer().post("pks/0123/accept", json!(null)).await.refused(404, "battle-not-found");
    let battle_id = begun(&one, &other, 60).await;
    let _ = third.streamer().post(&accept_third, json!(null)).await.refused(409, "room-busy");
    house.clock.advance(LEAD + Duration::from_secs(63));
    let mut patience = 1_000;
    while one.viewer(1).get(&format!("pks/{battle_id}")).await.ok()["status"] != "ended" {
        patience -= 1;
        assert!(patience > 0, "the battle does not end");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let _ = third.streamer().post(&accept_third, json!(null)).await.refused(409, "invitation-over");
    house.close().await;
}

/// Waits until a battle has ended.
async fn ended(room: &Room<'_>, battle_id: &str) -> Value {
    for _ in 0..1_000 {
        let battle = room.viewer(1).get(&format!("pks/{battle_id}")).await.ok();
        if battle["status"] == "ended" {
            return battle;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    room.viewer(1).get(&format!("pks/{battle_id}")).await.ok()
}

#[tokio::test]
async fn a_battle_ends_though_one_of_its_rooms_has_no_pk_any_more() {
    let house = House::open(&["pk", "gift"]).await;
    let config = json!({});
    let (one, other) = (house.room(plugins(&config)).await, house.room(plugins(&config)).await);
    let third = house.room(plugins(&config)).await;
    let battle_id = begun(&one, &other, 60).await;
    let streams = format!("/v1/rooms/{}/streams", other.room_id);
    other.operator().delete(&format!("{streams}/current")).await.ok();
    other.operator().post(&streams, json!({ "plugins": [] })).await.ok();
    house.clock.advance(LEAD + Duration::from_secs(63));
    assert_eq!(ended(&one, &battle_id).await["status"], "ended");
    begun(&third, &one, 10).await;
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_challenges_that_are_accepted_at_once_a_room_is_in_one() {
    let house = House::open(&["pk", "gift"]).await;
    let config = json!({});
    let one = house.room(plugins(&config)).await;
    for _ in 0..4 {
        let mut accepts = Vec::new();
        let mut battles = Vec::new();
        for _ in 0..6 {
            let other = house.room(plugins(&config)).await;
            let ask = json!({ "eventId": event_id(), "opponentRoomId": other.room_id.to_string(), "durationS": 3_600 });
            let made = one.streamer().post("pks", ask).await.ok();
            let battle_id = made["battleId"].as_str().unwrap().to_owned();
            battles.push(battle_id.clone());
            let (streamer, path) = (other.streamer(), format!("pks/{battle_id}/accept"));
            accepts.push(tokio::spawn(async move { streamer.post(&path, json!(null)).await.status }));
        }
        for accept in accepts {
            assert!([200, 409, 503].contains(&accept.await.unwrap()));
        }
        let mut live = Vec::new();
        for battle_id in &battles {
            if one.viewer(1).get(&format!("pks/{battle_id}")).await.ok()["status"] == "live" {
                live.push(battle_id.clone());
            }
        }
        assert!(live.len() <= 1, "{live:?}");
        if let Some(battle_id) = live.first() {
            assert_eq!(one.viewer(1).get("pk").await.ok()["battleId"], json!(battle_id));
        }
        house.clock.advance(LEAD + Duration::from_secs(3_603));
        for battle_id in &live {
            assert_eq!(ended(&one, battle_id).await["status"], "ended");
        }
    }
    house.close().await;
}
