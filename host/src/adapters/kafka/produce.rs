//! Publishing: an idempotent producer that waits for every replica that is in sync.
//!
//! A producer of librdkafka (2.12) does not always find its way back after the brokers were away: it then gives up everything after the
//! delivery time-out, for ever, although the brokers answer whoever else asks. So does one after a fatal error, at once. Another takes its
//! place; whoever waits for the old one still gets its answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord, Producer};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::client::{Aside, Config, Logged, blocking, ms, unavailable};
use super::topics::Topics;
use super::{dead, wire};
use crate::domain::Event;
use crate::ports::db::DeadLetter;
use crate::ports::queue::Error;

type Client = FutureProducer<Logged>;

/// Sends events.
pub(super) struct Publisher {
    config: Arc<Config>,
    topics: Arc<Topics>,
    current: Mutex<Current>,
    /// Whoever has it asks whether the brokers answer.
    suspect: tokio::sync::Mutex<Option<Suspect>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// The producer of now.
#[derive(Clone)]
struct Current {
    producer: Arc<Aside<Client>>,
    /// How many there were before.
    number: u64,
    /// How much it has delivered.
    delivered: Arc<AtomicU64>,
}

/// What somebody has seen of a producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    number: u64,
    delivered: u64,
}

/// A producer that has delivered nothing of a publish when the brokers answered.
struct Suspect {
    seen: Seen,
    since: Instant,
}

impl Current {
    fn connect(config: &Config, number: u64) -> Result<Self, Error> {
        Ok(Self { producer: Arc::new(config.aside(connect(config)?)), number, delivered: Arc::default() })
    }

    fn seen(&self) -> Seen {
        Seen { number: self.number, delivered: self.delivered.load(Ordering::Relaxed) }
    }
}

impl Publisher {
    pub fn open(config: Arc<Config>, topics: Arc<Topics>) -> Result<Self, Error> {
        let current = Mutex::new(Current::connect(&config, 0)?);
        let (suspect, tasks, stop) = (tokio::sync::Mutex::default(), TaskTracker::new(), CancellationToken::new());
        Ok(Self { config, topics, current, suspect, tasks, stop })
    }

    /// Sends events and waits until all replicas in sync have them. If it is cancelled, they may arrive nevertheless.
    pub async fn publish(self: &Arc<Self>, events: &[Event]) -> Result<(), Error> {
        let current = self.current()?;
        let (seen, begun) = (current.seen(), Instant::now());
        let mut acks = Vec::with_capacity(events.len());
        let mut refused = None;
        let mut bytes = Vec::new();
        for event in events {
            match self.send(&current.producer, event, &mut bytes) {
                Ok(ack) => acks.push(ack),
                Err(error) => {
                    refused = Some(error);
                    break;
                }
            }
        }
        let sent = acknowledged(acks, &current.delivered).await;
        if sent.has_timed_out && current.seen() == seen {
            let this = Arc::clone(self);
            self.tasks.spawn(async move { this.look_after(seen, begun).await });
        }
        refused.or(sent.failure).map_or(Ok(()), Err)
    }

    /// Sends dead letters to their own topic, and waits like [`Publisher::publish`].
    pub async fn tell_dead(&self, letters: &[DeadLetter]) -> Result<(), Error> {
        let (current, topic) = (self.current()?, self.config.names.dead_letters());
        let mut acks = Vec::with_capacity(letters.len());
        let mut refused = None;
        for letter in letters {
            let record = FutureRecord::to(&topic).key(&*letter.event.key).payload(&letter.event.payload[..]);
            match current.producer.send_result(record.headers(dead::headers(letter))) {
                Ok(ack) => acks.push(ack),
                Err((error, _)) => {
                    refused = Some(unavailable(error));
                    break;
                }
            }
        }
        let sent = acknowledged(acks, &current.delivered).await;
        refused.or(sent.failure).map_or(Ok(()), Err)
    }

    fn send(&self, producer: &Client, event: &Event, bytes: &mut Vec<u8>) -> Result<DeliveryFuture, Error> {
        wire::encode(event, bytes).map_err(|error| Error::Unavailable(error.to_string()))?;
        let topic = self.config.names.topic(&event.topic);
        let record = FutureRecord::to(&topic).key(&*event.key).payload(bytes.as_slice());
        producer.send_result(record).map_err(|(error, _)| unavailable(error))
    }

    fn current(&self) -> Result<Current, Error> {
        let current = self.current.lock().clone();
        match current.producer.client().fatal_error() {
            Some((code, reason)) => {
                tracing::error!(%code, reason, "the producer can go on no more; another takes its place");
                self.replace(current.number)
            }
            None => Ok(current),
        }
    }

    /// Puts another in the place of this one, if it is still in its place. The one of now.
    fn replace(&self, number: u64) -> Result<Current, Error> {
        let mut current = self.current.lock();
        if current.number == number {
            *current = Current::connect(&self.config, number + 1)?;
        }
        Ok(current.clone())
    }

    /// Replaces a producer that delivers nothing although the brokers answer, the second time: when they are just back it gets the time to
    /// find them. While they are away no other would do better.
    async fn look_after(&self, seen: Seen, begun: Instant) {
        let Ok(mut suspect) = self.suspect.try_lock() else { return };
        let answer = self.stop.run_until_cancelled(self.topics.all()).await;
        if !matches!(answer, Some(Ok(_))) || self.current.lock().seen() != seen {
            return;
        }
        match &*suspect {
            Some(before) if before.seen == seen && before.since < begun => {}
            Some(before) if before.seen == seen => return,
            _ => {
                *suspect = Some(Suspect { seen, since: Instant::now() });
                return;
            }
        }
        match self.replace(seen.number) {
            Ok(_) => tracing::warn!("the brokers answer, and the producer delivers nothing: another takes its place"),
            Err(error) => tracing::warn!(%error, "no other producer takes the place of one that delivers nothing"),
        }
    }

    /// Waits until nothing is on its way any more, for at most the delivery time-out.
    pub async fn close(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        let (producer, wait) = (Arc::clone(&self.current.lock().producer), self.config.settings.delivery_timeout);
        let flushed = blocking(move || producer.flush(wait + FLUSH_MARGIN).map_err(unavailable)).await;
        if let Err(error) = flushed {
            tracing::warn!(%error, "not everything was sent; what was not acknowledged will be published again");
        }
    }
}

/// What became of a publish.
#[derive(Default)]
struct Sent {
    has_timed_out: bool,
    /// The first.
    failure: Option<Error>,
}

/// Waits for all of them, so that nothing of this publish is on its way when the caller publishes again.
async fn acknowledged(acks: Vec<DeliveryFuture>, delivered: &AtomicU64) -> Sent {
    let mut sent = Sent::default();
    for ack in acks {
        let failure = match ack.await {
            Ok(Ok(_)) => {
                delivered.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            Ok(Err((error, _))) => {
                sent.has_timed_out |= error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageTimedOut);
                unavailable(error)
            }
            Err(_) => Error::Unavailable("the producer is gone".into()),
        };
        sent.failure.get_or_insert(failure);
    }
    sent
}

/// How much later than its time-out librdkafka may notice that an event was not delivered.
const FLUSH_MARGIN: Duration = Duration::from_secs(1);

fn connect(config: &Config) -> Result<Client, Error> {
    let settings = &config.settings;
    let mut client = config.client();
    client
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("partitioner", "murmur2_random")
        .set("compression.type", "lz4")
        .set("linger.ms", ms(settings.linger))
        .set("message.timeout.ms", ms(settings.delivery_timeout))
        .set("request.timeout.ms", ms(settings.request_timeout.min(settings.delivery_timeout)))
        .set("retry.backoff.max.ms", "1000")
        .set("queue.buffering.max.messages", settings.buffer_len_max.to_string())
        .set("queue.buffering.max.kbytes", settings.buffer_kib_max.to_string());
    client.create_with_context(Logged).map_err(|error: KafkaError| unavailable(error))
}

#[cfg(test)]
mod tests;
