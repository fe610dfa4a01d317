//! Reconciliation while events wait in Redis's outbox, and nobody relays them.

use std::sync::Arc;

use greenroom::adapters::embedded::{self, SystemClock};
use greenroom::adapters::sqlite::Sqlite;
use greenroom::domain::Amount;
use greenroom::ledger::{Credit, Ledger, Reconciler};
use greenroom::ports::db::{Database as _, Difference};
use tempfile::TempDir;

use crate::fixture::*;
use crate::redis_backend::{begin, single};

#[tokio::test]
async fn what_waits_in_the_outbox_is_on_its_way_and_no_difference() {
    let (backend, folder) = (begin(single()).await, TempDir::new().unwrap());
    let db = Sqlite::open(&folder.path().join("greenroom.db")).await.unwrap();
    // A queue to which nothing comes.
    let queue = embedded::open(embedded::Settings::new(folder.path())).await.unwrap();
    let ledger = Ledger::new(backend.cache.clone(), db.clone(), db.clone(), Arc::new(SystemClock));
    let texts = || "o".to_owned();
    let payer = new_account();
    let credit = Credit {
        event_id: event_id("charge"),
        account: payer,
        amount: Amount(100),
        event_type: texts(),
        order_id: texts(),
        transaction_id: texts(),
    };
    ledger.credit(&credit).await.unwrap();
    held(&*backend.cache, hold_of(payer, "a", 30)).await;

    let reconciler = |outbox| Reconciler {
        cache: backend.cache.clone(),
        ledger: db.clone(),
        deliveries: db.clone(),
        outbox,
        queue: queue.queue.clone(),
    };
    let report = reconciler(Some(backend.outbox.clone() as _)).reconcile().await.unwrap();
    assert_eq!((report.differences, report.events_on_their_way, report.accounts_checked), (Vec::new(), 1, 1));
    let blind = reconciler(None).reconcile().await.unwrap();
    let missing = Difference::Spendable { account: payer, cache: Amount(70), database: "100".into() };
    assert_eq!(blind.differences, [missing]);

    queue.close().await.unwrap();
    db.close().await;
}
