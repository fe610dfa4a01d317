//! Durability `settled`: a client is told of a gift once its books are in PostgreSQL, whichever host has written them.

use std::time::{Duration, Instant};

use futures::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::site::Site;
use crate::support::{Client, GOLD, ROOM, STREAMER, Server, event_id, gift, gifts, only};

const PAYERS: [i64; 4] = [1001, 1002, 1003, 1004];
const ROUNDS: usize = 8;
const RICH: i64 = 2001;
const SPENDER: i64 = 2002;
const PATIENCE: Duration = Duration::from_secs(60);

async fn host(site: &Site, data: &TempDir) -> Server {
    let keys = [("GREENROOM_RATE_LIMITS_USER_PER_SECOND", "0"), ("GREENROOM_DISTRIBUTED_DURABILITY", "settled")];
    site.host(data.path(), only(&["gift"]).path(), &keys).await
}

/// Asks again until the answer is a success.
async fn in_the_end(client: &Client, path: &str, body: &Value) -> Value {
    let begun = Instant::now();
    loop {
        let (status, answer) = client.call(Method::POST, path, body.clone()).await;
        if status == StatusCode::OK {
            return answer;
        }
        assert!(begun.elapsed() < PATIENCE, "never a success: {status} {answer}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn recharge(user: i64, amount: i64) -> Value {
    json!({
        "eventId": format!("recharge-{user}"), "userId": user, "assetType": GOLD, "amount": amount,
        "eventType": "orderApple", "orderId": "o1", "transactionId": "t1",
    })
}

fn transfer(event_id: &str, from: i64, to: i64, amount: i64) -> Value {
    json!({ "bizAssetChanges": [{
        "eventId": event_id, "opUserId": from, "eventType": "interactGift", "bizId": "7", "bizType": 1, "objId": "o",
        "opUserAssetChange": { "userId": from, "assetType": GOLD, "incr": -amount },
        "toUserAssetChange": { "userId": to, "assetType": GOLD, "incr": amount },
    }] })
}

/// The one result of a transfer: whether it was done, and the code if not.
async fn paid(host: &Server, change: &Value) -> (bool, Value) {
    let answer = host.service().ok(Method::POST, "/v1/asset-changes", change.clone()).await;
    let result = &answer["bizAssetChangeResList"][0];
    (result["changeRes"] == true, result["errCode"].clone())
}

/// Asks for a transfer until it is a dead letter, whose id this is; it is never told as done. The last answer's code.
async fn becomes_a_dead_letter(host: &Server, change: &Value) -> (String, Value) {
    let begun = Instant::now();
    loop {
        let (is_done, code) = paid(host, change).await;
        assert!(!is_done, "it is not settled");
        let list = host.operator().ok(Method::GET, "/v1/dead-letters", Value::Null).await;
        if let Some(letter) = list["deadLetters"].as_array().unwrap().first() {
            return (letter["id"].as_str().unwrap().to_owned(), code);
        }
        assert!(begun.elapsed() < PATIENCE, "there is never a dead letter; the last answer was {code}");
    }
}

#[tokio::test]
async fn a_gift_is_answered_once_its_books_are_there_over_any_host() {
    let site = Site::open().await;
    let data = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let (a, b) = tokio::join!(host(&site, &data[0]), host(&site, &data[1]));
    a.open_room(ROOM, &[STREAMER]).await;
    for payer in PAYERS {
        in_the_end(&a.service(), "/v1/recharges", &recharge(payer, 10_000)).await;
        in_the_end(&b.viewer(payer), &gifts(ROOM), &gift(&event_id(), 1)).await;
    }
    let one = async |number: usize, payer: i64| {
        let hosts = [&a, &b];
        for round in 0..ROUNDS {
            let id = event_id();
            let (host, other) = (hosts[(number + round) % 2], hosts[(number + round + 1) % 2]);
            let answer = host.viewer(payer).ok(Method::POST, &gifts(ROOM), gift(&id, 1)).await;
            assert!(site.is_posted(payer, &id).await, "{id} was answered before it was settled");
            let again = other.viewer(payer).ok(Method::POST, &gifts(ROOM), gift(&id, 1)).await;
            assert_eq!((&again["replayed"], &again["balance"]), (&json!(true), &answer["balance"]));
        }
    };
    join_all(PAYERS.into_iter().enumerate().map(|(number, payer)| one(number, payer))).await;
    for payer in PAYERS {
        assert_eq!(b.balance(payer, GOLD).await, 10_000 - 10 * (ROUNDS as i64 + 1));
    }
    b.reconciles().await;
    a.stop();
    b.stop();
}

#[tokio::test]
async fn a_dead_letter_is_no_success_until_it_is_replayed_and_never_if_it_is_dropped() {
    let site = Site::open().await;
    let data = TempDir::new().unwrap();
    let host = host(&site, &data).await;
    // All coins that there can be: one more would not fit.
    in_the_end(&host.service(), "/v1/recharges", &recharge(RICH, i64::MAX - 99)).await;
    in_the_end(&host.service(), "/v1/recharges", &recharge(SPENDER, 100)).await;
    let too_much = transfer("too-much", SPENDER, RICH, 100);
    let (letter, code) = becomes_a_dead_letter(&host, &too_much).await;
    assert_eq!(code, json!(30_002));
    // There is room again.
    assert!(paid(&host, &transfer("room", RICH, PAYERS[0], 500)).await.0);
    let path = format!("/v1/dead-letters/{letter}/replay");
    assert_eq!(host.operator().call(Method::POST, &path, Value::Null).await.0, StatusCode::ACCEPTED);
    let begun = Instant::now();
    while !paid(&host, &too_much).await.0 {
        assert!(begun.elapsed() < PATIENCE, "what was replayed is never told");
    }
    assert!(site.is_posted(SPENDER, "too-much").await);

    let dropped = transfer("dropped", PAYERS[0], RICH, 500);
    let (letter, _) = becomes_a_dead_letter(&host, &dropped).await;
    let path = format!("/v1/dead-letters/{letter}");
    host.operator().ok(Method::DELETE, &path, Value::Null).await;
    assert_eq!(paid(&host, &dropped).await, (false, json!(20_005)));
    assert!(!site.is_posted(PAYERS[0], "dropped").await);
    assert_eq!(host.balance(PAYERS[0], GOLD).await, 500);
    host.reconciles().await;
    host.stop();
}
