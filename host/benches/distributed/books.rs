//! The limit of settling: one statement of PostgreSQL for 1,000 events, on the server that is settled into.

use std::collections::BTreeMap;
use std::time::Instant;

use greenroom::domain::{Account, Amount, AssetType, ContentDigest, Entry, EventId, Outcome, Part, Posting, UserId};
use greenroom::ports::db::Ledger;
use rand::RngExt;
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Executor};

use crate::place::Place;
use crate::stage::{STREAMERS, VIEWERS};

const EVENTS: usize = 1_000;
/// As many events as are settled beside it by default, so that neither is over before PostgreSQL writes back.
const BATCHES: usize = 160;
const PLATFORM: i64 = UserId::PLATFORM.0;
const RECORD: &str = r#"{"streamId":"0192f3c1-7d2a-7000-8000-000000000001","giftId":2002,"unit":10,"count":1,"receivers":["5782000000000001"]}"#;

/// The table of the design, with one row for each side of an event, and the accounts.
const TABLES: &str = "CREATE SCHEMA bench; \
    CREATE TABLE bench.record (event_id TEXT COLLATE \"C\" NOT NULL, payer_id BIGINT NOT NULL, op_user_type SMALLINT NOT NULL, \
        user_id BIGINT NOT NULL, asset_type BIGINT NOT NULL, delta BIGINT NOT NULL, digest BYTEA NOT NULL, biz_id TEXT NOT NULL, \
        biz_type BIGINT NOT NULL, obj_id TEXT NOT NULL, event_type TEXT NOT NULL, record TEXT NOT NULL, created_at BIGINT NOT NULL, \
        UNIQUE (event_id, payer_id, op_user_type, user_id, asset_type)); \
    CREATE TABLE bench.account (user_id BIGINT NOT NULL, asset_type BIGINT NOT NULL, asset_cn BIGINT NOT NULL, \
        version BIGINT NOT NULL, PRIMARY KEY (user_id, asset_type)) WITH (fillfactor = 70)";

const STATEMENT: &str = "WITH written AS ( \
        INSERT INTO bench.record SELECT event_id, payer_id, op_user_type, user_id, 1, delta, '\\x000102030405060708090a0b0c0d0e0f', \
            '1001', 1, '2002', 'interactGift', $6, 1763731000000 \
        FROM unnest($1::text[], $2::int8[], $3::int2[], $4::int8[], $5::int8[]) \
            AS input (event_id, payer_id, op_user_type, user_id, delta) \
        ON CONFLICT DO NOTHING RETURNING user_id, asset_type, delta) \
    INSERT INTO bench.account AS stored SELECT user_id, asset_type, sum(delta)::int8, 1 FROM written \
        GROUP BY user_id, asset_type ORDER BY user_id, asset_type \
        ON CONFLICT (user_id, asset_type) DO UPDATE \
        SET asset_cn = stored.asset_cn + excluded.asset_cn, version = stored.version + 1";

/// One batch as columns.
#[derive(Default)]
struct Columns {
    events: Vec<String>,
    payers: Vec<i64>,
    parts: Vec<i16>,
    users: Vec<i64>,
    deltas: Vec<i64>,
}

fn event_id() -> String {
    uuid::Uuid::now_v7().to_string()
}

fn sides(rng: &mut impl RngExt) -> (i64, i64) {
    (rng.random_range(1..=VIEWERS), 1_000_000 + rng.random_range(0..STREAMERS))
}

fn columns() -> Columns {
    let mut rng = rand::rng();
    let mut columns = Columns::default();
    for _ in 0..EVENTS {
        let ((payer, streamer), id) = (sides(&mut rng), event_id());
        for (part, user, delta) in [(1, payer, -10), (2, streamer, 10)] {
            columns.events.push(id.clone());
            columns.payers.push(payer);
            columns.parts.push(part);
            columns.users.push(user);
            columns.deltas.push(delta);
        }
    }
    columns
}

/// Events a second of the plain statement, on so many connections at once.
pub async fn plain(place: &Place, connections: usize) -> f64 {
    let mut admin = PgConnection::connect(&place.postgres).await.unwrap();
    admin.execute("DROP SCHEMA IF EXISTS bench CASCADE").await.unwrap();
    admin.execute(TABLES).await.unwrap();
    post_batches(place, &[columns()]).await;
    let work: Vec<Vec<Columns>> =
        (0..connections).map(|_| (0..BATCHES / connections).map(|_| columns()).collect()).collect();
    let started = Instant::now();
    futures::future::join_all(work.iter().map(|batches| post_batches(place, batches))).await;
    rate(work.iter().map(Vec::len).sum(), started)
}

async fn post_batches(place: &Place, batches: &[Columns]) {
    let mut connection = PgConnection::connect(&place.postgres).await.unwrap();
    for Columns { events, payers, parts, users, deltas } in batches {
        let query = sqlx::query(STATEMENT).bind(events).bind(payers).bind(parts).bind(users).bind(deltas).bind(RECORD);
        query.execute(&mut connection).await.unwrap();
    }
}

/// Events a second of the adapter's own statement, with all rows and indexes of a gift's books.
pub async fn own(ledger: &dyn Ledger, connections: usize) -> f64 {
    let work: Vec<Vec<Vec<Posting>>> = (0..connections)
        .map(|_| (0..BATCHES / connections).map(|_| (0..EVENTS).map(|_| posting()).collect()).collect())
        .collect();
    let warm: Vec<Posting> = (0..EVENTS).map(|_| posting()).collect();
    ledger.post(&warm).await.unwrap();
    let started = Instant::now();
    let post = async |batches: &Vec<Vec<Posting>>| {
        for batch in batches {
            ledger.post(batch).await.unwrap();
        }
    };
    futures::future::join_all(work.iter().map(post)).await;
    rate(work.iter().map(Vec::len).sum(), started)
}

fn posting() -> Posting {
    let (viewer, streamer) = sides(&mut rand::rng());
    let entries = BTreeMap::from([
        ((viewer, 1), (Part::Payer, -10)),
        ((streamer, 1), (Part::Receiver, 5)),
        ((PLATFORM, 1), (Part::System, 5)),
        ((viewer, 3), (Part::Receiver, 10)),
        ((UserId::MINT.0, 3), (Part::System, -10)),
    ]);
    let entry = |((user, asset), (part, delta))| {
        let account = Account { user_id: UserId(user), asset_type: AssetType(asset) };
        Entry { account, part, delta: Amount(delta) }
    };
    Posting {
        event_id: EventId::new(&event_id()).unwrap(),
        payer: UserId(viewer),
        digest: ContentDigest(rand::random()),
        outcome: Some(Outcome { amount: Amount(10), balance: Amount(900), counters: Vec::new() }),
        entries: entries.into_iter().map(entry).collect(),
        biz_id: "1001".into(),
        biz_type: 1,
        obj_id: "2002".into(),
        event_type: "interactGift".into(),
        record_json: RECORD.into(),
        at_ms: 1_763_731_000_000,
    }
}

fn rate(batches: usize, started: Instant) -> f64 {
    (batches * EVENTS) as f64 / started.elapsed().as_secs_f64()
}
