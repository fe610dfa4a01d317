//! Transactions over a plugin's tables, and what of a payment may come back to the payer.

use super::*;
use crate::ports::db::Database as _;
use crate::ports::db::Statements;

const NOTES: [(&str, &str); 4] = [
    ("add", "INSERT INTO gift_note (id, body) VALUES ($1, $2)"),
    ("change", "UPDATE gift_note SET body = $1 WHERE id = $2"),
    ("all", "SELECT id, body FROM gift_note ORDER BY id"),
    ("foreign", "UPDATE user_asset SET asset_cn = 1000000"),
];

/// A call of a plugin with a table of notes.
async fn with_notes(house: &House) -> State {
    let database = Sqlite::open(&house.dir.path().join("greenroom.db")).await.unwrap();
    let table = "CREATE TABLE IF NOT EXISTS gift_note (id BIGINT PRIMARY KEY, body TEXT NOT NULL)";
    database.migrate("gift", &[table.into()]).await.unwrap();
    database.close().await;
    let mut profile = profile();
    profile.grants.insert(Grant::Db);
    profile.statements = NOTES.iter().map(|(name, sql)| (String::from(*name), String::from(*sql))).collect();
    let mut state = State::new(Arc::clone(&house.ports), Arc::new(profile));
    state.call.kind = Kind::Told;
    state
}

fn step(statement: &str, params: Vec<db::Value>, expected_rows: Option<u64>) -> db::Step {
    db::Step { statement: statement.into(), params, expected_rows }
}

fn add(id: i64, body: &str) -> db::Step {
    step("add", vec![db::Value::Integer(id), db::Value::Text(body.into())], Some(1))
}

fn change(id: i64, body: &str) -> db::Step {
    step("change", vec![db::Value::Text(body.into()), db::Value::Integer(id)], Some(1))
}

async fn transacted(state: &mut State, steps: Vec<db::Step>) -> Result<Vec<u64>, db::Error> {
    db::Host::transact(state, steps).await.unwrap()
}

async fn notes(state: &mut State) -> Vec<(i64, String)> {
    let rows = db::Host::query(state, "all".into(), Vec::new()).await.unwrap().unwrap();
    let note = |row: &Vec<db::Value>| match &row[..] {
        [db::Value::Integer(id), db::Value::Text(body)] => (*id, body.clone()),
        other => panic!("{other:?}"),
    };
    rows.iter().map(note).collect()
}

#[tokio::test]
async fn the_steps_of_a_transaction_are_all_made_or_none_of_them() {
    let house = house().await;
    let mut state = with_notes(&house).await;
    let rows = transacted(&mut state, vec![add(1, "one"), add(2, "two"), change(1, "uno")]).await.unwrap();
    assert_eq!(rows, [1, 1, 1]);
    let missed = transacted(&mut state, vec![change(2, "due"), change(9, "nine")]).await;
    assert!(matches!(missed, Err(db::Error::UnexpectedRows(1))), "{missed:?}");
    let twice = transacted(&mut state, vec![change(2, "due"), add(1, "again")]).await;
    assert!(matches!(twice, Err(db::Error::Conflict(_))), "{twice:?}");
    let unnamed = transacted(&mut state, vec![change(2, "due"), step("drop", Vec::new(), None)]).await;
    assert!(matches!(unnamed, Err(db::Error::UnknownStatement(name)) if name == "drop"));
    assert_eq!(notes(&mut state).await, [(1, "uno".into()), (2, "two".into())]);
}

#[tokio::test]
async fn a_transaction_that_is_not_allowed_or_too_large_changes_nothing() {
    let house = house().await;
    let mut state = with_notes(&house).await;
    let foreign = transacted(&mut state, vec![step("foreign", Vec::new(), None)]).await;
    assert!(matches!(foreign, Err(db::Error::Other(_))), "{foreign:?}");
    let wrong = [
        Vec::new(),
        (0..1_001).map(|id| add(id, "x")).collect(),
        vec![add(1, &"x".repeat(1024 * 1024))],
        vec![step("add", vec![db::Value::Integer(1)], None)],
        vec![step("add", vec![db::Value::Null; 65], None)],
        vec![step("all", Vec::new(), None)],
    ];
    for steps in wrong {
        let count = steps.len();
        let refused = transacted(&mut state, steps).await;
        assert!(matches!(refused, Err(db::Error::Invalid(_))), "{count} steps: {refused:?}");
    }
    assert_eq!(notes(&mut state).await, []);
    assert_eq!(house.ports.ledger.balance(gold(ANNA).into()).await.unwrap().settled.0, 1_000);
    let mut ungranted = house.request_of(ANNA);
    assert!(matches!(transacted(&mut ungranted, vec![add(1, "one")]).await, Err(db::Error::NotGranted(_))));
}

#[tokio::test]
async fn a_part_of_a_payment_may_come_back_to_the_payer() {
    let house = house().await;
    let mut state = house.batch(TOPIC).await;
    let back = |delta| entry(ANNA, GOLD, Part::Receiver, delta);
    let books = vec![entry(ANNA, GOLD, Part::Payer, -100), back(30), entry(BERT, GOLD, Part::Receiver, 70)];
    let outcomes = state.post(vec![posting("e1", ANNA, books)]).await.unwrap().unwrap();
    assert!(matches!(outcomes[..], [PostOutcome::Posted]), "{outcomes:?}");
    let balance = house.ports.ledger.balance(gold(ANNA).into()).await.unwrap();
    assert_eq!((balance.settled.0, balance.held.0), (930, 0));
}
