//! The queue over Kafka. Steps 7 and 8 of the way of a gift.
//!
//! A plugin's topic is one topic of Kafka, named with a prefix, and an event's key picks its partition, so events of one payer keep
//! their order within a topic. The producer is idempotent and waits for all replicas that are in sync; offsets are committed only when
//! the port's caller says so. Bounded are: what waits to be sent ([`Settings::buffer_len_max`], then publishing is refused as full),
//! what is fetched ahead ([`Settings::prefetch_kib_max`]), and what [`Queue::pending`] gathers ([`Settings::pending_len_max`]).
//!
//! What a group reads, and from where on, is written down in Kafka too: see `subscription`. After a publish that failed, what did
//! arrive of it may lie before what did not; publishing it again adds all of it in order.
//!
//! What it does not do: change the partitions of a topic that is there (that would break the order of keys), and keep events longer
//! than [`Settings::retention`], consumed or not.

mod client;
mod consume;
mod dead;
mod names;
mod offsets;
mod produce;
mod scan;
mod subscription;
mod topics;
mod wire;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::client::{Config, blocking};
use self::consume::{KafkaConsumer, Member};
use self::names::Names;
use self::produce::Publisher;
use self::subscription::Counted;
use self::topics::{Partitions, Topics};
use super::guard::{self, Fault, Guard, Says};
use crate::domain::Event;
use crate::ports::db::DeadLetter;
use crate::ports::queue::{Consumer, Error, Mark, Queue};

/// How long making topics may take before a publish; what is left of the bound is the delivery time-out's.
const MAKE_MAX: Duration = Duration::from_secs(1);

/// The first and the longest wait between two tries at the start.
const START_PAUSE: Duration = Duration::from_millis(250);
const START_PAUSE_MAX: Duration = Duration::from_secs(4);

/// Where the brokers are, what the topics are made with, and what bounds the clients.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `host:port`, separated by commas; a few of the cluster's are enough.
    pub brokers: String,
    /// Before the name of every topic and group, so that several installations share a cluster: `A-Z a-z 0-9 - _ .`, may be empty.
    pub prefix: String,
    /// Partitions of a topic that is made; 1 to 4,096. A topic that is there keeps its number.
    pub partitions: u32,
    /// Copies of a topic that is made.
    pub replication: u32,
    /// Copies that must have an event before it counts as published (`min.insync.replicas`); at most `replication`.
    pub in_sync_min: u32,
    /// How long a topic that is made keeps its events, consumed or not. Must exceed the longest time that settling may stand still.
    pub retention: Duration,
    /// After so long an event that could not be sent is given up, and its publishing fails. The relay relies on it: nothing of a
    /// publish arrives later than this after it began.
    pub delivery_timeout: Duration,
    /// How long a question to the brokers may take.
    pub request_timeout: Duration,
    /// How long to try at the start until a broker answers; the last try may go beyond it by `request_timeout`. Zero: one try.
    pub start_max: Duration,
    /// How long to gather events before they are sent.
    pub linger: Duration,
    /// Events that wait to be sent; then publishing is refused as full.
    pub buffer_len_max: u32,
    /// Bytes that wait to be sent, in kibibytes; then publishing is refused as full.
    pub buffer_kib_max: u32,
    /// Bytes that a consumer fetches ahead, in kibibytes.
    pub prefetch_kib_max: u32,
    /// A consumer that is silent for so long has lost its partitions to the others of its group.
    pub session_timeout: Duration,
    /// A consumer that does not poll for so long has, too: longer than what is polled takes to settle.
    pub poll_interval_max: Duration,
    /// When the brokers count as away.
    pub guard: guard::Settings,
    /// Events that `pending` gathers at most, for reconciliation; with more it fails.
    pub pending_len_max: usize,
}

impl Settings {
    /// Defaults for a server: 12 partitions with one copy, kept for a week.
    #[must_use]
    pub fn new(brokers: impl Into<String>) -> Self {
        Self {
            brokers: brokers.into(),
            prefix: "greenroom.".into(),
            partitions: 12,
            replication: 1,
            in_sync_min: 1,
            retention: Duration::from_secs(7 * 24 * 3_600),
            delivery_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(5),
            start_max: Duration::from_secs(60),
            linger: Duration::from_millis(2),
            buffer_len_max: 100_000,
            buffer_kib_max: 64 << 10,
            prefetch_kib_max: 16 << 10,
            session_timeout: Duration::from_secs(6),
            poll_interval_max: Duration::from_secs(60),
            guard: guard::Settings::default(),
            pending_len_max: 1_000_000,
        }
    }
}

/// The queue over Kafka. Made by [`open`].
pub struct KafkaQueue {
    config: Arc<Config>,
    topics: Arc<Topics>,
    publisher: Arc<Publisher>,
    /// The consumers of this process, by their group.
    members: Mutex<HashMap<String, Joined>>,
    /// Consumers that are leaving their groups.
    leaving: TaskTracker,
}

/// A consumer of this process, if it is still there, and what tells that it has left its group.
struct Joined {
    member: Weak<Member>,
    left: CancellationToken,
}

/// Connects to the brokers, and waits for the first that answers: for `start_max` at most, with a line in the log for each try.
///
/// # Errors
/// If a setting is at fault, or no broker answers in time.
pub async fn open(settings: Settings) -> Result<KafkaQueue, Error> {
    let names = Names::new(&settings.prefix)?;
    let config = Arc::new(Config::new(settings, names)?);
    let topics = Arc::new(Topics::open(Arc::clone(&config))?);
    wait_for_metadata(&topics, &config.settings).await?;
    let publisher = Arc::new(Publisher::open(Arc::clone(&config), Arc::clone(&topics))?);
    Ok(KafkaQueue { config, topics, publisher, members: Mutex::default(), leaving: TaskTracker::new() })
}

/// Brokers that are started together with the host may take a while.
async fn wait_for_metadata(topics: &Topics, settings: &Settings) -> Result<(), Error> {
    let (deadline, mut pause) = (Instant::now() + settings.start_max, START_PAUSE);
    loop {
        let Err(error) = topics.all().await else { return Ok(()) };
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(error);
        }
        tracing::warn!(brokers = settings.brokers, %error, ?left, "waiting for kafka to tell its topics; will try again");
        tokio::time::sleep(pause.min(left)).await;
        pause = (pause * 2).min(START_PAUSE_MAX);
    }
}

impl KafkaQueue {
    /// Sends what waits, for at most the delivery time-out, and waits until its consumers have left their groups, for at most the
    /// session time-out: then the brokers have taken their partitions anyway. To be called when every consumer was dropped.
    pub async fn close(&self) {
        self.publisher.close().await;
        self.leaving.close();
        let left = tokio::time::timeout(self.config.settings.session_timeout, self.leaving.wait()).await;
        if left.is_err() {
            tracing::warn!("a consumer has not left its group in time");
        }
    }

    /// Whether a broker answers.
    ///
    /// # Errors
    /// If none does within `request_timeout`.
    pub async fn check(&self) -> Result<(), Error> {
        self.guarded(self.topics.all()).await.map(|_| ())
    }

    /// What publishing and asking pass through. Consumers do not: each of them waits for the brokers by itself, and nobody for it.
    #[must_use]
    pub fn guard(&self) -> &Arc<Guard> {
        &self.config.guard
    }

    /// Everything that passes is bounded in time by itself, so that nothing of a publish that is given up is still on its way.
    async fn guarded<T>(&self, call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        // The producer's own buffer may be full for an outage or for a rush: that alone says nothing of the brokers.
        let says = |error: &Error| if matches!(error, Error::Full) { Says::Nothing } else { Says::Away };
        self.guard().judge(call, says).await.map_err(|fault| match fault {
            Fault::Call(error) => error,
            fault => Error::Unavailable(fault.to_string()),
        })
    }

    /// Does what takes many questions, after one that has passed the circuit: while a scan is under way nobody else should have to wait
    /// for it to say whether the brokers are back.
    async fn scan<T: Send + 'static>(
        &self,
        scan: impl FnOnce(&Config, &Partitions) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let all = self.guarded(self.topics.all()).await?;
        let config = Arc::clone(&self.config);
        blocking(move || scan(&config, &all)).await
    }

    /// The consumer of a group in this process, if it has one.
    fn member(&self, group: &str) -> Option<Arc<Member>> {
        self.members.lock().get(group).and_then(|joined| joined.member.upgrade())
    }

    /// Makes a consumer, once the one before it has left: otherwise the group would wait for that one.
    async fn join(&self, group: &str) -> Result<Arc<Member>, Error> {
        let before = self.members.lock().get(group).map(|joined| joined.left.clone());
        if let Some(left) = before {
            let wait = self.config.settings.session_timeout;
            let _ = tokio::time::timeout(wait, left.cancelled()).await;
        }
        let left = CancellationToken::new();
        let member = Member::join(&self.config, group, self.leaving.clone(), left.clone())?;
        self.members.lock().insert(group.to_owned(), Joined { member: Arc::downgrade(&member), left });
        Ok(member)
    }
}

#[async_trait]
impl Queue for KafkaQueue {
    async fn publish(&self, events: Vec<Event>) -> Result<(), Error> {
        self.guarded(async {
            let begun = Instant::now();
            self.topics.make(events.iter().map(|event| &*event.topic)).await?;
            // Whoever publishes counts on the delivery time-out from now on; it begins only below.
            if begun.elapsed() > MAKE_MAX {
                return Err(Error::Unavailable("making topics took too long; try again".into()));
            }
            let published = self.publisher.publish(&events).await;
            if let Err(Error::Unavailable(_)) = &published {
                // A topic may have been removed by somebody; the next publish makes it again.
                self.topics.look_again();
            }
            published
        })
        .await
    }

    async fn subscribe(&self, group: &str, topics: &[Arc<str>]) -> Result<Box<dyn Consumer>, Error> {
        names::check(group)?;
        self.topics.make(topics.iter().map(|topic| &**topic)).await?;
        let all = self.topics.all().await?;
        let (config, name, listed) = (Arc::clone(&self.config), group.to_owned(), topics.to_vec());
        let subscription = blocking(move || subscription::subscribe(&config, &name, &listed, &all)).await?;
        let member = match self.member(group) {
            Some(member) => member,
            None => self.join(group).await?,
        };
        member.read(subscription)?;
        Ok(Box::new(KafkaConsumer(member)))
    }

    async fn forget(&self, group: &str) -> Result<(), Error> {
        // The member of this process, if there is one, goes on until its worker ends.
        let name = group.to_owned();
        self.scan(move |config, all| subscription::subscribe(config, &name, &[], all)).await.map(drop)
    }

    async fn pending(&self) -> Result<Vec<Arc<Event>>, Error> {
        self.scan(scan::pending).await
    }

    async fn mark(&self) -> Result<Mark, Error> {
        self.scan(scan::mark).await
    }

    async fn is_past(&self, mark: &mut Mark) -> Result<bool, Error> {
        let asked = mark.0.clone();
        let scan = move |config: &Config, _: &Partitions| {
            let mut left = asked;
            scan::pass(config, &mut left).map(|()| left)
        };
        mark.0 = self.scan(scan).await?;
        Ok(mark.0.is_empty())
    }

    /// Past the guard: a topic of its own that cannot be written to says nothing of the queue.
    async fn tell_dead(&self, letters: &[DeadLetter]) -> Result<(), Error> {
        self.topics.make_for_outside(&self.config.names.dead_letters()).await?;
        let told = self.publisher.tell_dead(letters).await;
        if told.is_err() {
            self.topics.look_again();
        }
        told
    }

    async fn backlog(&self) -> Result<u64, Error> {
        let lags = self.scan(|config, all| subscription::lag(config, all, Counted::Own)).await?;
        Ok(lags.into_values().fold(0, u64::saturating_add))
    }

    async fn lag(&self) -> Result<BTreeMap<String, u64>, Error> {
        self.scan(|config, all| subscription::lag(config, all, Counted::All)).await
    }
}
