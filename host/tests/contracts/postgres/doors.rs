//! Opening, and what plugins cannot reach.

use std::time::{Duration, Instant};

use greenroom::adapters::postgres::{Postgres, Settings};
use greenroom::ports::db::Database as _;
use greenroom::ports::db::{Error, Ledger, PostResult, Statements, Step, TransactError, Value};

use sqlx::{AssertSqlSafe, Executor};

use super::{open, server, url_of};
use crate::contracts::db::ledger::gift;

const TABLE: &str = "CREATE TABLE IF NOT EXISTS gift (id BIGINT PRIMARY KEY, small INTEGER, body BYTEA)";

fn step(sql: &str, params: Vec<Value>) -> Step {
    Step { sql: sql.into(), params, expected_rows: None }
}

#[tokio::test]
async fn tables_of_a_newer_program_are_refused() {
    let opened = open().await;
    opened.run("INSERT INTO _sqlx_migrations VALUES (9999, 'future', '2030-01-01', true, '\\x00', 0)").await;
    match Postgres::open(opened.settings()).await.map(drop) {
        Err(Error::Refused(words)) => assert!(words.contains("newer program"), "{words}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_server_that_is_away_is_unavailable_and_a_closed_door_is_refused() {
    let away = Settings { wait_max: Duration::from_secs(1), ..Settings::new("postgres://a:b@127.0.0.1:1/c") };
    assert!(matches!(Postgres::open(away).await.map(drop), Err(Error::Unavailable(_))));
    let missing = Settings::new(url_of("greenroom_test_missing"));
    assert!(matches!(Postgres::open(missing).await.map(drop), Err(Error::Refused(_))));
    assert!(matches!(Postgres::open(Settings::new("nowhere")).await.map(drop), Err(Error::Refused(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_that_start_at_once_make_the_tables_once() {
    let opened = open().await;
    opened.run("DROP SCHEMA greenroom CASCADE").await;
    let (one, other, third) = tokio::join!(opened.again(), opened.again(), opened.again());
    let schema = [TABLE.to_owned()];
    let (a, b, c) =
        tokio::join!(one.migrate("gift", &schema), other.migrate("gift", &schema), third.migrate("gift", &schema));
    a.and(b).and(c).unwrap();
    assert_eq!(one.post(&[gift("e1", 1, 2, 3)]).await.unwrap().results, [PostResult::Posted]);
    assert_eq!(other.post(&[gift("e1", 1, 2, 3)]).await.unwrap().results, [PostResult::Duplicate]);
}

#[tokio::test]
async fn postgresqls_own_doors_are_closed_to_plugins() {
    let opened = open().await;
    let db = opened.db();
    db.migrate("gift", &[TABLE.into()]).await.unwrap();
    for sql in [
        "SELECT set_config('role', 'none', false)",
        "SELECT Set_Config/**/('role', 'none', false)",
        "SELECT \"set_config\"('role', 'none', false)",
        "SELECT pg_sleep(10)",
        "SELECT pg_catalog.set_config('role', 'none', false)",
        "SELECT query_to_xml('SELECT * FROM greenroom.user_asset', true, false, '')",
        "SELECT lo_create(1)",
        "SELECT repeat('x', 1000000000)",
        "SELECT nextval('greenroom.event_batch')",
        "SELECT * FROM generate_series(1, 1000000000)",
        "SELECT rolname FROM pg_roles",
        "SELECT 'gift'::regclass",
        "SELECT table_name FROM information_schema.tables",
        "SELECT asset_cn FROM greenroom.user_asset",
        "SELECT asset_cn FROM \"greenroom\".\"user_asset\"",
        "SELECT * INTO gift_copy FROM gift",
        "SET ROLE none",
        "RESET ROLE",
        "COPY gift TO '/tmp/x'",
        "DO $$ BEGIN END $$",
        "LOCK TABLE gift",
        "EXPLAIN SELECT id FROM gift",
        "SELECT id FROM gift WHERE id = ?",
        "SELECT id::float8 FROM gift",
        "SELECT id FROM gift WHERE id > $1::float8",
    ] {
        let answer = db.prepare("gift", sql).await;
        assert!(matches!(answer, Err(Error::Refused(_))), "{sql}: {answer:?}");
    }
    for sql in [
        "CREATE TABLE IF NOT EXISTS gift_x (id BIGINT DEFAULT pg_backend_pid())",
        "CREATE TABLE IF NOT EXISTS gift_x (id BIGINT DEFAULT nextval('greenroom.event_batch'))",
        "CREATE TABLE IF NOT EXISTS greenroom.gift_x (id BIGINT)",
        "CREATE TABLE IF NOT EXISTS \"gift_x\" (LIKE greenroom.user_asset)",
    ] {
        let answer = db.migrate("gift", &[sql.into()]).await;
        assert!(matches!(answer, Err(Error::Refused(_))), "{sql}: {answer:?}");
    }
    let unknown = db.prepare("strange", "SELECT 1").await;
    assert!(matches!(unknown, Err(Error::Refused(_))), "{unknown:?}");
}

/// The second wall: even a statement that passed every look runs as a role that may touch nothing but the plugin's schema.
#[tokio::test]
async fn a_plugins_role_reaches_nothing_else() {
    let opened = open().await;
    opened.db().migrate("gift", &[TABLE.into()]).await.unwrap();
    opened.db().migrate("lottery", &["CREATE TABLE IF NOT EXISTS lottery (id BIGINT)".into()]).await.unwrap();
    for sql in [
        "SELECT * FROM greenroom.user_asset",
        "SELECT * FROM \"plugin_lottery\".lottery",
        "CREATE TABLE public.x (id BIGINT)",
        "CREATE SCHEMA x",
        "CREATE ROLE x",
        "COPY gift TO PROGRAM 'true'",
        "SELECT pg_read_file('/etc/passwd')",
    ] {
        let mut connection = opened.connect().await;
        let role: String = sqlx::query_scalar(
            "SELECT rolname::text FROM pg_roles WHERE rolname LIKE 'greenroom%' || \
             (SELECT oid FROM pg_database WHERE datname = current_database()) || '%gift'",
        )
        .fetch_one(&mut connection)
        .await
        .unwrap();
        let enter = format!("SET ROLE \"{role}\"; SET search_path = plugin_gift");
        sqlx::raw_sql(sqlx::AssertSqlSafe(enter)).execute(&mut connection).await.unwrap();
        let fault = sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await.unwrap_err();
        assert_eq!(fault.as_database_error().unwrap().code().unwrap(), "42501", "{sql}: {fault}");
    }
}

#[tokio::test]
async fn values_are_of_the_kind_that_the_column_has() {
    let opened = open().await;
    let db = opened.db();
    db.migrate("gift", &[TABLE.into()]).await.unwrap();
    let insert = "INSERT INTO gift VALUES ($1, $2, $3)";
    let bytes = Value::Blob(vec![0, 255]);
    let row = vec![Value::Integer(1), Value::Integer(-7), bytes.clone()];
    db.transact("gift", vec![step(insert, row.clone())]).await.unwrap();
    let found =
        db.query("gift", "SELECT id, small, body FROM gift WHERE small = $1", vec![Value::Integer(-7)], 5).await;
    assert_eq!(found.unwrap(), [row]);
    for wrong in [
        vec![Value::Text("2".into()), Value::Null, Value::Null],
        vec![Value::Integer(2), Value::Integer(i64::MAX), Value::Null],
        vec![Value::Integer(2), Value::Null, Value::Integer(1)],
    ] {
        let answer = db.transact("gift", vec![step(insert, wrong)]).await;
        assert!(matches!(answer, Err(TransactError::Invalid(_))), "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugins_endless_statement_is_interrupted_and_nobody_else_is() {
    let opened = open().await;
    let settings = Settings { plugin_statement_timeout: Duration::from_millis(300), ..opened.settings() };
    let db = Postgres::open(settings).await.unwrap();
    db.migrate("gift", &[TABLE.into()]).await.unwrap();
    let endless = "(WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 - 1 FROM n) SELECT count(*) FROM n)";
    let started = Instant::now();
    let answer = db.query("gift", &format!("SELECT {endless}"), vec![], 1).await;
    assert!(matches!(answer, Err(TransactError::Db(Error::Busy(_)))), "{answer:?}");
    let answer = db.transact("gift", vec![step(&format!("DELETE FROM gift WHERE id = {endless}"), vec![])]).await;
    assert!(matches!(answer, Err(TransactError::Db(Error::Busy(_)))), "{answer:?}");
    assert!(started.elapsed() < Duration::from_secs(10));
    assert_eq!(db.post(&[gift("e1", -1, 2, 10)]).await.unwrap().results, [PostResult::Posted]);
    assert_eq!(db.query("gift", "SELECT count(*) FROM gift", vec![], 1).await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_owner_of_the_database_who_may_make_roles_is_enough() {
    let opened = open().await;
    let user = format!("greenroom_owner_{:016x}", rand::random::<u64>());
    let mut admin = opened.connect().await;
    for sql in [
        "DROP SCHEMA greenroom CASCADE".to_owned(),
        format!("CREATE ROLE {user} LOGIN CREATEROLE PASSWORD 'secret'"),
        format!("GRANT CREATE ON DATABASE {} TO {user}", opened.name),
    ] {
        admin.execute(AssertSqlSafe(sql)).await.unwrap();
    }
    let (_, place) = server().split_once('@').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let place = place.split_once('/').unwrap().0.to_owned();
    let url = format!("postgres://{user}:secret@{place}/{}", opened.name);
    let db = Postgres::open(Settings { connections_max: 2, ..Settings::new(url) }).await.unwrap();
    db.migrate("gift", &[TABLE.into()]).await.unwrap();
    db.transact("gift", vec![step("INSERT INTO gift (id) VALUES ($1)", vec![Value::Integer(1)])]).await.unwrap();
    assert_eq!(db.query("gift", "SELECT id FROM gift", vec![], 5).await.unwrap(), [[Value::Integer(1)]]);
    let answer = db.prepare("gift", "SELECT asset_cn FROM greenroom.user_asset").await;
    assert!(matches!(answer, Err(Error::Refused(_))), "{answer:?}");
    assert_eq!(db.post(&[gift("e1", -1, 2, 10)]).await.unwrap().results, [PostResult::Posted]);
    db.close().await;
    admin.execute(AssertSqlSafe(format!("DROP OWNED BY {user} CASCADE"))).await.unwrap();
    admin.execute(AssertSqlSafe(format!("DROP ROLE {user}"))).await.unwrap();
}
