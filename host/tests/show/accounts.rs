//! What everybody has at the end, as the ledger says.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::books::Books;
use crate::cast::{Cast, START};
use crate::support::GOLD;
use crate::visitor::{PATIENCE, Visitor, number};

pub const PLATFORM: i64 = -2;

/// Waits until nothing is on its way, and asserts that everything adds up and nothing was set aside.
pub async fn reconciled(operator: &Visitor) {
    let begun = Instant::now();
    loop {
        let report = operator.get("/v1/reconciliation").await.ok();
        assert_eq!(report["differences"], json!([]), "{report}");
        let letters = operator.get("/v1/dead-letters").await.ok();
        assert_eq!(letters["deadLetters"], json!([]), "{letters}");
        if report["accountsBusy"] == 0 && report["eventsOnTheirWay"] == 0 {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "not everything is settled: {report}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Waits until everything that a user has held is in the books.
pub async fn settled(user: &Visitor) {
    let is_settled = |assets: &Value| assets["assets"].as_array().is_some_and(|assets| assets.iter().all(is_free));
    user.until("/v1/users/me/assets", is_settled).await;
}

fn is_free(asset: &Value) -> bool {
    number(&asset["held"]) == 0
}

/// What an account has of gold; 0 if there is none.
pub async fn balance(service: &Visitor, user_id: i64) -> i64 {
    let assets = service.get(&format!("/v1/users/{user_id}/assets")).await;
    let Some(assets) = assets.unless(&["account-not-found", "not-found"]) else { return 0 };
    let assets: &Vec<Value> = assets["assets"].as_array().unwrap();
    assets.iter().find(|asset| asset["assetType"] == GOLD).map_or(0, |gold| number(&gold["settled"]))
}

/// Compares what a cast has with the books of its show. How many coins more than at the start all of it has together.
pub async fn agree(cast: &Cast, books: &Books, service: &Visitor) -> i64 {
    let mut balances = BTreeMap::new();
    for user in cast.viewers.iter().chain([&cast.streamer]) {
        balances.insert(user.user_id, balance(service, user.user_id).await);
    }
    if let Err((user_id, fault)) = books.check(cast, &balances) {
        let records = service.listing(&format!("/v1/users/{user_id}/asset-records"), "records").await;
        panic!("viewer {user_id} of room {} {fault}; the books: {records:#?}", cast.room);
    }
    let begun_with = START * i64::try_from(balances.len()).unwrap();
    balances.values().sum::<i64>() - begun_with
}
