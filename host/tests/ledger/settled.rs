//! Answers that wait for their books.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use greenroom::adapters::embedded::SystemClock;
use greenroom::ledger::{Error, Ledger};
use greenroom::ports::db::Ledger as _;
use tempfile::TempDir;
use tokio::time::timeout;

use crate::house::{ANNA, BERT, House, digest, hold, new_id, posting};

/// As another process would have it, over the same backends.
fn answering_when_settled(house: &House) -> Ledger {
    let (cache, db) = (house.embedded.cache.clone(), house.db.clone());
    Ledger::new(cache, db.clone(), db, Arc::new(SystemClock)).answering_when_settled()
}

#[tokio::test]
async fn a_client_is_told_once_the_books_are_there_whoever_has_written_them() {
    let dir = TempDir::new().unwrap();
    let house = House::open(&dir).await;
    house.credit(ANNA, 1_000).await;
    let ledger = answering_when_settled(&house);
    for settles in [&ledger, &*house.ledger] {
        let id = new_id();
        let answer = ledger.hold(hold(ANNA, &id, 30)).await.unwrap();
        let mut two = pin!(futures::future::join(
            ledger.tellable(ANNA.user_id, &id, answer.digest),
            ledger.tellable(ANNA.user_id, &id, answer.digest),
        ));
        assert!(timeout(Duration::from_millis(200), two.as_mut()).await.is_err(), "nothing is settled");
        settles.post(&[posting(ANNA, BERT, &id, 30)]).await.unwrap();
        assert!(matches!(two.await, (Ok(()), Ok(()))));
        ledger.tellable(ANNA.user_id, &id, answer.digest).await.unwrap();
        let again = ledger.hold(hold(ANNA, &id, 30)).await.unwrap();
        assert_eq!((again.replayed, again.digest), (true, answer.digest));
    }
    drop(ledger);
    house.close().await;
}

#[tokio::test]
async fn what_is_not_settled_is_told_as_such_and_found_later() {
    let dir = TempDir::new().unwrap();
    let house = House::open(&dir).await;
    house.credit(ANNA, 1_000).await;
    let ledger = answering_when_settled(&house);
    let id = new_id();
    let answer = ledger.hold(hold(ANNA, &id, 30)).await.unwrap();
    let told = ledger.tellable(ANNA.user_id, &id, answer.digest).await;
    assert!(matches!(told, Err(Error::Unsettled(of)) if of == id));
    house.ledger.tellable(ANNA.user_id, &id, answer.digest).await.expect("others do not wait");
    house.ledger.post(&[posting(ANNA, BERT, &id, 30)]).await.unwrap();
    ledger.tellable(ANNA.user_id, &id, answer.digest).await.unwrap();
    drop(ledger);
    house.close().await;
}

#[tokio::test]
async fn a_void_and_other_content_are_never_told_as_a_success() {
    let dir = TempDir::new().unwrap();
    let house = House::open(&dir).await;
    house.credit(ANNA, 1_000).await;
    let ledger = answering_when_settled(&house);
    let voided = new_id();
    ledger.hold(hold(ANNA, &voided, 30)).await.unwrap();
    house.ledger.void(ANNA, &voided).await.unwrap();
    let told = ledger.tellable(ANNA.user_id, &voided, digest(ANNA, 30)).await;
    assert!(matches!(told, Err(Error::Voided(of)) if of == voided));
    // The books have something else under this id.
    let other = new_id();
    ledger.hold(hold(ANNA, &other, 30)).await.unwrap();
    house.db.post(&[posting(ANNA, BERT, &other, 40)]).await.unwrap();
    ledger.post(&[posting(ANNA, BERT, &other, 30)]).await.unwrap();
    let told = ledger.tellable(ANNA.user_id, &other, digest(ANNA, 30)).await;
    assert!(matches!(told, Err(Error::Reused(of)) if of == other));
    drop(ledger);
    house.close().await;
}
