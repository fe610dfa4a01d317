//! What an older program wrote is there for this one.

use greenroom::domain::UserId;
use greenroom::ports::db::Ledger;
use sqlx::migrate::Migrator;
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Executor};

use super::{create, open_as_host, url_of};
use crate::contracts::db::ledger::gift;

static MIGRATIONS: Migrator = sqlx::migrate!("../migrations/postgres");

/// A recharge alone in its batch; then a batch in which user 1 pays twice and user 2 receives and pays.
const OLD_BOOKS: &str = "INSERT INTO event \
    SELECT id, payer, 1, 0, false, event_id, '\\x00000000000000000000000000000000', NULL, '', '', '', '{}' FROM (VALUES \
        (1 << 20 | 1, -1, 'charge'), (2 << 20 | 1, 1, 'e1'), (2 << 20 | 2, 1, 'e2'), (2 << 20 | 3, 2, 'e3') \
    ) AS old (id, payer, event_id); \
    INSERT INTO entry VALUES (-1, 1, 1, 1 << 20 | 1, -100, 1), (1, 1, 1, 1 << 20 | 1, 100, 2), \
        (1, 1, 2, 2 << 20 | 1, -30, 1), (1, 1, 2, 2 << 20 | 2, -20, 1), (2, 1, 1, 2 << 20 | 1, 30, 2), (2, 1, 1, 2 << 20 | 2, 20, 2), \
        (2, 1, 1, 2 << 20 | 3, -5, 1), (3, 1, 1, 2 << 20 | 3, 5, 2); \
    INSERT INTO user_asset VALUES (-1, 1, -100, 1, 0, 0), (1, 1, 50, 2, 0, 0), (2, 1, 45, 1, 0, 0), (3, 1, 5, 1, 0, 0); \
    SELECT setval('event_batch', 2)";

async fn written_by_the_fourth() -> String {
    let name = create().await;
    let mut old = PgConnection::connect(&url_of(&name)).await.unwrap();
    old.execute("CREATE SCHEMA greenroom; SET search_path = greenroom").await.unwrap();
    let until_then = MIGRATIONS.iter().filter(|migration| migration.version <= 4).cloned().collect();
    Migrator { migrations: until_then, ..Migrator::DEFAULT }.run(&mut old).await.unwrap();
    old.execute(OLD_BOOKS).await.unwrap();
    old.close().await.unwrap();
    name
}

#[tokio::test]
async fn books_with_a_row_for_each_entry_add_up_and_are_paged_as_before() {
    let opened = open_as_host(written_by_the_fourth().await).await;
    let db = opened.db();
    assert_eq!(db.differences().await.unwrap(), []);
    db.post(&[gift("e4", 1, 2, 7)]).await.unwrap();
    assert_eq!(db.differences().await.unwrap(), []);
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let (records, next) = db.records(UserId(2), None, after.as_ref(), 1).await.unwrap();
        seen.extend(records.into_iter().map(|record| (record.event_id.to_string(), record.delta.0)));
        let Some(next) = next else { break };
        after = Some(next);
    }
    let expected = [("e4", 7), ("e3", -5), ("e2", 20), ("e1", 30)];
    assert_eq!(seen, expected.map(|(event, delta)| (event.to_owned(), delta)));
}
