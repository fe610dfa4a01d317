//! The queue of the embedded mode: the journal's events, in memory until every group has consumed them. Steps 7 and 8 of the way of a
//! gift.
//!
//! Nothing is carried: an event that a hold or a commit appended to the journal is in the queue as soon as it is durable. Partitions
//! are shared by all topics, so events with one key keep their order even across topics. An event that holds money is kept for the
//! group that its topic is named after, even if that group has not subscribed yet.

pub(super) mod log;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::time::Instant;

use self::log::{Change, Log};
use super::journal::{Journal, Refused};
use super::record::{self, EventRecord, Record};
use crate::domain::Event;
use crate::ports::cache::Position;
use crate::ports::db::DeadLetter;
use crate::ports::queue::{Consumer, Delivery, Error, Mark, Offsets, Queue};

/// The queue of the embedded mode. Made by [`super::open`].
#[derive(Debug)]
pub struct EmbeddedQueue {
    pub(super) journal: Arc<Journal>,
    pub(super) log: Arc<Log>,
}

/// One member of a group. Where it reads is its own; where the group has come is the queue's.
struct EmbeddedConsumer {
    journal: Arc<Journal>,
    log: Arc<Log>,
    group: Arc<str>,
    cursors: Vec<u64>,
    /// The partition that is read first; the next one the next time, so that none starves.
    first: usize,
    arrived: Arc<Notify>,
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Full(_) => Error::Full,
            Refused::Unavailable(reason) => Error::Unavailable(reason),
        }
    }
}

fn append(
    journal: &Journal,
    record: &Record<'_>,
    changes: impl IntoIterator<Item = Change>,
) -> Result<Position, Error> {
    match record::with_frame(record, |frame| journal.append(frame, changes)) {
        Ok(appended) => Ok(appended?),
        Err(error) => Err(Error::Unavailable(format!("the step cannot be encoded: {error}"))),
    }
}

impl EmbeddedQueue {
    /// How many events wait for a group, or for the disk.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.log.len()
    }

    /// Whether the journal still takes and keeps what it is given.
    ///
    /// # Errors
    /// If it does not.
    pub async fn check(&self) -> Result<(), Error> {
        Ok(self.journal.durable(self.journal.position()).await?)
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[async_trait]
impl Queue for EmbeddedQueue {
    async fn publish(&self, events: Vec<Event>) -> Result<(), Error> {
        let count = events.len() as u64;
        if count == 0 {
            return Ok(());
        }
        if !self.log.reserve(count) {
            return Err(Error::Full);
        }
        let events: Vec<Arc<Event>> = events.into_iter().map(Arc::new).collect();
        let record = Record::Publish { events: events.iter().map(|event| EventRecord::of(event)).collect() };
        let appended = append(&self.journal, &record, events.iter().cloned().map(Change::Event));
        if appended.is_err() {
            self.log.release(count);
        }
        Ok(self.journal.durable(appended?).await?)
    }

    async fn subscribe(&self, group: &str, topics: &[Arc<str>]) -> Result<Box<dyn Consumer>, Error> {
        let group: Arc<str> = group.into();
        if !self.log.is_subscribed(&group, topics) {
            let record = Record::Subscribe { group: &group, topics: topics.iter().map(|topic| &**topic).collect() };
            let change = Change::Subscribe { group: Arc::clone(&group), topics: topics.to_vec() };
            let position = append(&self.journal, &record, [change])?;
            self.journal.durable(position).await?;
        }
        let reader = self.log.reader(&group);
        let (cursors, arrived) =
            reader.ok_or_else(|| Error::Unavailable("the group was forgotten meanwhile".into()))?;
        let (journal, log) = (Arc::clone(&self.journal), Arc::clone(&self.log));
        Ok(Box::new(EmbeddedConsumer { journal, log, group, cursors, first: 0, arrived }))
    }

    async fn forget(&self, group: &str) -> Result<(), Error> {
        let position = append(&self.journal, &Record::Forget { group }, [Change::Forget { group: group.into() }])?;
        Ok(self.journal.durable(position).await?)
    }

    async fn pending(&self) -> Result<Vec<Arc<Event>>, Error> {
        Ok(self.log.open_holds())
    }

    async fn mark(&self) -> Result<Mark, Error> {
        let topic: Arc<str> = "".into();
        Ok(Mark((0..).map(|partition| (Arc::clone(&topic), partition)).zip(self.log.next_offsets()).collect()))
    }

    async fn is_past(&self, mark: &mut Mark) -> Result<bool, Error> {
        let ends: Vec<u64> = mark.0.values().copied().collect();
        let is_past = self.log.open_holds_before(|partition| ends.get(partition).copied().unwrap_or(0)).is_empty();
        if is_past {
            mark.0.clear();
        }
        Ok(is_past)
    }

    /// Nobody outside of this process can read the queue, so there is nobody to tell.
    async fn tell_dead(&self, _letters: &[DeadLetter]) -> Result<(), Error> {
        Ok(())
    }

    /// Of one process, so nobody has to bound it: the journal is the outbox.
    async fn backlog(&self) -> Result<u64, Error> {
        Ok(self.log.lag().values().sum())
    }

    async fn lag(&self) -> Result<BTreeMap<String, u64>, Error> {
        Ok(self.log.lag())
    }
}

#[async_trait]
impl Consumer for EmbeddedConsumer {
    async fn poll(&mut self, max: usize, wait: Duration) -> Result<Vec<Delivery>, Error> {
        let deadline = Instant::now() + wait;
        let arrived = Arc::clone(&self.arrived);
        loop {
            // A notification that comes between the look and the wait is kept by `Notify`.
            let taken = self.log.take(&self.group, &mut self.cursors, self.first, max);
            self.first = (self.first + 1) % self.cursors.len().max(1);
            if !taken.is_empty() || max == 0 {
                return Ok(taken);
            }
            if tokio::time::timeout_at(deadline, arrived.notified()).await.is_err() {
                return Ok(Vec::new());
            }
        }
    }

    async fn commit(&mut self, offsets: Offsets) -> Result<(), Error> {
        self.log.commit(&self.group, &offsets);
        let offsets = offsets.into_iter().collect();
        // What the journal does not take now is delivered again after a restart; the next commit tells of more anyway.
        if let Err(error) = append(&self.journal, &Record::Offsets { group: &self.group, offsets }, []) {
            tracing::debug!(group = %self.group, %error, "offsets are not in the journal");
        }
        Ok(())
    }
}
