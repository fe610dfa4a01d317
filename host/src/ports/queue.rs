//! The message queue: topics with partitions, read by consumer groups. Steps 7 and 8 of the way of a gift.
//!
//! At least once; events with one key keep their order within a topic. An event stays in the queue until every group that was
//! subscribed when it was published has committed an offset beyond it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::domain::Event;
use crate::ports::db::DeadLetter;

/// Why nothing was published, read or committed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The queue has reached its bound. Worth a retry.
    #[error("the queue is full")]
    Full,
    /// The queue does not answer. Worth a retry.
    #[error("the queue is unavailable: {0}")]
    Unavailable(String),
}

/// An event at its place in the queue.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The partition.
    pub partition: u32,
    /// Grows within the partition.
    pub offset: u64,
    /// The event.
    pub event: Arc<Event>,
    /// Why what lies at this place cannot be read; none nearly always. Then the event's payload is the raw bytes, and nobody may
    /// consume it: it is a dead letter.
    pub fault: Option<String>,
}

/// The next offset to read, for each partition.
pub type Offsets = BTreeMap<u32, u64>;

/// Where the queue ended at a moment: the next offset for each topic and partition. The topic is empty where topics share partitions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mark(pub BTreeMap<(Arc<str>, u32), u64>);

/// Publishes, and opens consumers.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Appends events and returns once they are durable.
    async fn publish(&self, events: Vec<Event>) -> Result<(), Error>;

    /// Joins a consumer group on topics. A new group starts at the first event that is published after this call, and on topics that
    /// bear its name it is also given what holds money from before; a known one goes on where it committed. One consumer of a group
    /// at a time in one process; joining again with other topics changes what that one reads.
    async fn subscribe(&self, group: &str, topics: &[Arc<str>]) -> Result<Box<dyn Consumer>, Error>;

    /// Forgets a group: events are no longer kept for it, but for those that hold money on topics which bear its name. Refused by the
    /// caller while events of it are not consumed. Idempotent; a group of this name that joins later is a new one.
    async fn forget(&self, group: &str) -> Result<(), Error>;

    /// Every event that holds money and that the group it belongs to (the topic up to its first dot) has not committed.
    async fn pending(&self) -> Result<Vec<Arc<Event>>, Error>;

    /// Where the queue ends now.
    async fn mark(&self) -> Result<Mark, Error>;

    /// Whether every event before the mark that holds money was committed by the group it belongs to. What was passed leaves the
    /// mark, so that asking again is cheaper.
    async fn is_past(&self, mark: &mut Mark) -> Result<bool, Error>;

    /// Tells whoever reads the queue from outside of events that were set aside, at least once. The table of dead letters stays the
    /// truth.
    async fn tell_dead(&self, letters: &[DeadLetter]) -> Result<(), Error>;

    /// How many events the groups they belong to (the topic up to its first dot) have not committed yet. Those who only listen do not
    /// count.
    async fn backlog(&self) -> Result<u64, Error>;

    /// How many events each group has not committed yet.
    async fn lag(&self) -> Result<BTreeMap<String, u64>, Error>;
}

/// One member of a consumer group.
#[async_trait]
pub trait Consumer: Send + Sync {
    /// Waits up to `wait` for the first event, then takes what is there, at most `max`, in order for each partition. Empty if
    /// nothing came. Safe to cancel.
    async fn poll(&mut self, max: usize, wait: Duration) -> Result<Vec<Delivery>, Error>;

    /// Says that everything before these offsets is dealt with. It need not be durable at once: what is lost is delivered again.
    async fn commit(&mut self, offsets: Offsets) -> Result<(), Error>;
}
