//! The contracts of the db ports over PostgreSQL, and what only this adapter promises: several hosts at once, connections that are
//! cut, what the server's own doors let through.
//!
//! Each test has a database of its own on the server at `GREENROOM_TEST_POSTGRES_URL`, dropped afterwards.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    unreachable_pub
)]

#[macro_use]
mod contracts {
    #[macro_use]
    pub mod db;
    pub mod postgres;
}

#[path = "contracts/outage.rs"]
mod outage;
#[path = "faults/proxy.rs"]
#[allow(dead_code, reason = "the faults of the whole use the rest")]
mod proxy;

use std::any::Any;
use std::sync::Arc;

use contracts::db::model;
use contracts::postgres::open;
use greenroom::ports::db::Ledger;

db_contracts!(crate::open);

#[test]
fn random_batches_agree_with_a_naive_model() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let opened = Arc::new(runtime.block_on(open()));
    model::random_batches_agree_with_a_naive_model(48, || {
        let opened = Arc::clone(&opened);
        async move {
            opened.run("TRUNCATE user_asset, event, entries").await;
            let db = opened.shared();
            (Box::new(opened) as Box<dyn Any>, db as Arc<dyn Ledger>)
        }
    });
}
