//! Plugins' statements.

use greenroom::ports::db::{Error, Statements, Step, TransactError, Value};

const SCHEMA: &str =
    "CREATE TABLE IF NOT EXISTS gift (gift_id BIGINT PRIMARY KEY, name TEXT NOT NULL, unit BIGINT NOT NULL)";
const INDEX: &str = "create unique index if not exists gift_by_name on gift (name)";
const INSERT: &str = "INSERT INTO gift (gift_id, name, unit) VALUES ($1, $2, $3)";

async fn migrated(db: &dyn Statements) {
    db.migrate("gift", &[SCHEMA.into(), INDEX.into()]).await.unwrap();
}

fn step(sql: &str, params: Vec<Value>, expected_rows: Option<u64>) -> Step {
    Step { sql: sql.into(), params, expected_rows }
}

fn rose(id: i64, name: &str) -> Vec<Value> {
    vec![Value::Integer(id), Value::Text(name.into()), Value::Integer(10)]
}

async fn count(db: &dyn Statements) -> i64 {
    match db.query("gift", "SELECT count(*) FROM gift", vec![], 1).await.unwrap()[0][..] {
        [Value::Integer(count)] => count,
        ref other => panic!("{other:?}"),
    }
}

async fn refused(db: &dyn Statements, sql: &str) {
    let answer = db.prepare("gift", sql).await;
    assert!(matches!(answer, Err(Error::Refused(_))), "{sql}: {answer:?}");
    let answer = db.query("gift", sql, vec![], 10).await;
    assert!(matches!(answer, Err(TransactError::Db(Error::Refused(_)))), "{sql}: {answer:?}");
    let answer = db.transact("gift", vec![step(sql, vec![], None)]).await;
    assert!(matches!(answer, Err(TransactError::Db(Error::Refused(_)))), "{sql}: {answer:?}");
}

pub async fn rows_are_written_and_read_back(db: &dyn Statements) {
    migrated(db).await;
    db.migrate("gift", &["CREATE TABLE IF NOT EXISTS gift_note (id BIGINT PRIMARY KEY, body TEXT)".into()])
        .await
        .unwrap();
    let steps = vec![
        step(INSERT, rose(1, "rose"), Some(1)),
        step(INSERT, rose(2, "it's \"ünïcode\"; --"), None),
        step("UPDATE gift SET unit = unit + $1", vec![Value::Integer(5)], Some(2)),
        step("INSERT INTO gift_note VALUES ($1, $2)", vec![Value::Integer(i64::MIN), Value::Null], Some(1)),
    ];
    assert_eq!(db.transact("gift", steps).await.unwrap(), [1, 1, 2, 1]);
    let sql = "SELECT name, unit FROM gift WHERE gift_id >= $1 AND gift_id <= $1 + 1 ORDER BY gift_id";
    let rows = db.query("gift", sql, vec![Value::Integer(1)], 10).await.unwrap();
    let text = |text: &str| Value::Text(text.into());
    assert_eq!(rows, [[text("rose"), Value::Integer(15)], [text("it's \"ünïcode\"; --"), Value::Integer(15)]]);
    let rows = db.query("gift", "SELECT * FROM gift_note", vec![], 10).await.unwrap();
    assert_eq!(rows, [[Value::Integer(i64::MIN), Value::Null]]);
}

pub async fn a_transaction_is_all_or_none(db: &dyn Statements) {
    migrated(db).await;
    let missed = step("UPDATE gift SET unit = 0 WHERE gift_id = $1", vec![Value::Integer(99)], Some(1));
    let answer = db.transact("gift", vec![step(INSERT, rose(1, "rose"), Some(1)), missed]).await;
    assert!(matches!(answer, Err(TransactError::UnexpectedRows(1))), "{answer:?}");
    assert_eq!(count(db).await, 0);
    let answer =
        db.transact("gift", vec![step(INSERT, rose(1, "rose"), None), step(INSERT, rose(1, "lily"), None)]).await;
    assert!(matches!(answer, Err(TransactError::Conflict(_))), "{answer:?}");
    assert_eq!(count(db).await, 0);
    assert_eq!(db.transact("gift", vec![step(INSERT, rose(1, "rose"), None)]).await.unwrap(), [1]);
}

pub async fn a_constraint_is_a_conflict(db: &dyn Statements) {
    migrated(db).await;
    db.transact("gift", vec![step(INSERT, rose(1, "rose"), None)]).await.unwrap();
    let null = vec![Value::Integer(3), Value::Null, Value::Integer(1)];
    for params in [rose(1, "lily"), rose(2, "rose"), null] {
        let answer = db.transact("gift", vec![step(INSERT, params.clone(), None)]).await;
        assert!(matches!(answer, Err(TransactError::Conflict(_))), "{params:?}: {answer:?}");
    }
}

pub async fn wrong_parameters_and_too_many_rows_are_invalid(db: &dyn Statements) {
    migrated(db).await;
    for id in 0..4 {
        db.transact("gift", vec![step(INSERT, rose(id, &format!("g{id}")), Some(1))]).await.unwrap();
    }
    let invalid = |answer: &Result<(), TransactError>| matches!(answer, Err(TransactError::Invalid(_)));
    let by_id = "SELECT name FROM gift WHERE gift_id = $1";
    for params in [vec![], vec![Value::Integer(1), Value::Integer(2)]] {
        let answer = db.query("gift", by_id, params, 10).await.map(drop);
        assert!(invalid(&answer), "{answer:?}");
    }
    let answer = db.transact("gift", vec![step(INSERT, vec![], None)]).await.map(drop);
    assert!(invalid(&answer), "{answer:?}");
    let all = "SELECT name FROM gift";
    assert_eq!(db.query("gift", all, vec![], 4).await.unwrap().len(), 4);
    let answer = db.query("gift", all, vec![], 3).await.map(drop);
    assert!(invalid(&answer), "{answer:?}");
}

pub async fn a_statement_touches_only_the_plugins_own_tables(db: &dyn Statements) {
    migrated(db).await;
    db.migrate("lottery", &["CREATE TABLE IF NOT EXISTS lottery (id BIGINT PRIMARY KEY)".into()]).await.unwrap();
    for sql in [
        "SELECT * FROM user_asset",
        "SELECT name FROM gift WHERE EXISTS (SELECT 1 FROM user_asset)",
        "SELECT name FROM gift UNION ALL SELECT title FROM room",
        "WITH x AS (SELECT asset_cn FROM user_asset) SELECT * FROM x",
        "INSERT INTO gift (gift_id, name, unit) SELECT user_id, 'x', asset_cn FROM user_asset",
        "UPDATE user_asset SET asset_cn = asset_cn + 1000000",
        "UPDATE gift SET unit = (SELECT max(asset_cn) FROM user_asset)",
        "DELETE FROM plugin",
        "DELETE FROM gift WHERE gift_id IN (SELECT id FROM lottery)",
        "SELECT count(*) FROM lottery",
        "SELECT 1 FROM Lottery",
    ] {
        refused(db, sql).await;
    }
    db.prepare("lottery", "SELECT count(*) FROM lottery").await.unwrap();
}

pub async fn a_statement_is_one_reading_or_writing_statement(db: &dyn Statements) {
    migrated(db).await;
    for sql in [
        "",
        "-- nothing",
        "SELEC 1",
        "SELECT nothing FROM gift",
        "SELECT 1; DELETE FROM gift",
        "DELETE FROM gift; SELECT 1",
        "DROP TABLE gift",
        "ALTER TABLE gift ADD COLUMN x TEXT",
        "CREATE TABLE gift_other (id BIGINT PRIMARY KEY)",
        "BEGIN",
        "COMMIT",
        "VACUUM",
        "SELECT name FROM gift WHERE gift_id = $0",
    ] {
        refused(db, sql).await;
    }
    db.prepare("gift", INSERT).await.unwrap();
    let answer = db.query("gift", "DELETE FROM gift", vec![], 10).await;
    assert!(matches!(answer, Err(TransactError::Invalid(_))), "{answer:?}");
    let answer = db.query("gift", "INSERT INTO gift VALUES (1, 'x', 1) RETURNING gift_id", vec![], 10).await;
    assert!(matches!(answer, Err(TransactError::Invalid(_))), "{answer:?}");
    let answer = db.transact("gift", vec![step("SELECT name FROM gift", vec![], None)]).await;
    assert!(matches!(answer, Err(TransactError::Invalid(_))), "{answer:?}");
    assert_eq!(count(db).await, 0);
}

pub async fn a_schema_is_only_tables_and_indexes_of_the_plugin(db: &dyn Statements) {
    migrated(db).await;
    for sql in [
        "CREATE TABLE gift_x (id BIGINT PRIMARY KEY)",
        "CREATE TABLE IF NOT EXISTS lottery_x (id BIGINT PRIMARY KEY)",
        "CREATE TABLE IF NOT EXISTS gifts (id BIGINT PRIMARY KEY)",
        "CREATE TABLE IF NOT EXISTS gift_x AS SELECT * FROM user_asset",
        "CREATE TABLE IF NOT EXISTS gift_x (id BIGINT PRIMARY KEY); DROP TABLE user_asset",
        "CREATE TABLE IF NOT EXISTS gift_x (id BIGINT PRIMARY KEY REFERENCES room (room_id))",
        "CREATE INDEX IF NOT EXISTS gift_x ON user_asset (asset_cn)",
        "CREATE INDEX IF NOT EXISTS other_x ON gift (unit)",
        "CREATE VIEW gift_x AS SELECT 1",
        "CREATE TRIGGER gift_x AFTER INSERT ON gift BEGIN SELECT 1; END",
        "DROP TABLE gift",
        "DELETE FROM gift",
        "INSERT INTO gift VALUES (1, 'x', 1)",
    ] {
        let answer = db.migrate("gift", &[sql.into()]).await;
        assert!(matches!(answer, Err(Error::Refused(_))), "{sql}: {answer:?}");
    }
    let own = "CREATE TABLE IF NOT EXISTS gift_x (id BIGINT PRIMARY KEY REFERENCES gift (gift_id))";
    db.migrate("gift", &[own.into()]).await.unwrap();
    let taken = db.migrate("room", &["CREATE TABLE IF NOT EXISTS room (id BIGINT PRIMARY KEY)".into()]).await;
    assert!(matches!(taken, Err(Error::Refused(_))), "{taken:?}");
    let dashed = r#"CREATE TABLE IF NOT EXISTS "red-packet_share" (id BIGINT PRIMARY KEY)"#;
    db.migrate("red-packet", &[dashed.into()]).await.unwrap();
    db.prepare("red-packet", r#"SELECT id FROM "red-packet_share""#).await.unwrap();
}

pub async fn a_schema_is_run_once_and_all_or_none(db: &dyn Statements) {
    let bad = "CREATE TABLE IF NOT EXISTS other (id BIGINT PRIMARY KEY)".to_owned();
    assert!(db.migrate("gift", &[SCHEMA.into(), bad]).await.is_err());
    assert!(db.prepare("gift", "SELECT name FROM gift").await.is_err());
    migrated(db).await;
    db.transact("gift", vec![step(INSERT, rose(1, "rose"), None)]).await.unwrap();
    migrated(db).await;
    assert_eq!(count(db).await, 1);
}

pub async fn the_gift_plugin_finds_its_tables_and_statements(db: &dyn Statements) {
    let manifest: toml::Value = toml::from_str(include_str!("../../../../plugins/gift/plugin.toml")).unwrap();
    let schema: Vec<String> = manifest["schema"].clone().try_into().unwrap();
    let statement = |name: &str| manifest["statements"][name].as_str().unwrap().to_owned();
    db.migrate("gift", &schema).await.unwrap();
    for sql in manifest["statements"].as_table().unwrap().values() {
        db.prepare("gift", sql.as_str().unwrap()).await.unwrap();
    }
    let text = |text: &str| Value::Text(text.into());
    let gift = |asset: i64, price: i64, at: i64| {
        let (id, name, asset) = (Value::Integer(7), text("rose"), Value::Integer(asset));
        let rule = text(r#"{"share":[60,40]}"#);
        vec![
            id,
            name,
            asset,
            Value::Integer(price),
            text("one"),
            text("small"),
            text(""),
            text(""),
            rule,
            Value::Integer(at),
        ]
    };
    let put = async |name: &str, gift: Vec<Value>| {
        db.transact("gift", vec![step(&statement(name), gift, None)]).await.unwrap()
    };
    assert_eq!(put("seed-gift", gift(1, 10, 5)).await, [1]);
    assert_eq!(put("seed-gift", gift(1, 99, 6)).await, [0]);
    assert_eq!(put("put-gift", gift(1, 12, 5)).await, [1]);
    assert_eq!(put("put-gift", gift(2, 12, 9)).await, [0]);
    let stamp = db.query("gift", &statement("catalogue-stamp"), vec![], 10).await.unwrap();
    assert_eq!(stamp, [[Value::Integer(6)]]);
    let rows = db.query("gift", &statement("catalogue"), vec![], 10).await.unwrap();
    assert_eq!((rows.len(), &rows[0][0..4]), (1, &gift(1, 12, 0)[0..4]));
}

pub async fn sums_and_truths_are_integers(db: &dyn Statements) {
    migrated(db).await;
    db.transact("gift", vec![step(INSERT, rose(1, "rose"), None), step(INSERT, rose(2, "lily"), None)]).await.unwrap();
    let sql = "SELECT sum(unit), count(*), max(unit) > 9, min(name), NULL FROM gift";
    let rows = db.query("gift", sql, vec![], 10).await.unwrap();
    let (sum, count, truth) = (Value::Integer(20), Value::Integer(2), Value::Integer(1));
    assert_eq!(rows, [[sum, count, truth, Value::Text("lily".into()), Value::Null]]);
}
