//! The contracts of the db ports over SQLite, and what only this adapter promises: the file, its reopening, planted damage.

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
}

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use contracts::db::ledger::{COIN, account, gift};
use contracts::db::model;
use greenroom::adapters::sqlite::{STATEMENT_TIME_MAX, Sqlite};
use greenroom::domain::{Amount, AssetType, UserId};
use greenroom::ports::cache::Settled;
use greenroom::ports::db::Database as _;
use greenroom::ports::db::{Difference, Error, Ledger, PostResult, Statements, Step, TransactError};
use sqlx::{Connection, Executor, SqliteConnection};
use tempfile::TempDir;

struct Opened {
    folder: TempDir,
    db: Arc<Sqlite>,
}

impl Opened {
    fn db(&self) -> &Sqlite {
        &self.db
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("greenroom.db")
    }

    /// What an administrator with a shell could do to the file.
    async fn damage(&self, sql: &'static str) {
        let url = format!("sqlite://{}", self.path().display());
        let mut connection = SqliteConnection::connect(&url).await.unwrap();
        connection.execute(sql).await.unwrap();
        connection.close().await.unwrap();
    }
}

async fn open() -> Opened {
    let folder = tempfile::tempdir().unwrap();
    let db = Sqlite::open(&folder.path().join("greenroom.db")).await.unwrap();
    Opened { folder, db }
}

db_contracts!(crate::open);

#[test]
fn random_batches_agree_with_a_naive_model() {
    model::random_batches_agree_with_a_naive_model(48, || async {
        let Opened { folder, db } = open().await;
        (Box::new(folder) as Box<dyn std::any::Any>, db as Arc<dyn Ledger>)
    });
}

#[tokio::test]
async fn what_was_written_is_there_after_reopening() {
    let opened = open().await;
    opened.db().post(&[gift("e1", -1, 2, 10)]).await.unwrap();
    opened.db().close().await;
    let after = opened.db().account(account(2, COIN)).await;
    assert!(matches!(after, Err(Error::Unavailable(_))), "{after:?}");
    assert!(!opened.folder.path().join("greenroom.db-wal").exists(), "the log was folded into the file");

    let again = Sqlite::open(&opened.path()).await.unwrap();
    let settled = Settled { balance: Amount(10), version: 1 };
    assert_eq!(again.account(account(2, COIN)).await.unwrap(), Some(settled));
    assert_eq!(again.post(&[gift("e1", -1, 2, 10)]).await.unwrap().results, [PostResult::Duplicate]);
    assert_eq!(again.differences().await.unwrap(), []);
    again.close().await;
}

#[tokio::test]
async fn a_commit_is_in_the_file_without_closing() {
    let opened = open().await;
    opened.db().post(&[gift("e1", -1, 2, 10)]).await.unwrap();
    let copy = tempfile::tempdir().unwrap();
    for name in ["greenroom.db", "greenroom.db-wal"] {
        std::fs::copy(opened.folder.path().join(name), copy.path().join(name)).unwrap();
    }
    let recovered = Sqlite::open(&copy.path().join("greenroom.db")).await.unwrap();
    assert_eq!(recovered.account(account(2, COIN)).await.unwrap().unwrap().balance, Amount(10));
    recovered.close().await;
}

#[tokio::test]
async fn a_file_of_a_newer_program_is_refused() {
    let opened = open().await;
    opened.db().close().await;
    opened.damage("INSERT INTO _sqlx_migrations VALUES (9999, 'future', '2030-01-01', true, x'00', 0)").await;
    match Sqlite::open(&opened.path()).await.map(drop) {
        Err(Error::Refused(words)) => assert!(words.contains("newer program"), "{words}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("greenroom.db");
    std::fs::write(&path, "this is a letter, not a database. ".repeat(100)).unwrap();
    assert!(matches!(Sqlite::open(&path).await.map(drop), Err(Error::Refused(_))));
    let nowhere = folder.path().join("missing").join("greenroom.db");
    assert!(matches!(Sqlite::open(&nowhere).await.map(drop), Err(Error::Unavailable(_))));
}

/// A mint, a payer, a receiver: everything adds up and nobody is below zero.
async fn sound() -> Opened {
    let opened = open().await;
    opened.db().post(&[gift("charge", -1, 1, 100), gift("e1", 1, 2, 30)]).await.unwrap();
    assert_eq!(opened.db().differences().await.unwrap(), []);
    opened
}

#[tokio::test]
async fn a_changed_balance_is_found() {
    let opened = sound().await;
    opened.damage("UPDATE user_asset SET asset_cn = asset_cn + 5 WHERE user_id = 2").await;
    let asset = Difference::AssetSum { asset_type: COIN, sum: "5".into() };
    let sum = Difference::AccountSum { account: account(2, COIN), balance: Amount(35), records: "30".into() };
    assert_eq!(opened.db().differences().await.unwrap(), [asset, sum]);
}

#[tokio::test]
async fn a_changed_entry_is_found() {
    let opened = sound().await;
    opened.damage("UPDATE entry SET delta = -31 WHERE user_id = 1 AND op_user_type = 1").await;
    let (event_id, payer) = ("e1".to_owned(), UserId(1));
    let event = Difference::EventSum { event_id, payer, asset_type: COIN, sum: "-1".into() };
    let sum = Difference::AccountSum { account: account(1, COIN), balance: Amount(70), records: "69".into() };
    assert_eq!(opened.db().differences().await.unwrap(), [event, sum]);
}

#[tokio::test]
async fn a_lost_account_a_lost_event_and_a_lost_entry_are_found() {
    let opened = sound().await;
    opened.damage("DELETE FROM user_asset WHERE user_id = 2; DELETE FROM event WHERE event_id = 'e1'").await;
    let found = opened.db().differences().await.unwrap();
    let asset = Difference::AssetSum { asset_type: COIN, sum: "-30".into() };
    let (event_id, payer) = ("#2".to_owned(), UserId(0));
    let event = Difference::EventSum { event_id, payer, asset_type: COIN, sum: "0".into() };
    let sum = Difference::AccountSum { account: account(2, COIN), balance: Amount(0), records: "30".into() };
    assert_eq!(found, [asset, event, sum]);
}

#[tokio::test]
async fn an_account_below_zero_is_found_unless_it_is_the_mint() {
    let opened = sound().await;
    opened.db().post(&[gift("e2", 3, 2, 1)]).await.unwrap();
    let below = Difference::BelowZero { account: account(3, COIN), balance: Amount(-1) };
    assert_eq!(opened.db().differences().await.unwrap(), [below]);
}

#[tokio::test]
async fn sums_beyond_64_bits_are_still_exact() {
    let opened = sound().await;
    opened
        .damage(
            "INSERT INTO user_asset VALUES (7, 5, 9223372036854775807, 1, 0, 0), (8, 5, 9223372036854775807, 1, 0, 0)",
        )
        .await;
    let found = opened.db().differences().await.unwrap();
    let asset = Difference::AssetSum { asset_type: AssetType(5), sum: "18446744073709551614".into() };
    assert_eq!(found[0], asset);
    assert_eq!(found.len(), 3);
}

#[tokio::test]
async fn a_damaged_row_is_refused_and_not_a_panic() {
    let opened = sound().await;
    opened.damage("UPDATE event SET digest = x'00', created_at = -1, outcome = x'ff'").await;
    let db = opened.db();
    assert!(matches!(db.post(&[gift("e1", 1, 2, 30)]).await, Err(Error::Refused(_))));
    assert!(matches!(db.event(UserId(1), &contracts::db::ledger::event_id("e1")).await, Err(Error::Refused(_))));
    assert!(matches!(db.records(UserId(1), None, None, 10).await, Err(Error::Refused(_))));
}

#[tokio::test]
async fn the_records_are_readable_under_the_name_of_the_design() {
    let opened = sound().await;
    let url = format!("sqlite://{}", opened.path().display());
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    let sql = "SELECT event_id, payer_id, op_user_type, user_id, delta FROM user_asset_record WHERE user_id = 2";
    let row: (String, i64, i64, i64, i64) = sqlx::query_as(sql).fetch_one(&mut connection).await.unwrap();
    assert_eq!(row, ("e1".into(), 1, 2, 2, 30));
}

#[tokio::test]
async fn sqlites_own_doors_are_closed_to_plugins() {
    let opened = open().await;
    let db = opened.db();
    db.migrate("gift", &["CREATE TABLE IF NOT EXISTS gift (id INTEGER PRIMARY KEY)".into()]).await.unwrap();
    for sql in [
        "ATTACH 'other.db' AS other",
        "PRAGMA journal_mode = OFF",
        "SELECT sql FROM sqlite_master",
        "SELECT * FROM pragma_table_info('user_asset')",
        "SELECT * FROM _sqlx_migrations",
        "SELECT load_extension('x')",
        "SELECT randomblob(1000000000)",
        "SELECT id FROM gift WHERE id = ?1",
        "SELECT id FROM gift WHERE id = :id",
        "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n",
        "SELECT id FROM temp.gift",
    ] {
        let answer = db.prepare("gift", sql).await;
        assert!(matches!(answer, Err(Error::Refused(_))), "{sql}: {answer:?}");
    }
    db.prepare("gift", "DELETE FROM gift WHERE id IN (SELECT value FROM json_each($1))").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugins_endless_statement_is_interrupted_and_nobody_else_is() {
    let opened = open().await;
    let db = opened.db();
    db.migrate("gift", &["CREATE TABLE IF NOT EXISTS gift (id INTEGER PRIMARY KEY)".into()]).await.unwrap();
    let ids: Vec<i64> = (0..1_000).collect();
    let ids = greenroom::ports::db::Value::Text(serde_json::to_string(&ids).unwrap());
    let fill = "INSERT INTO gift SELECT value FROM json_each($1)".to_owned();
    db.transact("gift", vec![Step { sql: fill, params: vec![ids], expected_rows: Some(1_000) }]).await.unwrap();

    let endless =
        "(SELECT count(*) FROM gift AS a, gift AS b, gift AS c, gift AS d WHERE a.id + b.id + c.id + d.id = -1)";
    let started = Instant::now();
    let answer = db.query("gift", &format!("SELECT {endless}"), vec![], 1).await;
    assert!(matches!(answer, Err(TransactError::Db(Error::Unavailable(_)))), "{answer:?}");
    let sql = format!("DELETE FROM gift WHERE id = {endless}");
    let answer = db.transact("gift", vec![Step { sql, params: vec![], expected_rows: None }]).await;
    assert!(matches!(answer, Err(TransactError::Db(Error::Unavailable(_)))), "{answer:?}");
    assert!(started.elapsed() < STATEMENT_TIME_MAX * 4);
    assert_eq!(db.post(&[gift("e1", -1, 2, 10)]).await.unwrap().results, [PostResult::Posted]);
    assert_eq!(db.query("gift", "SELECT count(*) FROM gift", vec![], 1).await.unwrap().len(), 1);
}
