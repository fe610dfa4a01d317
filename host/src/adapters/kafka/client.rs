//! What every client of Kafka is configured with, and how its blocking calls and its errors become the port's.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::Settings;
use super::names::{Names, PARTITIONS_MAX};
use crate::adapters::guard::Guard;
use crate::ports::queue::Error;

/// Threads that close clients, at most about; each has those of librdkafka, too.
const CLOSING_MAX: usize = 64;

/// The settings, checked, and the names made of them.
#[derive(Debug)]
pub(super) struct Config {
    pub settings: Settings,
    pub names: Names,
    pub guard: Arc<Guard>,
    /// Clients that are being closed.
    closing: Arc<AtomicUsize>,
}

/// Passes what librdkafka has to say on to the log.
#[derive(Debug, Clone, Copy)]
pub(super) struct Logged;

impl ClientContext for Logged {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        log_error(&error, reason);
    }
}

impl ConsumerContext for Logged {}

/// An error that librdkafka tells of. It does so for every connection that is refused; the circuit and the consumers tell of it once.
pub(super) fn log_error(error: &KafkaError, reason: &str) {
    match error.rdkafka_error_code() {
        Some(
            RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::AllBrokersDown | RDKafkaErrorCode::Resolve,
        ) => {
            tracing::debug!(%error, reason, "kafka");
        }
        _ => tracing::warn!(%error, reason, "kafka"),
    }
}

/// A line of librdkafka's. It tells of every lost connection, so only what is worse than that is a warning.
pub(super) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
            tracing::warn!(facility, message, "kafka");
        }
        _ => tracing::debug!(facility, message, "kafka"),
    }
}

impl Config {
    pub fn new(settings: Settings, names: Names) -> Result<Self, Error> {
        if settings.partitions == 0 || settings.partitions > PARTITIONS_MAX {
            return Err(Error::Unavailable(format!("a topic has 1 to {PARTITIONS_MAX} partitions")));
        }
        if settings.replication == 0 || settings.in_sync_min == 0 || settings.in_sync_min > settings.replication {
            return Err(Error::Unavailable("in_sync_min must be 1 to the number of copies".into()));
        }
        let guard = Guard::new("kafka", settings.guard);
        Ok(Self { settings, names, guard, closing: Arc::default() })
    }

    /// What all clients have in common.
    pub fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.settings.brokers)
            .set("client.id", "greenroom")
            .set("socket.timeout.ms", ms(self.settings.request_timeout.max(Duration::from_secs(1))))
            .set("socket.connection.setup.timeout.ms", ms(self.settings.request_timeout.max(Duration::from_secs(1))))
            .set("socket.keepalive.enable", "true")
            // A broker that returns is found within a second, not after the ten that are usual.
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "1000");
        config
    }

    /// A consumer that reads and writes a group's offsets without being a member.
    ///
    /// # Errors
    /// If too many are being closed, which the brokers do not answer.
    pub fn outsider(&self, group: &str) -> Result<Outsider, Error> {
        if self.closing.load(Ordering::Relaxed) >= CLOSING_MAX {
            return Err(Error::Unavailable("the brokers do not answer those who leave".into()));
        }
        let mut config = self.client();
        config.set("group.id", group).set("enable.auto.commit", "false");
        let consumer: BaseConsumer<Logged> = config.create_with_context(Logged).map_err(unavailable)?;
        Ok(self.aside(consumer))
    }

    /// A client that is closed without anybody waiting.
    pub fn aside<T: Send + Sync + 'static>(&self, client: T) -> Aside<T> {
        Aside { client: Arc::new(client), closing: Arc::clone(&self.closing) }
    }
}

/// A consumer that is no member of its group.
pub(super) type Outsider = Aside<BaseConsumer<Logged>>;

/// A client whose end takes a while: a consumer asks the brokers, and librdkafka sets no bound to that; a producer waits for its threads. So
/// a thread sees to it, and whoever has the answers does not wait.
pub(super) struct Aside<T: Send + Sync + 'static> {
    client: Arc<T>,
    /// How many are being closed.
    closing: Arc<AtomicUsize>,
}

impl<T: Send + Sync> Deref for Aside<T> {
    type Target = T;

    fn deref(&self) -> &Self::Target {
        &self.client
    }
}

impl<T: Send + Sync> Drop for Aside<T> {
    fn drop(&mut self) {
        let (client, closing) = (Arc::clone(&self.client), Arc::clone(&self.closing));
        let close = move || {
            closing.fetch_add(1, Ordering::Relaxed);
            // Until the one who asked has let go of it.
            while Arc::strong_count(&client) > 1 {
                std::thread::sleep(Duration::from_millis(1));
            }
            drop(client);
            closing.fetch_sub(1, Ordering::Relaxed);
        };
        if let Err(error) = std::thread::Builder::new().name("kafka-close".into()).spawn(close) {
            tracing::warn!(%error, "a client of Kafka is closed by the one who asked");
        }
    }
}

/// A duration as Kafka's settings have it.
pub(super) fn ms(duration: Duration) -> String {
    duration.as_millis().to_string()
}

/// Does what blocks on a thread of its own.
pub(super) async fn blocking<T: Send + 'static>(
    f: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(f).await;
    done.unwrap_or_else(|error| Err(Error::Unavailable(format!("a call to Kafka ended before its time: {error}"))))
}

/// The port's error for one of Kafka's.
#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` gives")]
pub(super) fn unavailable(error: KafkaError) -> Error {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::QueueFull) => Error::Full,
        _ => Error::Unavailable(error.to_string()),
    }
}
