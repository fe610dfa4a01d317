//! Publishing: an idempotent producer that waits for every replica that is in sync.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::error::KafkaError;
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord, Producer};

use super::client::{Config, Logged, blocking, ms, unavailable};
use super::{dead, wire};
use crate::domain::Event;
use crate::ports::db::DeadLetter;
use crate::ports::queue::Error;

type Client = FutureProducer<Logged>;

/// Sends events.
pub(super) struct Publisher {
    config: Arc<Config>,
    /// Another one takes its place if it can go on no more.
    producer: Mutex<Client>,
}

impl Publisher {
    pub fn open(config: Arc<Config>) -> Result<Self, Error> {
        let producer = Mutex::new(connect(&config)?);
        Ok(Self { config, producer })
    }

    /// Sends events and waits until all replicas in sync have them. If it is cancelled, they may arrive nevertheless.
    pub async fn publish(&self, events: &[Event]) -> Result<(), Error> {
        let producer = self.producer()?;
        let mut acks = Vec::with_capacity(events.len());
        let mut refused = None;
        let mut bytes = Vec::new();
        for event in events {
            match self.send(&producer, event, &mut bytes) {
                Ok(ack) => acks.push(ack),
                Err(error) => {
                    refused = Some(error);
                    break;
                }
            }
        }
        acknowledged(acks, refused).await
    }

    /// Sends dead letters to their own topic, and waits like [`Publisher::publish`].
    pub async fn tell_dead(&self, letters: &[DeadLetter]) -> Result<(), Error> {
        let (producer, topic) = (self.producer()?, self.config.names.dead_letters());
        let mut acks = Vec::with_capacity(letters.len());
        let mut refused = None;
        for letter in letters {
            let record = FutureRecord::to(&topic).key(&*letter.event.key).payload(&letter.event.payload[..]);
            match producer.send_result(record.headers(dead::headers(letter))) {
                Ok(ack) => acks.push(ack),
                Err((error, _)) => {
                    refused = Some(unavailable(error));
                    break;
                }
            }
        }
        acknowledged(acks, refused).await
    }

    fn send(&self, producer: &Client, event: &Event, bytes: &mut Vec<u8>) -> Result<DeliveryFuture, Error> {
        wire::encode(event, bytes).map_err(|error| Error::Unavailable(error.to_string()))?;
        let topic = self.config.names.topic(&event.topic);
        let record = FutureRecord::to(&topic).key(&*event.key).payload(bytes.as_slice());
        producer.send_result(record).map_err(|(error, _)| unavailable(error))
    }

    fn producer(&self) -> Result<Client, Error> {
        let mut producer = self.producer.lock();
        if let Some((code, reason)) = producer.client().fatal_error() {
            tracing::error!(%code, reason, "the producer can go on no more; another takes its place");
            *producer = connect(&self.config)?;
        }
        Ok(producer.clone())
    }

    /// Waits until nothing is on its way any more, for at most the delivery time-out.
    pub async fn flush(&self) {
        let (producer, wait) = (self.producer.lock().clone(), self.config.settings.delivery_timeout);
        let flushed = blocking(move || producer.flush(wait + FLUSH_MARGIN).map_err(unavailable)).await;
        if let Err(error) = flushed {
            tracing::warn!(%error, "not everything was sent; what was not acknowledged will be published again");
        }
    }
}

/// Waits for all of them, so that nothing of this publish is on its way when the caller publishes again.
async fn acknowledged(acks: Vec<DeliveryFuture>, mut refused: Option<Error>) -> Result<(), Error> {
    for ack in acks {
        let failure = match ack.await {
            Ok(Ok(_)) => continue,
            Ok(Err((error, _))) => unavailable(error),
            Err(_) => Error::Unavailable("the producer is gone".into()),
        };
        refused.get_or_insert(failure);
    }
    refused.map_or(Ok(()), Err)
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
