//! What a room does with gifts: combos, rankings, the catalogue, caps, several streamers.

use std::time::{Duration, Instant};

use greenroom_manifest::Role;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::site::Site;
use super::support::{GOLD, ROOM, STREAMER, Server, event_id, gift, gifts};

const ANNA: i64 = 1001;
const BERT: i64 = 1002;
const SECOND_STREAMER: i64 = 78;

async fn room(site: &Site) -> Server {
    let server = site.start().await;
    server.open_room(ROOM, &[STREAMER, SECOND_STREAMER]).await;
    server.recharge(ANNA, 10_000).await;
    server.recharge(BERT, 10_000).await;
    server
}

fn to_one(event_id: &str, count: u32) -> Value {
    let mut body = gift(event_id, count);
    body["toUserIds"] = json!([STREAMER.to_string()]);
    body
}

fn hit(count: u32, end: bool) -> Value {
    let mut body = to_one(&event_id(), count);
    body["comboId"] = json!("c1");
    body["comboEnd"] = json!(end);
    body
}

async fn configure(server: &Server, config: Value) {
    let body = json!({ "enabled": true, "config": config });
    server.operator().ok(Method::PUT, "/v1/rooms/7/plugins/gift", body).await;
}

#[tokio::test]
async fn a_combo_counts_up_and_is_closed_once_by_its_last_hit_or_when_its_window_is_over() {
    let site = Site::open().await;
    let server = room(&site).await;
    configure(&server, json!({ "comboWindowMs": 1_000 })).await;
    let viewer = server.viewer(ANNA);
    let mut events = viewer.events(ROOM, None).await;
    for (count, so_far, end) in [(1, 1, false), (2, 3, false), (1, 4, true)] {
        let answer = viewer.ok(Method::POST, &gifts(ROOM), hit(count, end)).await;
        assert_eq!(answer["comboCount"], so_far, "{answer}");
    }
    let closed = events.next_of("gift.combo").await;
    assert_eq!((&closed["count"], &closed["total"]), (&json!(4), &json!("40")), "{closed}");

    let bert = server.viewer(BERT);
    bert.ok(Method::POST, &gifts(ROOM), hit(5, false)).await;
    let closed = events.next_of("gift.combo").await;
    assert_eq!((&closed["fromUserId"], &closed["count"]), (&json!(BERT.to_string()), &json!(5)), "{closed}");
    server.settled(&[ANNA, BERT]).await;
    server.reconciles().await;
    server.stop();
}

#[tokio::test]
async fn the_ranking_counts_every_gift_once_for_stream_day_and_week() {
    let site = Site::open().await;
    let server = room(&site).await;
    let (anna, bert) = (server.viewer(ANNA), server.viewer(BERT));
    let repeated = to_one(&event_id(), 2);
    for _ in 0..3 {
        anna.ok(Method::POST, &gifts(ROOM), repeated.clone()).await;
    }
    bert.ok(Method::POST, &gifts(ROOM), to_one(&event_id(), 5)).await;
    for period in ["stream", "day", "week"] {
        let path = format!("{}/ranking?period={period}&limit=10", gifts(ROOM));
        let begun = Instant::now();
        let answer = loop {
            let answer = anna.ok(Method::GET, &path, Value::Null).await;
            if answer["ranking"].as_array().is_some_and(|ranking| ranking.len() == 2) {
                break answer;
            }
            assert!(begun.elapsed() < Duration::from_secs(10), "{answer}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        assert_eq!(answer["ranking"][0], json!({ "rank": 1, "userId": BERT.to_string(), "score": "50" }), "{period}");
        assert_eq!(answer["me"], json!({ "rank": 2, "userId": ANNA.to_string(), "score": "20" }), "{period}");
    }
    server.stop();
}

#[tokio::test]
async fn a_changed_price_is_in_force_within_a_second_and_a_repetition_keeps_the_old_one() {
    let site = Site::open().await;
    let server = room(&site).await;
    let (viewer, operator) = (server.viewer(ANNA), server.operator());
    let before = to_one(&event_id(), 1);
    viewer.ok(Method::POST, &gifts(ROOM), before.clone()).await;
    server
        .viewer(ANNA)
        .refused(Method::PUT, "/v1/gifts/2002", json!({ "name": "Rose", "price": 1 }), 403, 100_003)
        .await;
    operator.ok(Method::PUT, "/v1/gifts/2002", json!({ "name": "Rose", "price": "12" })).await;
    let changed = Instant::now();
    loop {
        let list = viewer.ok(Method::GET, &gifts(ROOM), Value::Null).await;
        let rose = list["gifts"].as_array().unwrap().iter().find(|gift| gift["giftId"] == "2002").unwrap().clone();
        if rose["price"] == "12" {
            break;
        }
        assert!(changed.elapsed() < Duration::from_millis(1_500), "{rose}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep_until((changed + Duration::from_secs(1)).into()).await;
    assert_eq!(viewer.ok(Method::POST, &gifts(ROOM), to_one(&event_id(), 1)).await["total"], "12");
    let again = viewer.ok(Method::POST, &gifts(ROOM), before).await;
    assert_eq!((&again["total"], &again["replayed"]), (&json!("10"), &json!(true)));
    server.settled(&[ANNA]).await;
    server.reconciles().await;
    server.stop();
}

#[tokio::test]
async fn each_of_several_streamers_gets_the_whole_count_and_one_must_be_named() {
    let site = Site::open().await;
    let server = room(&site).await;
    let viewer = server.viewer(ANNA);
    viewer.refused(Method::POST, &gifts(ROOM), gift(&event_id(), 1), 400, 10006).await;
    let mut body = gift(&event_id(), 3);
    body["toUserIds"] = json!([STREAMER, SECOND_STREAMER.to_string()]);
    assert_eq!(viewer.ok(Method::POST, &gifts(ROOM), body).await["total"], "60");
    server.settled(&[ANNA]).await;
    for streamer in [STREAMER, SECOND_STREAMER] {
        assert_eq!(server.balance(streamer, GOLD).await, 21);
    }
    assert_eq!(server.balance(-2, GOLD).await, 18);
    assert_eq!(server.balance(ANNA, 3).await, 60);
    server.reconciles().await;
    server.stop();
}

#[tokio::test]
async fn send_rules_are_kept() {
    let site = Site::open().await;
    let server = room(&site).await;
    let rule = |rule: Value| json!({ "name": "Rare", "price": 1, "sendRule": rule });
    let send = |gift_id: &str| {
        let mut body = to_one(&event_id(), 2);
        body["giftId"] = json!(gift_id);
        body
    };
    for (id, forbidding) in [
        ("9001", json!({ "rooms": ["8"] })),
        ("9002", json!({ "roles": ["streamer"] })),
        ("9003", json!({ "minLevel": 5 })),
        ("9004", json!({ "maxCount": 1 })),
    ] {
        server.operator().ok(Method::PUT, &format!("/v1/gifts/{id}"), rule(forbidding)).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    for id in ["9001", "9002", "9003", "9004"] {
        server.viewer(ANNA).refused(Method::POST, &gifts(ROOM), send(id), 403, 10005).await;
    }
    configure(&server, json!({ "allowedGifts": ["2001"] })).await;
    server.viewer(ANNA).refused(Method::POST, &gifts(ROOM), send("2002"), 403, 10005).await;
    server.viewer(ANNA).ok(Method::POST, &gifts(ROOM), send("2001")).await;
    server.stop();
}

#[tokio::test]
async fn a_cap_a_minute_counts_gifts_and_not_repetitions() {
    let site = Site::open().await;
    let server = room(&site).await;
    configure(&server, json!({ "perMinuteCap": 2 })).await;
    let viewer = server.viewer(ANNA);
    let repeated = to_one(&event_id(), 1);
    for _ in 0..5 {
        viewer.ok(Method::POST, &gifts(ROOM), repeated.clone()).await;
    }
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(viewer.call(Method::POST, &gifts(ROOM), to_one(&event_id(), 1)).await.0);
    }
    // The minute may end in between; then a new one begins, with a cap of its own.
    assert!(statuses.contains(&StatusCode::OK) && statuses.contains(&StatusCode::TOO_MANY_REQUESTS), "{statuses:?}");
    server.stop();
}

#[tokio::test]
async fn a_room_can_be_toggled_while_live_and_remembers_who_did_it() {
    let site = Site::open().await;
    let server = room(&site).await;
    let (viewer, streamer) = (server.viewer(ANNA), server.client(STREAMER, Role::Streamer));
    streamer.ok(Method::PUT, "/v1/rooms/7/plugins/gift", json!({ "enabled": false })).await;
    viewer.refused(Method::POST, &gifts(ROOM), to_one(&event_id(), 1), 404, 10003).await;
    streamer.ok(Method::PUT, "/v1/rooms/7/plugins/gift", json!({ "enabled": true })).await;
    viewer.ok(Method::POST, &gifts(ROOM), to_one(&event_id(), 1)).await;
    let trail = server.operator().ok(Method::GET, "/v1/rooms/7/audit", Value::Null).await.to_string();
    assert!(trail.contains("plugin.changed") && trail.contains(&STREAMER.to_string()), "{trail}");
    server.settled(&[ANNA]).await;
    server.stop();

    let server = site.start().await;
    server.viewer(ANNA).ok(Method::POST, &gifts(ROOM), to_one(&event_id(), 1)).await;
    server.operator().ok(Method::DELETE, "/v1/rooms/7/streams/current", Value::Null).await;
    server.viewer(ANNA).refused(Method::POST, &gifts(ROOM), to_one(&event_id(), 1), 409, 10002).await;
    server.stop();
}
