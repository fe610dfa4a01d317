//! What must never happen: faults of published designs, each provoked over HTTP.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::site::Site;
use super::support::{GOLD, ROOM, STREAMER, Server, event_id, gift, gifts};

const ANNA: i64 = 1001;
const BERT: i64 = 1002;

async fn room(site: &Site) -> Server {
    let server = site.start().await;
    server.open_room(ROOM, &[STREAMER]).await;
    server.recharge(ANNA, 1_000).await;
    server.recharge(BERT, 1_000).await;
    server
}

fn change(event_id: &str, payer: i64, receiver: i64, amount: i64) -> Value {
    json!({
        "eventId": event_id, "opUserId": payer, "eventType": "interactGift", "bizId": "7", "bizType": 1, "objId": "o",
        "opUserAssetChange": { "userId": payer, "assetType": GOLD, "incr": -amount },
        "toUserAssetChange": { "userId": receiver, "assetType": GOLD, "incr": amount },
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_requests_with_one_event_id_debit_once() {
    let site = Site::open().await;
    let server = room(&site).await;
    let (viewer, id) = (server.viewer(ANNA), event_id());
    let path = gifts(ROOM);
    let answers = futures::future::join_all((0..32).map(|_| viewer.call(Method::POST, &path, gift(&id, 1)))).await;
    assert!(
        answers.iter().all(|(status, answer)| *status == StatusCode::OK && answer["balance"] == "990"),
        "{answers:?}"
    );
    assert_eq!(answers.iter().filter(|(_, answer)| answer["replayed"] == false).count(), 1);
    server.settled(&[ANNA]).await;
    assert_eq!(server.balance(ANNA, GOLD).await, 990);
    server.reconciles().await;
    server.stop();
}

#[tokio::test]
async fn a_lost_answer_is_found_by_asking_again() {
    let site = Site::open().await;
    let server = room(&site).await;
    let (viewer, id) = (server.viewer(ANNA), event_id());
    let path = gifts(ROOM);
    for wait_us in [0, 50, 200, 500, 1_000, 2_000, 5_000] {
        let lost = viewer.call(Method::POST, &path, gift(&id, 1));
        let _ = tokio::time::timeout(Duration::from_micros(wait_us), lost).await;
    }
    let answer = viewer.ok(Method::POST, &path, gift(&id, 1)).await;
    assert_eq!(answer["balance"], "990");
    server.settled(&[ANNA]).await;
    assert_eq!(server.balance(ANNA, GOLD).await, 990);
    server.reconciles().await;
    server.stop();
}

#[tokio::test]
async fn a_user_without_an_account_is_an_error_and_the_server_goes_on() {
    let site = Site::open().await;
    let server = room(&site).await;
    server.viewer(9_999).refused(Method::POST, &gifts(ROOM), gift(&event_id(), 1), 404, 20002).await;
    server.viewer(ANNA).ok(Method::POST, &gifts(ROOM), gift(&event_id(), 1)).await;
    server.stop();
}

#[tokio::test]
async fn a_batch_over_the_limit_is_refused_and_one_at_the_limit_is_done() {
    let site = Site::open().await;
    let server = room(&site).await;
    let service = server.service();
    let batch = |count: usize| {
        let changes: Vec<Value> = (0..count).map(|index| change(&format!("batch-{index}"), ANNA, BERT, 1)).collect();
        json!({ "bizAssetChanges": changes })
    };
    service.refused(Method::POST, "/v1/asset-changes", batch(1_001), 413, 10008).await;
    assert_eq!(server.balance(ANNA, GOLD).await, 1_000);
    let answer = service.ok(Method::POST, "/v1/asset-changes", batch(1_000)).await;
    assert_eq!(answer["bizAssetChangeResList"].as_array().unwrap().len(), 1_000);
    server.settled(&[ANNA]).await;
    assert_eq!((server.balance(ANNA, GOLD).await, server.balance(BERT, GOLD).await), (0, 2_000));
    server.reconciles().await;
    server.stop();
}

#[tokio::test]
async fn too_little_is_told_with_numbers_and_changes_nothing() {
    let site = Site::open().await;
    let server = room(&site).await;
    let problem = server.viewer(ANNA).refused(Method::POST, &gifts(ROOM), gift(&event_id(), 101), 402, 20001).await;
    assert_eq!((&problem["extra"]["balance"], &problem["extra"]["needed"]), (&json!("1000"), &json!("1010")));
    let body = json!({ "bizAssetChanges": [change("poor", ANNA, BERT, 1_001), change("rich", ANNA, BERT, 1)] });
    let answer = server.service().ok(Method::POST, "/v1/asset-changes", body).await;
    let results = answer["bizAssetChangeResList"].as_array().unwrap();
    assert_eq!((&results[0]["errCode"], &results[1]["errCode"]), (&json!(20001), &Value::Null), "{answer}");
    server.settled(&[ANNA]).await;
    assert_eq!(server.balance(ANNA, GOLD).await, 999);
    server.reconciles().await;
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_users_who_pay_each_other_at_once_do_not_block_each_other() {
    let site = Site::open().await;
    let server = room(&site).await;
    let service = &server.service();
    let rounds = futures::future::join_all((0..50).map(|round| async move {
        let there = json!({ "bizAssetChanges": [change(&format!("there-{round}"), ANNA, BERT, 3)] });
        let back = json!({ "bizAssetChanges": [change(&format!("back-{round}"), BERT, ANNA, 2)] });
        let path = "/v1/asset-changes";
        tokio::join!(service.ok(Method::POST, path, there), service.ok(Method::POST, path, back))
    }));
    tokio::time::timeout(Duration::from_secs(60), rounds).await.expect("blocked");
    server.settled(&[ANNA, BERT]).await;
    assert_eq!((server.balance(ANNA, GOLD).await, server.balance(BERT, GOLD).await), (950, 1_050));
    server.reconciles().await;
    server.stop();
}

#[tokio::test]
async fn records_carry_the_amounts_of_every_side() {
    let site = Site::open().await;
    let server = room(&site).await;
    server.viewer(ANNA).ok(Method::POST, &gifts(ROOM), gift(&event_id(), 2)).await;
    server.settled(&[ANNA]).await;
    for (user, delta) in [(ANNA, "-20"), (STREAMER, "14"), (-2, "6")] {
        let path = format!("/v1/users/{user}/asset-records?assetType=1&limit=1");
        let page = server.operator().ok(Method::GET, &path, Value::Null).await;
        assert_eq!(page["records"][0]["delta"], delta, "user {user}: {page}");
    }
    server.stop();
}

#[tokio::test]
async fn the_server_makes_the_price_and_no_amount_is_negative() {
    let site = Site::open().await;
    let server = room(&site).await;
    let viewer = server.viewer(ANNA);
    let with = |field: &str, value: Value| {
        let mut body = gift(&event_id(), 1);
        body[field] = value;
        body
    };
    for (field, value) in [
        ("unit", json!(1)),
        ("price", json!(1)),
        ("total", json!("1")),
        ("count", json!(0)),
        ("count", json!(-1)),
        ("count", json!(1.5)),
        ("count", json!(99_999_999_999_i64)),
        ("count", json!("1")),
        ("eventId", json!("")),
        ("eventId", json!("a b")),
        ("giftId", json!({})),
        ("toUserIds", json!([])),
        ("toUserIds", json!(["77", "77"])),
        ("toUserIds", json!(["78"])),
    ] {
        let body = with(field, value);
        viewer.refused(Method::POST, &gifts(ROOM), body, 400, 10006).await;
    }
    viewer.refused(Method::POST, &gifts(ROOM), with("expectedTotal", json!("9")), 409, 10009).await;
    let answer = viewer.ok(Method::POST, &gifts(ROOM), with("expectedTotal", json!("10"))).await;
    assert_eq!(answer["balance"], "990");
    let negative = json!({ "bizAssetChanges": [change("negative", ANNA, BERT, -5)] });
    let answer = server.service().call(Method::POST, "/v1/asset-changes", negative).await.1;
    let code = answer.get("errCode").unwrap_or(&answer["bizAssetChangeResList"][0]["errCode"]);
    assert_eq!(code, &json!(10006), "{answer}");
    server.settled(&[ANNA]).await;
    assert_eq!((server.balance(ANNA, GOLD).await, server.balance(BERT, GOLD).await), (990, 1_000));
    server.reconciles().await;
    server.stop();
}

#[tokio::test]
async fn an_old_event_is_known_after_everything_in_memory_is_gone() {
    let site = Site::open().await;
    let server = room(&site).await;
    let ids = [event_id(), "order-17".to_owned()];
    for id in &ids {
        server.viewer(ANNA).ok(Method::POST, &gifts(ROOM), gift(id, 1)).await;
    }
    server.settled(&[ANNA]).await;
    server.stop();
    site.forget().await;
    let server = site.start().await;
    for (id, balance) in ids.iter().zip(["990", "980"]) {
        let answer = server.viewer(ANNA).ok(Method::POST, &gifts(ROOM), gift(id, 1)).await;
        assert_eq!((&answer["balance"], &answer["replayed"]), (&json!(balance), &json!(true)));
        server.viewer(ANNA).refused(Method::POST, &gifts(ROOM), gift(id, 2), 422, 20003).await;
    }
    server.reconciles().await;
    server.stop();
}

#[tokio::test]
async fn two_payers_may_use_one_event_id_and_both_are_settled() {
    let site = Site::open().await;
    let server = room(&site).await;
    let id = event_id();
    for payer in [ANNA, BERT] {
        let answer = server.viewer(payer).ok(Method::POST, &gifts(ROOM), gift(&id, 1)).await;
        assert_eq!((&answer["balance"], &answer["replayed"]), (&json!("990"), &json!(false)));
    }
    server.settled(&[ANNA, BERT]).await;
    assert_eq!(server.balance(STREAMER, GOLD).await, 14);
    server.reconciles().await;
    server.stop();
}

#[tokio::test]
async fn a_recharge_is_credited_once() {
    let site = Site::open().await;
    let server = room(&site).await;
    let recharge = |amount: i64| {
        json!({
            "eventId": "paid-1", "userId": "1003", "assetType": GOLD, "amount": amount, "eventType": "orderWX",
            "orderId": "o-9", "transactionId": "t-9",
        })
    };
    for _ in 0..3 {
        server.service().ok(Method::POST, "/v1/recharges", recharge(500)).await;
    }
    server.service().refused(Method::POST, "/v1/recharges", recharge(501), 422, 20003).await;
    server.viewer(ANNA).refused(Method::POST, "/v1/recharges", recharge(500), 403, 100003).await;
    assert_eq!(server.balance(1003, GOLD).await, 500);
    server.reconciles().await;
    server.stop();
}
