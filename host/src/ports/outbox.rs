//! The outbox of a cache whose events have to be carried to the queue. Step 7 of the way of a gift.
//!
//! Each bucket of the cache has one log, to which its atomic steps append. A relay reads it in order, publishes, and removes what the
//! queue has acknowledged: at least once, never out of order within a bucket. Who relays a bucket is decided by a lease with a token
//! that grows, so that a relay that was thought dead can remove nothing any more. The embedded mode has no outbox of its own: there
//! the journal is outbox and queue at once.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::domain::Event;

/// The cache does not answer. Worth a retry.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the outbox is unavailable: {0}")]
pub struct Unavailable(pub String);

/// The place of an entry in a bucket's log. Grows; opaque otherwise.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntryId(pub (u64, u64));

/// The right to relay one bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BucketLease {
    /// Which.
    pub bucket: u32,
    /// Greater than that of every lease on this bucket before it.
    pub token: u64,
}

/// What a read has found.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// Names the history of data in which this was read. The cache goes to another one when a copy of it takes over or it starts again:
    /// what was seen to in one history says nothing of the other.
    pub history: Arc<str>,
    /// Whether the bucket has its epoch: it has lost nothing since the epoch was set, in this history. Without it nobody can hold there.
    pub has_epoch: bool,
    /// The last entry that was ever appended, removed ones too; none if the log does not exist. If it lies before what the relay has
    /// read, the bucket went back in time.
    pub last: Option<EntryId>,
    /// In order.
    pub entries: Vec<(EntryId, Arc<Event>)>,
}

/// See the module's text. Every method is safe to cancel and to repeat.
#[async_trait]
pub trait Outbox: Send + Sync {
    /// How many buckets there are; they are numbered from 0.
    fn buckets(&self) -> u32;

    /// Takes the lease of a bucket that nobody has, for so long; none if somebody has it.
    async fn lease(&self, bucket: u32, ttl: Duration) -> Result<Option<BucketLease>, Unavailable>;

    /// Keeps a lease for so long from now on. False if it was lost: then nothing may be published from this bucket any more.
    async fn renew(&self, lease: BucketLease, ttl: Duration) -> Result<bool, Unavailable>;

    /// Gives a lease back. Nothing happens if it was lost.
    async fn give_back(&self, lease: BucketLease) -> Result<(), Unavailable>;

    /// The first entries, at most `max`. Waits up to `wait` for one if there is none. Before that it removes everything up to `taken`, which
    /// the queue has acknowledged; none, and nothing was removed, if there was something to remove and the lease was lost.
    async fn read(
        &self,
        lease: BucketLease,
        taken: Option<&EntryId>,
        max: usize,
        wait: Duration,
    ) -> Result<Option<Page>, Unavailable>;

    /// Says that the queue has acknowledged these entries, in order, so that whoever waits for one of them in this process is told
    /// before they are removed. Each was read under the lease; one that lies between them but was not read is not meant.
    fn acknowledged(&self, lease: BucketLease, entries: &[EntryId]);

    /// Says that the bucket went back in time: without its epoch nobody can hold there until it has recovered.
    async fn drop_epoch(&self, lease: BucketLease) -> Result<(), Unavailable>;

    /// Gives a bucket that has recovered its epoch; its accounts are loaded anew from the database. False if the lease was lost.
    /// Refused if the cache is in another history than the one in which the recovery was seen to.
    async fn set_epoch(&self, lease: BucketLease, history: &str) -> Result<bool, Unavailable>;

    /// Says that a relay is there, for so long from now on, and answers how many are, this one included: their fair share of the buckets
    /// follows from it. A time of zero says that it goes.
    async fn heartbeat(&self, relay: &str, ttl: Duration) -> Result<u32, Unavailable>;

    /// Every event that holds money and waits in a bucket, read without a lease: the relays go on meanwhile.
    async fn pending(&self) -> Result<Vec<Arc<Event>>, Unavailable>;

    /// How many entries wait in all buckets.
    async fn backlog(&self) -> Result<u64, Unavailable>;
}
