//! Consuming: the one member of a group in this process, and the handles on it.
//!
//! Rebalancing is cooperative: what stays with a member is read on meanwhile. A member commits only for partitions that it has at that
//! moment, and never an offset before one that it has committed. It knows of a rebalance when it polls, so whoever does not poll for
//! long loses its partitions without knowing; the brokers then refuse its commits, and what it has in hand is delivered to another.
//!
//! A message that cannot be read is delivered with its fault and its bytes: it blocks nothing, and somebody decides about it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::{FutureExt, StreamExt};
use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext, Rebalance, StreamConsumer};
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;
use rdkafka::{Message, Offset, TopicPartitionList};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::client::{Config, blocking, log, log_error, ms, unavailable};
use super::names::{Place, of_place_number, place_number, topic_number};
use super::subscription::{self, Subscription};
use super::wire;
use crate::ports::queue::{Consumer, Delivery, Error, Offsets};

/// How often a subscription is written down again; brokers keep it for days at least.
const RENEW_EVERY: Duration = Duration::from_secs(12 * 3_600);

/// How long to wait if that did not succeed.
const RENEW_AGAIN: Duration = Duration::from_secs(60);

/// What a member has at the moment: the offset up to which it has committed, for each partition.
#[derive(Debug, Default)]
struct Owned {
    committed: Mutex<BTreeMap<Place, i64>>,
}

/// Follows the rebalances of a member.
struct Following {
    group: String,
    owned: Arc<Owned>,
}

impl ClientContext for Following {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        log_error(&error, reason);
    }
}

fn places(list: &TopicPartitionList) -> impl Iterator<Item = Place> {
    list.elements().into_iter().map(|element| (element.topic().to_owned(), element.partition()))
}

impl ConsumerContext for Following {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let mut committed = self.owned.committed.lock();
        match rebalance {
            Rebalance::Revoke(lost) => {
                places(lost).for_each(|place| {
                    committed.remove(&place);
                });
                tracing::info!(group = self.group, partitions = lost.count(), "partitions were given away");
            }
            Rebalance::Assign(gained) => {
                committed.extend(places(gained).map(|place| (place, 0)));
                tracing::info!(group = self.group, partitions = gained.count(), "partitions were taken over");
            }
            Rebalance::Error(error) => tracing::warn!(group = self.group, %error, "kafka"),
        }
    }
}

/// A member of a group. It leaves when the last handle on it is dropped.
pub(super) struct Member {
    /// Taken when it leaves.
    consumer: Option<Arc<StreamConsumer<Following>>>,
    owned: Arc<Owned>,
    reads: Mutex<Subscription>,
    /// For one commit at a time: none overtakes another, and no more than one thread waits for brokers that do not answer.
    committing: Arc<Semaphore>,
    /// When the subscription is to be written down again.
    renew_at: Mutex<Instant>,
    config: Arc<Config>,
    group: String,
    leaving: TaskTracker,
    /// Cancelled once it has left.
    left: CancellationToken,
}

impl Member {
    /// Joins a group; it is assigned partitions once it polls.
    pub fn join(
        config: &Arc<Config>,
        group: &str,
        leaving: TaskTracker,
        left: CancellationToken,
    ) -> Result<Arc<Self>, Error> {
        let owned = Arc::new(Owned::default());
        let following = Following { group: group.to_owned(), owned: Arc::clone(&owned) };
        let settings = &config.settings;
        let mut client = config.client();
        client
            .set("group.id", config.names.group(group))
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            // Without an offset it reads from the beginning, and what lies before its subscription is left out below.
            .set("auto.offset.reset", "earliest")
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", ms(settings.session_timeout))
            .set("heartbeat.interval.ms", ms(settings.session_timeout / 4))
            .set("max.poll.interval.ms", ms(settings.poll_interval_max.max(settings.session_timeout)))
            .set("queued.max.messages.kbytes", settings.prefetch_kib_max.to_string())
            // Under load events come by hundreds a second, and each would be an answer of its own: it waits for 64 KiB, or for 20 ms.
            .set("fetch.min.bytes", "65536")
            .set("fetch.wait.max.ms", "20")
            // Some hundred events, and then some of the next partition: what is polled has something for every lane of settling.
            .set("max.partition.fetch.bytes", "262144")
            .set("fetch.error.backoff.ms", "100");
        let consumer = client.create_with_context(following).map_err(unavailable)?;
        let consumer = Some(Arc::new(consumer));
        let (reads, renew_at) = (Mutex::default(), Mutex::new(Instant::now() + RENEW_EVERY));
        let (config, group) = (Arc::clone(config), group.to_owned());
        let committing = Arc::new(Semaphore::new(1));
        Ok(Arc::new(Self { consumer, owned, committing, reads, renew_at, config, group, leaving, left }))
    }

    /// Reads this from now on.
    pub fn read(&self, subscription: Subscription) -> Result<(), Error> {
        let Some(consumer) = &self.consumer else { return Ok(()) };
        let names: Vec<String> = subscription.topics.values().map(|topic| topic.name.clone()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        *self.reads.lock() = subscription;
        consumer.subscribe(&names).map_err(unavailable)
    }

    /// Writes the subscription down again when that is due.
    async fn renew(&self) {
        let now = Instant::now();
        {
            let mut renew_at = self.renew_at.lock();
            if now < *renew_at {
                return;
            }
            *renew_at = now + RENEW_EVERY;
        }
        let (config, group, reads) = (Arc::clone(&self.config), self.group.clone(), self.reads.lock().clone());
        if let Err(error) = blocking(move || subscription::renew(&config, &group, &reads)).await {
            tracing::warn!(group = self.group, %error, "the subscription is not renewed");
            *self.renew_at.lock() = now + RENEW_AGAIN;
        }
    }

    /// What the port calls a message; none if the group does not want it.
    fn delivery(&self, message: &BorrowedMessage<'_>) -> Option<Delivery> {
        let (topic, is_listed) = {
            let reads = self.reads.lock();
            let mut topics = reads.topics.values();
            let topic = topics.find(|topic| topic.name == message.topic())?;
            if topic.starts.get(&message.partition()).is_some_and(|start| message.offset() < *start) {
                return None;
            }
            (Arc::clone(&topic.topic), topic.is_listed)
        };
        let partition = place_number(topic_number(&topic), message.partition())?;
        let offset = u64::try_from(message.offset()).ok()?;
        let (event, fault) = match wire::decode(message.payload().unwrap_or_default(), &topic) {
            Ok(event) if is_listed || event.held.is_some() => (event, None),
            Ok(_) => return None,
            Err(fault) => {
                metrics::counter!("greenroom_queue_unreadable_total", "group" => self.group.clone()).increment(1);
                tracing::error!(group = self.group, %topic, partition, offset, fault, "a message cannot be read");
                (wire::unreadable(message, &topic)?, Some(fault))
            }
        };
        Some(Delivery { partition, offset, event: Arc::new(event), fault })
    }

    /// librdkafka sets no bound to a commit. Who waited for one without polling would lose its partitions, and could not be stopped.
    async fn commit_in_time(
        &self,
        consumer: Arc<StreamConsumer<Following>>,
        asked: TopicPartitionList,
    ) -> Result<(), Error> {
        let committed = async {
            let turn = Arc::clone(&self.committing).acquire_owned().await;
            blocking(move || {
                let _turn = turn;
                consumer.commit(&asked, CommitMode::Sync).map_err(unavailable)
            })
            .await
        };
        let late = |_| Err(Error::Unavailable("the brokers do not take offsets in time".into()));
        timeout(self.config.settings.request_timeout, committed).await.unwrap_or_else(late)
    }

    /// Those offsets that this member may commit and that say something new, by their places.
    fn committable(&self, offsets: &Offsets) -> Result<Vec<(Place, i64)>, Error> {
        let reads = self.reads.lock();
        let committed = self.owned.committed.lock();
        let mut list = Vec::new();
        for (number, offset) in offsets {
            let (topic, partition) = of_place_number(*number);
            let Some(topic) = reads.topics.get(&topic) else { continue };
            let place = (topic.name.clone(), partition);
            let offset = i64::try_from(*offset).map_err(|_| Error::Unavailable("an offset is out of range".into()))?;
            match committed.get(&place) {
                Some(before) if offset > *before => list.push((place, offset)),
                Some(_) => {}
                None => {
                    tracing::debug!(group = self.group, topic = place.0, partition, "it was given away: not committed")
                }
            }
        }
        Ok(list)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let left = self.left.clone();
        let Some(consumer) = self.consumer.take() else { return };
        let leave = move || {
            drop(consumer);
            left.cancel();
        };
        // Leaving waits for the brokers.
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(self.leaving.spawn_blocking_on(leave, &runtime)),
            Err(_) => leave(),
        }
    }
}

/// A handle on a member.
pub(super) struct KafkaConsumer(pub Arc<Member>);

#[async_trait]
impl Consumer for KafkaConsumer {
    async fn poll(&mut self, max: usize, wait: Duration) -> Result<Vec<Delivery>, Error> {
        let deadline = Instant::now() + wait;
        let mut taken = Vec::new();
        let Some(consumer) = self.0.consumer.clone() else { return Ok(taken) };
        let mut messages = consumer.stream();
        while max > 0 && taken.is_empty() {
            let Ok(first) = timeout_at(deadline, messages.next()).await else { break };
            let mut next = first;
            let mut fault = None;
            while let Some(message) = next {
                match message {
                    Ok(message) => taken.extend(self.0.delivery(&message)),
                    // The client has noted each connection that was refused. A caller who was told of them one by one, and waited after
                    // each, would come to the messages behind them long after the brokers are back.
                    Err(error) => fault = Some(error),
                }
                if taken.len() >= max {
                    break;
                }
                // Nothing that could be cancelled: only what is here already.
                next = messages.next().now_or_never().flatten();
            }
            match fault {
                Some(error) if taken.is_empty() => return Err(unavailable(error)),
                Some(error) => tracing::debug!(group = self.0.group, %error, "kafka"),
                None => {}
            }
        }
        Ok(taken)
    }

    async fn commit(&mut self, offsets: Offsets) -> Result<(), Error> {
        self.0.renew().await;
        let list = self.0.committable(&offsets)?;
        if list.is_empty() {
            return Ok(());
        }
        let Some(consumer) = self.0.consumer.clone() else { return Ok(()) };
        let mut asked = TopicPartitionList::new();
        for ((topic, partition), offset) in &list {
            asked.add_partition_offset(topic, *partition, Offset::Offset(*offset)).map_err(unavailable)?;
        }
        self.0.commit_in_time(consumer, asked).await?;
        let mut committed = self.0.owned.committed.lock();
        for (place, offset) in list {
            if let Some(before) = committed.get_mut(&place) {
                *before = offset;
            }
        }
        Ok(())
    }
}
