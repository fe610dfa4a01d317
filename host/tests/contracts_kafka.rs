//! The contract of the queue over Kafka, and what only a broker can do wrong. Every test has topics and groups of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "contracts/fixture.rs"]
#[allow(dead_code, reason = "the contracts of the cache use the rest")]
mod fixture;
#[path = "contracts/kafka_faults.rs"]
mod kafka_faults;
#[path = "contracts/kafka_relay.rs"]
mod kafka_relay;
#[path = "contracts/outage.rs"]
mod outage;
#[path = "relay/outbox.rs"]
#[allow(dead_code, reason = "the tests of the relay use the rest")]
mod outbox;
#[path = "faults/proxy.rs"]
#[allow(dead_code, reason = "the faults of the whole use the rest")]
mod proxy;
#[path = "contracts/queue.rs"]
#[macro_use]
mod queue;

use std::sync::{Arc, Once};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use greenroom::adapters::kafka::{self, KafkaQueue, Settings};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;

struct Backend {
    queue: Arc<KafkaQueue>,
}

fn brokers() -> String {
    std::env::var("GREENROOM_TEST_KAFKA_BROKERS")
        .expect("set GREENROOM_TEST_KAFKA_BROKERS, or run `cargo xtask test`, which starts a broker")
}

/// Settings with a prefix of their own. It tells the time, so that what earlier runs left on the broker can be removed.
fn settings() -> Settings {
    static SWEPT: Once = Once::new();
    SWEPT.call_once(|| std::thread::spawn(sweep).join().unwrap());
    let prefix = fixture::new_name(&format!("{PREFIX}{}.", now().as_secs())) + ".";
    Settings { prefix, partitions: 3, ..Settings::new(brokers()) }
}

const PREFIX: &str = "contracts.";
/// No run takes so long.
const LEFT_AFTER: Duration = Duration::from_secs(1_800);

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

/// Removes the topics of runs that have ended.
fn sweep() {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", brokers()).create().unwrap();
    let metadata = admin.inner().fetch_metadata(None, queue::WAIT).unwrap();
    let is_left = |topic: &&str| {
        let made = topic.strip_prefix(PREFIX).and_then(|rest| rest.split('.').next()?.parse().ok());
        made.is_some_and(|made| Duration::from_secs(made) + LEFT_AFTER < now())
    };
    let left: Vec<&str> = metadata.topics().iter().map(|topic| topic.name()).filter(is_left).collect();
    if !left.is_empty() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(admin.delete_topics(&left, &AdminOptions::new())).unwrap();
    }
}

async fn open() -> Backend {
    Backend { queue: Arc::new(kafka::open(settings()).await.unwrap()) }
}

mod of_the_queue {
    queue_contracts!(crate::open);
}
