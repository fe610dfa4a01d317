//! The contract of the queue over Kafka, and what only a broker can do wrong. Every test has topics and groups of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "contracts/fixture.rs"]
#[allow(dead_code, reason = "the contracts of the cache use the rest")]
mod fixture;
#[path = "contracts/kafka_faults.rs"]
mod kafka_faults;
#[path = "contracts/kafka_proxy.rs"]
mod kafka_proxy;
#[path = "contracts/kafka_relay.rs"]
mod kafka_relay;
#[path = "relay/outbox.rs"]
#[allow(dead_code, reason = "the tests of the relay use the rest")]
mod outbox;
#[path = "contracts/queue.rs"]
#[macro_use]
mod queue;

use std::sync::Arc;

use greenroom::adapters::kafka::{self, KafkaQueue, Settings};

struct Backend {
    queue: Arc<KafkaQueue>,
}

fn brokers() -> String {
    std::env::var("GREENROOM_TEST_KAFKA_BROKERS")
        .expect("set GREENROOM_TEST_KAFKA_BROKERS, or run `cargo xtask test`, which starts a broker")
}

fn settings() -> Settings {
    Settings { prefix: fixture::new_name("test.") + ".", partitions: 3, ..Settings::new(brokers()) }
}

async fn open() -> Backend {
    Backend { queue: Arc::new(kafka::open(settings()).await.unwrap()) }
}

mod of_the_queue {
    queue_contracts!(crate::open);
}
