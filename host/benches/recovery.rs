//! How long a start takes after a crash that left many unsettled events: all of them are held again before anybody may spend.
//! `cargo bench --bench recovery -- --events 1000000`

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]
#![allow(clippy::float_arithmetic)]

mod house;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use greenroom::adapters::embedded::{self, Embedded};
use greenroom::domain::{Account, Amount, ContentDigest, EventId, RoomId, UserId};
use greenroom::ports::cache::{Cache, Hold, HoldResult, Position, Settled};
use greenroom::ports::queue::Queue;
use house::{GOLD, Goal, House, Row, argument};

const VIEWERS: i64 = 10_000;
const BALANCE: Amount = Amount(1_000_000_000);
/// Holds between two waits for the disk.
const BATCH: usize = 10_000;
const TOPIC: &str = "gift.sent";

#[tokio::main]
async fn main() {
    let events = argument("events", 1_000_000);
    let folder = house::folder();
    let wrote = Instant::now();
    write(folder.path(), events).await;
    eprintln!("wrote {events} events in {:.1?}", wrote.elapsed());
    let (opened, took) = reopen(folder.path()).await;
    let mut held = 0;
    for user in 1..=VIEWERS {
        held += opened.cache.open_holds(account(user)).await.unwrap().len();
    }
    assert_eq!(held, events, "every event holds again");
    Row {
        name: "start after a crash",
        figure: took.as_secs_f64(),
        unit: "s",
        limit: None,
        ratio: None,
        goal: Goal::None,
        contains: "embedded::open on a journal of 1,000,000 unsettled events of 10,000 viewers (or --events), until every hold is open \
                   again and the queue can be read; not the database and not the compiled plugins",
    }
    .print();
    opened.close().await.unwrap();
}

/// Holds 1 for every event, durably, and ends without closing anything.
async fn write(dir: &Path, events: usize) {
    let house = embedded::open(House::settings(dir)).await.unwrap();
    // A group that never commits: without one, nobody would miss the events.
    let group = house.queue.subscribe("gift", &[Arc::from(TOPIC)]).await.unwrap();
    for user in 1..=VIEWERS {
        let lease = house.cache.lease(account(user)).await.unwrap().unwrap();
        assert!(
            house.cache.fill(account(user), lease, Some(Settled { balance: BALANCE, version: 1 }), &[]).await.unwrap()
        );
    }
    let (topic, plugin): (Arc<str>, Arc<str>) = (TOPIC.into(), "gift".into());
    let payload = br#"{"streamId":"0192f3c1-7d2a-7000-8000-000000000001","giftId":2002,"unit":10,"count":1,"receivers":[77],"shareBps":3000,"pointsRate":1}"#;
    let mut last = Position::default();
    for number in 0..events {
        let payer = account(number as i64 % VIEWERS + 1);
        let hold = Hold {
            event_id: EventId::new(&uuid::Uuid::now_v7().to_string()).unwrap(),
            payer,
            amount: Amount(1),
            digest: ContentDigest([7; 16]),
            plugin: plugin.clone(),
            counters: Vec::new(),
            topic: topic.clone(),
            room_id: Some(RoomId(7)),
            payload: Bytes::from_static(payload),
            now_ms: std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() as u64,
        };
        let epoch = house.cache.epoch(payer.user_id).await.unwrap();
        match house.cache.hold(hold, epoch).await.unwrap() {
            HoldResult::Held(_, position) => last = position,
            other => panic!("not held: {other:?}"),
        }
        if number % BATCH == BATCH - 1 {
            house.cache.durable(last).await.unwrap();
        }
    }
    house.cache.durable(last).await.unwrap();
    drop(group);
}

fn account(user: i64) -> Account {
    Account { user_id: UserId(user), asset_type: GOLD }
}

/// The lock goes with the task of the one before, which ends on its own.
async fn reopen(dir: &Path) -> (Embedded, Duration) {
    loop {
        let started = Instant::now();
        match embedded::open(House::settings(dir)).await {
            Ok(opened) => return (opened, started.elapsed()),
            Err(embedded::Error::InUse(_)) => tokio::time::sleep(Duration::from_millis(10)).await,
            Err(error) => panic!("{error}"),
        }
    }
}
