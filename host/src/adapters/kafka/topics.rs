//! The topics: made when first needed, and listed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::error::RDKafkaErrorCode;
use tokio::time::{Instant, sleep};

use super::client::{Config, Logged, blocking, ms, unavailable};
use super::names::check;
use crate::ports::queue::Error;

/// Partitions by topic, as they are called in Kafka.
pub(super) type Partitions = BTreeMap<String, i32>;

/// How long to wait before a question is asked again whose answer was not yet what it must become.
pub(super) const ASK_AGAIN: Duration = Duration::from_millis(50);
/// Makes and lists topics.
pub(super) struct Topics {
    config: Arc<Config>,
    admin: Arc<AdminClient<Logged>>,
    /// Plugins' topics that are known to be there.
    known: Mutex<BTreeSet<String>>,
}

impl Topics {
    pub fn open(config: Arc<Config>) -> Result<Self, Error> {
        let admin = config.client().create_with_context(Logged).map_err(unavailable)?;
        Ok(Self { config, admin: Arc::new(admin), known: Mutex::default() })
    }

    /// Makes those that are not there. Idempotent, on any number of hosts at once.
    pub async fn make(&self, topics: impl Iterator<Item = &str>) -> Result<(), Error> {
        let missing: BTreeSet<String> = {
            let known = self.known.lock();
            topics.filter(|topic| !known.contains(*topic)).map(str::to_owned).collect()
        };
        if missing.is_empty() {
            return Ok(());
        }
        missing.iter().try_for_each(|topic| check(topic))?;
        let names: Vec<String> = missing.iter().map(|topic| self.config.names.topic(topic)).collect();
        let there = self.all().await?;
        let absent = names.iter().filter(|name| !there.contains_key(*name)).map(String::as_str);
        self.create(&absent.collect::<Vec<_>>()).await?;
        self.await_all(&names).await?;
        self.known.lock().extend(missing);
        Ok(())
    }

    /// Makes a topic that Greenroom itself never reads, by its name in Kafka. That it is known everywhere is not waited for: the producer
    /// does.
    pub async fn make_for_outside(&self, name: &str) -> Result<(), Error> {
        if self.known.lock().contains(name) {
            return Ok(());
        }
        self.create(&[name]).await?;
        self.known.lock().insert(name.to_owned());
        Ok(())
    }

    /// Forgets which topics are there.
    pub fn look_again(&self) {
        self.known.lock().clear();
    }

    async fn create(&self, names: &[&str]) -> Result<(), Error> {
        if names.is_empty() {
            return Ok(());
        }
        let settings = &self.config.settings;
        let (retention, in_sync) = (ms(settings.retention), settings.in_sync_min.to_string());
        let partitions = i32::try_from(settings.partitions).unwrap_or(i32::MAX);
        let copies = i32::try_from(settings.replication).unwrap_or(i32::MAX);
        let topics: Vec<NewTopic<'_>> = names
            .iter()
            .map(|name| {
                NewTopic::new(name, partitions, TopicReplication::Fixed(copies))
                    .set("retention.ms", &retention)
                    .set("min.insync.replicas", &in_sync)
                    .set("cleanup.policy", "delete")
                    // A host with a wrong clock must not make its events look old enough to be removed.
                    .set("message.timestamp.type", "LogAppendTime")
            })
            .collect();
        let made = self.admin.create_topics(&topics, &self.options()).await.map_err(unavailable)?;
        for result in made {
            match result {
                Ok(name) => tracing::info!(topic = name, partitions, "made a topic"),
                Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((name, code)) => {
                    return Err(Error::Unavailable(format!("the topic {name} cannot be made: {code}")));
                }
            }
        }
        Ok(())
    }

    /// Waits until the brokers know of them.
    async fn await_all(&self, names: &[String]) -> Result<(), Error> {
        let deadline = Instant::now() + self.config.settings.request_timeout;
        loop {
            let there = self.all().await?;
            let Some(missing) = names.iter().find(|name| !there.contains_key(*name)) else { return Ok(()) };
            if Instant::now() >= deadline {
                return Err(Error::Unavailable(format!("the topic {missing} was made and is not there yet")));
            }
            sleep(ASK_AGAIN).await;
        }
    }

    /// Every topic of this installation.
    pub async fn all(&self) -> Result<Partitions, Error> {
        let (admin, config) = (Arc::clone(&self.admin), Arc::clone(&self.config));
        blocking(move || {
            let metadata = admin.inner().fetch_metadata(None, config.settings.request_timeout).map_err(unavailable)?;
            let ours = metadata.topics().iter().filter(|topic| {
                topic.error().is_none()
                    && !topic.partitions().is_empty()
                    && config.names.plugin_topic(topic.name()).is_some()
            });
            let count = |partitions: usize| i32::try_from(partitions).unwrap_or(i32::MAX);
            Ok(ours.map(|topic| (topic.name().to_owned(), count(topic.partitions().len()))).collect())
        })
        .await
    }

    fn options(&self) -> AdminOptions {
        let timeout = self.config.settings.request_timeout;
        AdminOptions::new().request_timeout(Some(timeout)).operation_timeout(Some(timeout))
    }
}
