//! A plugin that misbehaves, installed over HTTP beside the gifts of a live room: each failure has its answer, and gifts go on.

use reqwest::Method;
use serde_json::{Value, json};

use super::site::Site;
use super::support::{ROOM, STREAMER, Server, event_id, gift, gifts};

#[path = "../engine/guest.rs"]
#[allow(dead_code, reason = "the engine's tests use all of it")]
mod guest;

const ANNA: i64 = 1001;

/// A room with the gift plugin and the hostile one, within these limits.
async fn room(site: &Site, limits: Value) -> Server {
    let server = site.start().await;
    server.open_room(ROOM, &[STREAMER]).await;
    server.recharge(ANNA, 10_000).await;
    let mut manifest = guest::manifest("hostile");
    manifest["limits"] = limits;
    manifest["routes"][0].as_object_mut().unwrap().remove("request");
    let component = guest::component(include_str!("../engine/hostile.wat"), guest::ALL_IMPORTS, &guest::EXPORTS);
    let (status, answer) = server.operator().upload("/v1/plugins", guest::packed(&component, &manifest)).await;
    assert!(status.is_success(), "{status} {answer}");
    let path = format!("/v1/rooms/{ROOM}/plugins/hostile");
    server.operator().ok(Method::PUT, &path, json!({ "enabled": true })).await;
    server
}

/// Tells the guest what to do by the first byte of the body; the status, the code of the problem and whether to come back later.
async fn act(server: &Server, what: &str) -> (u16, Option<u64>, bool) {
    let answer = server.viewer(ANNA).send(&format!("/v1/rooms/{ROOM}/act"), what).await;
    let (status, later) = (answer.status().as_u16(), answer.headers().contains_key("retry-after"));
    let body: Value = answer.json().await.unwrap();
    (status, body["errCode"].as_u64(), later)
}

async fn a_gift_succeeds(server: &Server) {
    server.viewer(ANNA).ok(Method::POST, &gifts(ROOM), gift(&event_id(), 1)).await;
}

#[tokio::test]
async fn a_trap_and_a_deadline_are_answered_and_open_the_circuit_and_gifts_go_on() {
    let site = Site::open().await;
    let server = room(&site, json!({ "deadline-ms": 50 })).await;
    assert_eq!(act(&server, "").await, (200, None, false));
    for _ in 0..2 {
        assert_eq!(act(&server, "t").await, (502, Some(40_001), false));
        assert_eq!(act(&server, "l").await, (504, Some(40_002), false));
        a_gift_succeeds(&server).await;
    }
    assert_eq!(act(&server, "r").await, (502, Some(40_001), false));
    assert_eq!(act(&server, "").await, (503, Some(40_003), true));
    a_gift_succeeds(&server).await;
    server.settled(&[ANNA]).await;
    server.reconciles().await;
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_is_busy_is_overloaded_alone_and_can_still_be_changed() {
    let site = Site::open().await;
    // Each call takes its 200 ms, one after another, and nobody waits for longer than 500 ms: of six, the last cannot have begun.
    let server = room(&site, json!({ "concurrency-max": 1, "deadline-ms": 200, "timeout-ms": 500 })).await;
    let six = futures::future::join_all((0..6).map(|_| act(&server, "l")));
    let (operator, path) = (server.operator(), format!("/v1/rooms/{ROOM}/plugins/hostile"));
    let change = operator.ok(Method::PUT, &path, json!({ "enabled": true, "config": { "share": 7 } }));
    let (answers, (), _) = tokio::join!(six, a_gift_succeeds(&server), change);
    let (late, refused) = ((504, Some(40_002), false), (503, Some(40_004), true));
    assert!(answers.contains(&late) && answers.contains(&refused), "{answers:?}");
    assert!(answers.iter().all(|answer| [late, refused].contains(answer)), "{answers:?}");
    a_gift_succeeds(&server).await;
    server.settled(&[ANNA]).await;
    server.reconciles().await;
    server.stop();
}
