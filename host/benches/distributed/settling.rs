//! Settling alone: a backlog of gifts in Kafka, settled by the host's own worker, the plugin's consumer, PostgreSQL and the releases;
//! beside it the plain statement, and the adapter's statement with all its rows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use greenroom::adapters::embedded::SystemClock;
use greenroom::app::SETTLE_PACE;
use greenroom::ports::outbox::Outbox;
use greenroom::ports::queue::Queue;
use greenroom::relay::{self, Relay};
use greenroom::settle::{Ladder, Settle};
use tokio_util::sync::CancellationToken;

use crate::books;
use crate::house::{Goal, Row, argument};
use crate::place::Place;
use crate::stage::{Stage, until};

/// How often it is asked how much is left: some percent of what is measured.
const LOOK_EVERY: Duration = Duration::from_millis(250);

pub async fn measure(place: &Place) {
    let gifts = argument("gifts", 80_000);
    let stage = Stage::open(place).await;
    let (one, two) = (books::plain(place, 1).await, books::plain(place, 2).await);
    let (own_one, own_two) = (books::own(&*stage.db, 1).await, books::own(&*stage.db, 2).await);
    let relaying = CancellationToken::new();
    let relay = Relay {
        outbox: stage.outbox.clone(),
        queue: stage.queue.clone(),
        clock: Arc::new(SystemClock),
        settings: relay::Settings { publish_max: Duration::from_millis(100), ..relay::Settings::default() },
    };
    let relay = tokio::spawn(relay.run(relaying.clone()));
    place.age_epochs().await;
    stage.recharge().await;
    let uniform = settled(&stage, gifts, false).await;
    let hot = settled(&stage, gifts / 2, true).await;
    relaying.cancel();
    relay.await.unwrap();
    print([uniform, hot], [one, two], [own_one, own_two]);
}

/// All in gifts or events a second. The limits are those of a plain statement, and of the adapter's own, on one connection and on two.
fn print([uniform, hot]: [f64; 2], [one, two]: [f64; 2], [own_one, own_two]: [f64; 2]) {
    let row = |name, figure, limit: f64, goal, contains| {
        Row { name, figure, unit: "/s", limit: Some(limit), ratio: Some(figure / limit), goal, contains }.print();
    };
    row(
        "settling alone",
        uniform,
        one,
        Goal::AtLeast(0.6),
        "gifts of 1,000 viewers to 20 streamers, waiting in Kafka with open holds in Redis: consumer, books of 5 entries, PostgreSQL, \
         rankings, releases and offsets; limit: one statement on one connection that inserts 2 records an event for 1,000 events, ON \
         CONFLICT DO NOTHING, and changes the accounts",
    );
    row(
        "settling, limit on 2 connections",
        uniform,
        two,
        Goal::None,
        "the same; limit: that statement on two connections at once",
    );
    row(
        "settling, same rows",
        uniform,
        own_one,
        Goal::None,
        "the same; limit: the host's own statement alone, with the rows and indexes that settling really writes, on one connection",
    );
    row("settling, same rows, 2 connections", uniform, own_two, Goal::None, "the same on two connections");
    row(
        "settling, one streamer",
        hot,
        uniform,
        Goal::AtLeast(0.9),
        "all gifts to one streamer of one room; limit: 20 streamers in turn",
    );
}

/// Gifts a second, from the moment at which settling was under way.
async fn settled(stage: &Stage, gifts: usize, is_hot: bool) -> f64 {
    stage.send(gifts, is_hot).await;
    until("relayed", async || stage.outbox.backlog().await.unwrap() == 0).await;
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
    let lag = async || {
        // Asking takes clients of its own, and what they cost is not settling's.
        tokio::time::sleep(LOOK_EVERY).await;
        match stage.queue.lag().await {
            Ok(lags) => lags.values().sum::<u64>(),
            // Kafka does not say while a group's coordinator is being found.
            Err(_) => u64::MAX,
        }
    };
    until("settling", async || lag().await < gifts as u64).await;
    let waiting = lag().await;
    let began = Instant::now();
    until("settled", async || lag().await == 0).await;
    let took = began.elapsed();
    stop.cancel();
    task.await.unwrap();
    waiting as f64 / took.as_secs_f64()
}
