//! Each step of the protocol, in the order that goes wrong elsewhere.

use std::time::Duration;

use greenroom::domain::Amount;
use greenroom::ledger::{Error, Voided};
use greenroom::ports::cache::Release;
use greenroom::ports::db::{Ledger as _, PostResult};
use tempfile::TempDir;

use crate::house::{ANNA, BERT, House, gold, hold, new_id, posting};

#[tokio::test]
async fn a_loader_that_slept_does_not_write_an_old_balance_over_a_newer_one() {
    let dir = TempDir::new().unwrap();
    let house = House::open(&dir).await;
    house.credit(ANNA, 100).await;
    house.close().await;
    let house = House::open(&dir).await;

    let slow = house.cache().lease(ANNA).await.unwrap().unwrap();
    let old = house.db.account(ANNA).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let id = new_id();
    house.ledger.hold(hold(ANNA, &id, 60)).await.unwrap();
    house.ledger.post(&[posting(ANNA, BERT, &id, 60)]).await.unwrap();
    assert!(!house.cache().fill(ANNA, slow, old, &[]).await.unwrap());
    assert_eq!(house.spendable(ANNA).await, 40);
    assert_eq!(house.differences().await, Vec::<String>::new());
    house.close().await;
}

#[tokio::test]
async fn a_release_that_meets_an_absent_account_tells_a_load_under_way_to_start_over() {
    let dir = TempDir::new().unwrap();
    let house = House::open(&dir).await;
    house.credit(ANNA, 100).await;
    house.close().await;
    let house = House::open(&dir).await;

    let lease = house.cache().lease(ANNA).await.unwrap().unwrap();
    let old = house.db.account(ANNA).await.unwrap();
    house.db.post(&[posting(ANNA, BERT, &new_id(), 30)]).await.unwrap();
    let new = house.db.account(ANNA).await.unwrap();
    house.cache().release(vec![Release { account: ANNA, events: vec![], settled: new }]).await.unwrap();
    assert!(!house.cache().fill(ANNA, lease, old, &[]).await.unwrap());
    assert_eq!(house.spendable(ANNA).await, 70);
    house.close().await;
}

#[tokio::test]
async fn a_crash_between_post_and_release_is_healed_by_the_next_delivery() {
    let dir = TempDir::new().unwrap();
    let house = House::open(&dir).await;
    house.credit(ANNA, 100).await;
    let id = new_id();
    let answer = house.ledger.hold(hold(ANNA, &id, 60)).await.unwrap();
    house.ledger.durable(answer.position).await.unwrap();
    house.db.post(&[posting(ANNA, BERT, &id, 60)]).await.unwrap();
    house.close().await;

    let house = House::open(&dir).await;
    assert!(house.spendable(ANNA).await <= 40, "more can be spent than is there");
    let results = house.ledger.post(&[posting(ANNA, BERT, &id, 60)]).await.unwrap();
    assert_eq!(results, [PostResult::Duplicate]);
    assert_eq!((house.spendable(ANNA).await, house.settled(BERT).await), (40, 60));
    house.deliver().await;
    assert_eq!(house.differences().await, Vec::<String>::new());
    house.close().await;
}

#[tokio::test]
async fn post_and_void_exclude_each_other() {
    let dir = TempDir::new().unwrap();
    let house = House::open(&dir).await;
    house.credit(ANNA, 100).await;
    let (voided, posted) = (new_id(), new_id());
    for id in [&voided, &posted] {
        let answer = house.ledger.hold(hold(ANNA, id, 30)).await.unwrap();
        house.ledger.durable(answer.position).await.unwrap();
    }
    for _ in 0..2 {
        assert_eq!(house.ledger.void(ANNA, &voided).await.unwrap(), Voided::Voided);
    }
    assert_eq!(house.ledger.post(&[posting(ANNA, BERT, &voided, 30)]).await.unwrap(), [PostResult::Voided]);
    assert_eq!(house.ledger.post(&[posting(ANNA, BERT, &posted, 30)]).await.unwrap(), [PostResult::Posted]);
    assert_eq!(house.ledger.void(ANNA, &posted).await.unwrap(), Voided::AlreadyPosted);
    assert_eq!((house.spendable(ANNA).await, house.settled(BERT).await), (70, 30));
    house.deliver().await;
    assert_eq!(house.differences().await, Vec::<String>::new());
    house.close().await;
}

#[tokio::test]
async fn a_known_event_with_other_content_is_not_posted_and_its_hold_is_given_back() {
    let dir = TempDir::new().unwrap();
    let house = House::open(&dir).await;
    house.credit(ANNA, 100).await;
    let id = new_id();
    house.db.post(&[posting(ANNA, BERT, &id, 10)]).await.unwrap();
    house.close().await;
    let house = House::open(&dir).await;
    // The id claims to be newer than the process, so the database is not asked before the hold.
    house.ledger.balance(ANNA).await.unwrap();
    house.hold_unasked(hold(ANNA, &id, 20)).await;
    assert_eq!(house.ledger.post(&[posting(ANNA, BERT, &id, 20)]).await.unwrap(), [PostResult::Conflict]);
    assert_eq!((house.spendable(ANNA).await, house.settled(BERT).await), (90, 10));
    house.deliver().await;
    assert_eq!(house.differences().await, Vec::<String>::new());
    house.close().await;
}

#[tokio::test]
async fn nobody_spends_what_is_held_and_unknown_accounts_are_refused() {
    let dir = TempDir::new().unwrap();
    let house = House::open(&dir).await;
    house.credit(ANNA, 100).await;
    house.ledger.hold(hold(ANNA, &new_id(), 60)).await.unwrap();
    let refused = house.ledger.hold(hold(ANNA, &new_id(), 41)).await.unwrap_err();
    assert!(matches!(refused, Error::Insufficient { balance: Amount(40), needed: Amount(41) }), "{refused}");
    house.ledger.hold(hold(ANNA, &new_id(), 40)).await.unwrap();
    assert!(matches!(house.ledger.hold(hold(gold(9), &new_id(), 1)).await, Err(Error::NoAccount(_))));
    for amount in [0, -1, i64::MIN] {
        assert!(matches!(house.ledger.hold(hold(ANNA, &new_id(), amount)).await, Err(Error::Invalid(_))));
    }
    house.close().await;
}

#[tokio::test]
async fn reconciliation_finds_a_hold_that_was_given_back_without_being_settled() {
    let dir = TempDir::new().unwrap();
    let house = House::open(&dir).await;
    house.credit(ANNA, 100).await;
    let id = new_id();
    let answer = house.ledger.hold(hold(ANNA, &id, 60)).await.unwrap();
    house.ledger.durable(answer.position).await.unwrap();
    assert_eq!(house.differences().await, Vec::<String>::new());
    house.cache().release(vec![Release { account: ANNA, events: vec![id], settled: None }]).await.unwrap();
    assert_eq!(house.differences().await, ["spendable"]);
    house.close().await;
}

#[tokio::test]
async fn a_thousand_concurrent_loads_read_one_account_and_agree() {
    let dir = TempDir::new().unwrap();
    let house = House::open(&dir).await;
    house.credit(ANNA, 100).await;
    house.close().await;
    let house = House::open(&dir).await;
    let balances = futures::future::join_all((0..1_000).map(|_| house.spendable(ANNA))).await;
    assert!(balances.iter().all(|balance| *balance == 100));
    house.close().await;
}
