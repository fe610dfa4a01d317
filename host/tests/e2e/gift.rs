//! The way of a gift, from the request to both sides of the ledger.

use reqwest::Method;
use serde_json::{Value, json};

use super::site::Site;
use super::support::{GOLD, ROOM, STREAMER, event_id, gift, gifts};

const VIEWER: i64 = 1001;

#[tokio::test]
async fn a_gift_is_debited_pushed_and_settled_on_both_sides_and_survives_a_restart() {
    let site = Site::open().await;
    let server = site.start().await;
    server.open_room(ROOM, &[STREAMER]).await;
    server.recharge(VIEWER, 1_000).await;
    let viewer = server.viewer(VIEWER);
    let mut events = viewer.events(ROOM, None).await;

    let id = event_id();
    let answer = viewer.ok(Method::POST, &gifts(ROOM), gift(&id, 3)).await;
    assert_eq!(answer["total"], "30");
    assert_eq!(answer["balance"], "970");
    assert_eq!(answer["replayed"], false);

    let pushed = events.next_of("gift.sent").await;
    assert_eq!((&pushed["eventId"], &pushed["total"]), (&json!(id), &json!("30")));

    let again = viewer.ok(Method::POST, &gifts(ROOM), gift(&id, 3)).await;
    assert_eq!((&again["balance"], &again["replayed"]), (&json!("970"), &json!(true)));
    viewer.refused(Method::POST, &gifts(ROOM), gift(&id, 4), 422, 20003).await;

    server.settled(&[VIEWER]).await;
    assert_eq!(server.balance(VIEWER, GOLD).await, 970);
    assert_eq!(server.balance(STREAMER, GOLD).await, 21);
    let records = viewer.ok(Method::GET, "/v1/users/me/asset-records?assetType=1", Value::Null).await;
    assert_eq!(records["records"][0]["eventId"], json!(id));
    assert_eq!(records["records"][0]["delta"], "-30");
    server.reconciles().await;
    server.stop();

    let server = site.start().await;
    assert_eq!(server.balance(STREAMER, GOLD).await, 21);
    let answer = server.viewer(VIEWER).ok(Method::POST, &gifts(ROOM), gift(&id, 3)).await;
    assert_eq!((&answer["balance"], &answer["replayed"]), (&json!("970"), &json!(true)));
    server.viewer(VIEWER).refused(Method::POST, &gifts(ROOM), gift(&id, 4), 422, 20003).await;
    let answer = server.viewer(VIEWER).ok(Method::POST, &gifts(ROOM), gift(&event_id(), 1)).await;
    assert_eq!(answer["balance"], "960");
    server.reconciles().await;
    server.stop();
}
