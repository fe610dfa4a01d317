//! Settling alone: a backlog of gifts, settled by the host's own worker, the plugin's consumer and PostgreSQL. Once with holds, rankings and
//! events in this process and its journal, so that the second phase is measured and no other server; once with the events in Kafka, and
//! the holds and rankings in Redis. Beside it the plain statement, and the adapter's statement with all its rows.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use greenroom::adapters::embedded::SystemClock;
use greenroom::app::SETTLE_PACE;
use greenroom::relay::{self, Relay};
use greenroom::settle::{Ladder, Settle};
use tokio_util::sync::CancellationToken;

use crate::books;
use crate::house::{Goal, Row, argument};
use crate::place::Place;
use crate::stage::{Stage, until};

/// How often this process is asked how much is left.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// The same of Kafka: asking it takes clients of its own, and what they cost is not settling's.
const ASK_EVERY: Duration = Duration::from_millis(250);
const IN_TURN: &str = "all gifts to one streamer of one room; limit: 20 streamers in turn";

pub async fn measure(place: &Place) {
    let gifts = argument("gifts", 80_000);
    let stage = Stage::in_process(place).await;
    stage.recharge().await;
    let before = Limits::measure(place, &stage).await;
    let uniform = settled(&stage, gifts * 2, false).await;
    let hot = settled(&stage, gifts * 2, true).await;
    let after = Limits::measure(place, &stage).await;
    print_alone([uniform, hot], &before.mean(&after));
    drop(stage);
    let before = books::plain(place, 1).await;
    let with_services = with_services(place, gifts).await;
    print_with_services(with_services, f64::midpoint(before, books::plain(place, 1).await));
}

/// Events a second of the plain statement and of the adapter's own, each on one connection and on two. They are measured before and after what
/// they limit: the speed of a shared machine changes within minutes.
struct Limits {
    plain: [f64; 2],
    own: [f64; 2],
}

impl Limits {
    async fn measure(place: &Place, stage: &Stage) -> Self {
        Self {
            plain: [books::plain(place, 1).await, books::plain(place, 2).await],
            own: [books::own(&*stage.db, 1).await, books::own(&*stage.db, 2).await],
        }
    }

    fn mean(&self, other: &Self) -> Self {
        let mean = |of: fn(&Self) -> [f64; 2]| {
            let ([one, two], [other_one, other_two]) = (of(self), of(other));
            [f64::midpoint(one, other_one), f64::midpoint(two, other_two)]
        };
        Self { plain: mean(|limits| limits.plain), own: mean(|limits| limits.own) }
    }
}

/// Gifts a second with Redis and Kafka: to 20 streamers in turn, and to one.
async fn with_services(place: &Place, gifts: usize) -> [f64; 2] {
    let stage = Stage::open(place).await;
    let relaying = CancellationToken::new();
    let relay = Relay {
        outbox: stage.outbox.clone().unwrap(),
        queue: stage.queue.clone(),
        clock: Arc::new(SystemClock),
        settings: relay::Settings { publish_max: Duration::from_millis(100), ..relay::Settings::default() },
    };
    let relay = tokio::spawn(relay.run(relaying.clone()));
    place.age_epochs().await;
    stage.recharge().await;
    let settled = [settled(&stage, gifts, false).await, settled(&stage, gifts, true).await];
    relaying.cancel();
    relay.await.unwrap();
    settled
}

fn print(name: &'static str, figure: f64, limit: f64, goal: Goal, contains: &'static str) {
    Row { name, figure, unit: "/s", limit: Some(limit), ratio: Some(figure / limit), goal, contains }.print();
}

/// Gifts a second, in turn and to one streamer.
fn print_alone([uniform, hot]: [f64; 2], limits: &Limits) {
    let Limits { plain: [plain_one, plain_two], own: [own_one, own_two] } = *limits;
    print(
        "settling alone, in this process",
        uniform,
        plain_one,
        Goal::AtLeast(0.6),
        "gifts of 1,000 viewers to 20 streamers, twice --gifts, waiting in this process: worker, consumer, books of 5 entries, PostgreSQL, \
         releases, rankings and the journal of both; limit: one statement on one connection that inserts 2 records an event for 1,000 events, ON CONFLICT DO NOTHING, \
         and changes the accounts",
    );
    print(
        "settling, limit on 2 connections",
        uniform,
        plain_two,
        Goal::None,
        "the same; limit: that statement on two connections at once",
    );
    print(
        "settling, same books",
        uniform,
        own_one,
        Goal::None,
        "the same; limit: the host's own statement alone, with the rows and indexes that settling really writes, on one connection",
    );
    print("settling, same books, 2 connections", uniform, own_two, Goal::None, "the same on two connections");
    print("settling, one streamer", hot, uniform, Goal::AtLeast(0.9), IN_TURN);
}

fn print_with_services([uniform, hot]: [f64; 2], plain: f64) {
    print(
        "settling alone, Redis and Kafka",
        uniform,
        plain,
        Goal::None,
        "the same gifts waiting in Kafka, with open holds and rankings in Redis: offsets, releases and rankings too; limit: the plain \
         statement on one connection",
    );
    print("settling, Redis and Kafka, one streamer", hot, uniform, Goal::AtLeast(0.9), IN_TURN);
}

/// Gifts a second, from the moment at which settling was under way.
async fn settled(stage: &Stage, gifts: usize, is_hot: bool) -> f64 {
    stage.send(gifts, is_hot).await;
    stage.relayed().await;
    let stop = CancellationToken::new();
    let settle = Settle {
        ledger: stage.ledger.clone(),
        registry: stage.registry.clone(),
        queue: stage.queue.clone(),
        deliveries: stage.db.clone(),
        clock: Arc::new(SystemClock),
        ladder: Ladder::new(vec![Duration::from_secs(1)]),
        pace: SETTLE_PACE,
    };
    let task = tokio::spawn(settle.run(stop.clone()));
    let every = if stage.outbox.is_some() { ASK_EVERY } else { LOOK_EVERY };
    let lag = async || {
        tokio::time::sleep(every).await;
        match stage.queue.lag().await {
            Ok(lags) => lags.values().sum::<u64>(),
            // Kafka does not say while a group's coordinator is being found.
            Err(_) => u64::MAX,
        }
    };
    let waiting = Cell::new(u64::MAX);
    until("settling", async || {
        waiting.set(lag().await);
        waiting.get() < gifts as u64
    })
    .await;
    let began = Instant::now();
    until("settled", async || lag().await == 0).await;
    let took = began.elapsed();
    stop.cancel();
    task.await.unwrap();
    waiting.get() as f64 / took.as_secs_f64()
}
