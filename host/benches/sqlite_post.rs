//! How many events a second SQLite settles: batches of 1,000 events of 5 entries, from 200,000 viewers to 500 streamers of whom few
//! get most, on one connection with every commit on the disk. `cargo bench --bench sqlite_post -- 200` posts 200 batches.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::float_arithmetic, clippy::print_stdout, missing_docs)]

use std::time::{Duration, Instant};

use greenroom::adapters::sqlite::Sqlite;
use greenroom::domain::{Account, Amount, AssetType, ContentDigest, Entry, EventId, Outcome, Part, Posting, UserId};
use greenroom::ports::db::Database as _;
use greenroom::ports::db::Ledger;
use hdrhistogram::Histogram;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const EVENTS: usize = 1_000;
const VIEWERS: i64 = 200_000;
const STREAMERS: f64 = 500.0;
const START_MS: u64 = 1_750_000_000_000;

fn main() {
    let batches: usize = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(100);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(run(batches));
}

async fn run(batches: usize) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("greenroom.db");
    let db = Sqlite::open(&path).await.unwrap();
    let mut rng = StdRng::seed_from_u64(1);
    let mut times = Histogram::<u64>::new(3).unwrap();
    let (mut all, mut late) = (Duration::ZERO, Duration::ZERO);
    for index in 0..batches {
        let batch: Vec<Posting> =
            (0..EVENTS).map(|n| gift(&mut rng, START_MS + (index * 25 + n / 40) as u64)).collect();
        let started = Instant::now();
        db.post(&batch).await.unwrap();
        let took = started.elapsed();
        times.record(took.as_micros() as u64).unwrap();
        all += took;
        if index >= batches / 2 {
            late += took;
        }
    }
    let rate = |batches: usize, took: Duration| (batches * EVENTS) as f64 / took.as_secs_f64();
    println!("{:.0} events/s, {:.0} in the second half", rate(batches, all), rate(batches - batches / 2, late));
    println!(
        "a batch: median {} µs, p99 {} µs, longest {} µs",
        times.value_at_quantile(0.5),
        times.value_at_quantile(0.99),
        times.max()
    );
    let started = Instant::now();
    let found = db
        .differences()
        .await
        .unwrap()
        .into_iter()
        .filter(|d| !matches!(d, greenroom::ports::db::Difference::BelowZero { .. }));
    assert_eq!(found.count(), 0);
    println!("adding everything up: {:.2} s", started.elapsed().as_secs_f64());
    db.close().await;
    println!("{} bytes an event", std::fs::metadata(&path).unwrap().len() / (batches * EVENTS) as u64);
}

fn gift(rng: &mut StdRng, at_ms: u64) -> Posting {
    let viewer = rng.random_range(1..=VIEWERS);
    let streamer = 1_000_000 + (STREAMERS.powf(rng.random::<f64>()) as i64);
    let id = format!(
        "{:08x}-{:04x}-7{:03x}-8{:03x}-{:012x}",
        at_ms >> 16,
        at_ms & 0xffff,
        rng.random_range(0..4_096),
        rng.random_range(0..4_096),
        rng.random_range(0..1_u64 << 48)
    );
    let entry = |user, asset, part, delta| {
        let account = Account { user_id: UserId(user), asset_type: AssetType(asset) };
        Entry { account, part, delta: Amount(delta) }
    };
    Posting {
        event_id: EventId::new(&id).unwrap(),
        payer: UserId(viewer),
        digest: ContentDigest(rng.random()),
        outcome: Some(Outcome { amount: Amount(100), balance: Amount(900), counters: vec![1] }),
        entries: vec![
            entry(viewer, 1, Part::Payer, -100),
            entry(streamer, 1, Part::Receiver, 60),
            entry(UserId::PLATFORM.0, 1, Part::System, 40),
            entry(viewer, 3, Part::Receiver, 100),
            entry(UserId::MINT.0, 3, Part::System, -100),
        ],
        biz_id: "1001".into(),
        biz_type: 1,
        obj_id: "17".into(),
        event_type: "interactGift".into(),
        record_json: r#"{"gift":"rose","count":3,"unit":10,"combo":1,"share":{"streamer":60,"platform":40}}"#.into(),
        at_ms,
    }
}
