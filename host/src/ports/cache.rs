//! The cache: accounts with their open holds, the outcomes of events, the outbox, and the plugins' key space.
//!
//! Step 5 of the way of a gift. Whatever belongs to one user or one shard is in one bucket, and a bucket changes in atomic
//! steps. A step returns a [`Position`]; it may be lost in a crash until [`Cache::durable`] has returned for it, so nobody
//! outside may be told of it before. Steps of one bucket become durable in the order in which they were made.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::domain::{Account, Amount, ContentDigest, Event, EventId, Outcome, RoomId, UserId};

/// Why a step was not made, or its durability is not known.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The outbox or a buffer has reached its bound; nothing was done. Worth a retry.
    #[error("{0} is full")]
    Full(&'static str),
    /// The cache does not answer; the step may or may not have been made. The same event id finds out.
    #[error("the cache is unavailable: {0}")]
    Unavailable(String),
    /// The bucket has lost data and is not recovered yet; nothing was done. Worth a retry, but not by who holds up settling: recovering
    /// waits for that.
    #[error("the bucket is recovering")]
    Recovering,
    /// The key holds another kind of value; nothing was done.
    #[error("key {0:?} holds another kind of value")]
    WrongKind(String),
}

/// How far a bucket must be durable before somebody may be told of a step. Positions of one bucket are ordered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(pub u64);

/// A balance as the database has it. A greater version is newer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    /// The settled balance.
    pub balance: Amount,
    /// Grows by one with each settle that touches the account.
    pub version: i64,
}

/// An account as the cache has it. Spendable is `settled.balance - held`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CachedAccount {
    /// The newest settled balance that the cache has seen.
    pub settled: Settled,
    /// The sum of the open holds.
    pub held: Amount,
}

/// What is to be released of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// Which.
    pub account: Account,
    /// Its holds that are settled or void.
    pub events: Vec<EventId>,
    /// Its balance after that; none if it is not known.
    pub settled: Option<Settled>,
}

/// A plugin's shard: the unit of atomicity of its own keys.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Shard {
    /// The plugin.
    pub plugin: Arc<str>,
    /// The plugin's own name for the shard.
    pub name: Arc<str>,
}

/// A counter that is changed with a hold. It lives in the payer's bucket, in the shard `user/<payer>` of the plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CounterAdd {
    /// The key in that shard.
    pub key: Arc<str>,
    /// Added to the counter, which starts at 0.
    pub delta: i64,
    /// The hold is refused if the counter would rise above this.
    pub max: Option<i64>,
    /// Forgotten so long after the last change.
    pub ttl_ms: u32,
}

/// The first phase: what to reserve, and the event that tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// The key of the outcome, with the payer.
    pub event_id: EventId,
    /// Who pays.
    pub payer: Account,
    /// 1 or more.
    pub amount: Amount,
    /// Tells a repetition from a reuse.
    pub digest: ContentDigest,
    /// The plugin in whose key space the counters are.
    pub plugin: Arc<str>,
    /// Applied all or none.
    pub counters: Vec<CounterAdd>,
    /// The topic of the event.
    pub topic: Arc<str>,
    /// The room, if any.
    pub room_id: Option<RoomId>,
    /// The payload of the event.
    pub payload: Bytes,
    /// Now, by the caller's clock: the event's time, and what the counters' times to live count from.
    pub now_ms: u64,
}

/// A time in which a bucket has lost nothing. Who holds names the one under which the database was asked about the event, so that
/// nothing which was lost and settled in between is held a second time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Epoch {
    /// No two epochs of a bucket have the same one.
    pub number: u64,
    /// Events made (by their own `UUIDv7` time) at or after this moment have their outcomes in the cache if they were ever held, as
    /// long as this is the bucket's epoch; for others only the database knows. Milliseconds since the Unix epoch.
    pub complete_since_ms: u64,
}

impl Epoch {
    /// That of a bucket which is being recovered: nothing can be held under it.
    pub const NONE: Self = Self { number: 0, complete_since_ms: u64::MAX };
}

/// What became of a hold. Only `Held` has changed anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HoldResult {
    /// Reserved, remembered and appended to the outbox.
    Held(Outcome, Position),
    /// The event was known with the same digest: what it was answered with. The position is that of the first time.
    Replayed(Outcome, Position),
    /// The event is known with another digest.
    Reused,
    /// The account is not cached: load it, then ask again.
    Miss,
    /// The account is remembered as not existing.
    NoAccount,
    /// Too little; what can be spent.
    Insufficient(Amount),
    /// The index of the counter that would pass its maximum.
    LimitReached(usize),
    /// The bucket has lost data and is being recovered.
    Recovering,
    /// The bucket has another epoch than the one that was named: ask the database again, then hold again.
    OtherEpoch,
}

/// What is remembered of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remembered {
    /// Its content and what it was answered with. The position is that of the first time.
    Known(ContentDigest, Outcome, Position),
    /// Nothing: if it was ever held, the database knows it.
    Unknown,
    /// Nothing, and the account is not cached, so it may have been set aside: load the account, then ask again.
    Miss,
}

/// The right to fill an absent account, taken before the database is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease(pub u64);

/// One change of a plugin's shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// Writes bytes.
    Put {
        /// The key.
        key: Arc<str>,
        /// The bytes.
        value: Bytes,
        /// Time to live.
        ttl_ms: Option<u32>,
    },
    /// Removes a key of any kind.
    Delete {
        /// The key.
        key: Arc<str>,
    },
    /// Adds to a counter.
    Add {
        /// The key.
        key: Arc<str>,
        /// How much.
        delta: i64,
        /// The commit is refused if the counter would rise above this.
        max: Option<i64>,
        /// Time to live since the last change.
        ttl_ms: Option<u32>,
    },
    /// Adds a member to a set.
    SetAdd {
        /// The key.
        key: Arc<str>,
        /// The member.
        member: Arc<str>,
    },
    /// Removes a member from a set.
    SetRemove {
        /// The key.
        key: Arc<str>,
        /// The member.
        member: Arc<str>,
    },
    /// Adds to a member's score in a ranking.
    RankAdd {
        /// The key.
        key: Arc<str>,
        /// The member.
        member: Arc<str>,
        /// How much.
        delta: i64,
        /// Time to live of the whole ranking since its last change.
        ttl_ms: Option<u32>,
    },
    /// Gives a member that is not there the score that is one above the number of members; one that is there keeps its own.
    RankEnter {
        /// The key.
        key: Arc<str>,
        /// The member.
        member: Arc<str>,
        /// The commit is refused if there would be more members than this.
        max: Option<u32>,
        /// Time to live of the whole ranking since the last one who came.
        ttl_ms: Option<u32>,
    },
    /// Gives a member a score in a ranking that is kept until it is empty or deleted.
    RankSet {
        /// The key.
        key: Arc<str>,
        /// The member.
        member: Arc<str>,
        /// Its score from now on.
        score: i64,
    },
    /// Removes a member from a ranking.
    RankRemove {
        /// The key.
        key: Arc<str>,
        /// The member.
        member: Arc<str>,
    },
}

/// A condition: the key's bytes are these, or the key is absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// The key.
    pub key: Arc<str>,
    /// Its bytes.
    pub expected: Option<Bytes>,
}

/// One atomic step in a plugin's shard: checks, then writes, then events for the outbox; all or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Where.
    pub shard: Shard,
    /// If given, the step is made at most once for this key, within a day.
    pub once: Option<Arc<str>>,
    /// Looked at first.
    pub checks: Vec<Check>,
    /// Made in order.
    pub writes: Vec<Write>,
    /// Appended to the outbox; none of them holds money.
    pub events: Vec<Event>,
    /// Now, by the caller's clock.
    pub now_ms: u64,
}

/// What became of a commit. Only `Applied` has changed anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommitResult {
    /// One number for each write: the new value of a counter or score, 1 or 0 for whether a set changed, else 0.
    Applied(Vec<i64>, Position),
    /// The index of the first check that did not hold.
    CheckFailed(usize),
    /// The index of the write that would have passed its maximum, or left 64 bits.
    LimitReached(usize),
    /// The key of `once` was used before.
    Repeated(Position),
}

/// A member of a ranking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ranked {
    /// Who.
    pub member: Arc<str>,
    /// How much.
    pub score: i64,
    /// 1 is the highest score; equal scores are ordered by member.
    pub rank: u32,
}

/// See the module's text for what all of it promises. Every method is safe to cancel: it has then been made or not.
#[async_trait]
pub trait Cache: Send + Sync {
    /// The epoch of the payer's bucket: what a hold has to name. May be an older one; the hold then says so.
    async fn epoch(&self, payer: UserId) -> Result<Epoch, Error>;

    /// Reserves, remembers the outcome and appends the event, in one atomic step, unless the bucket has another epoch than this. The
    /// order of answers is that of the protocol: known event, recovering, epoch, miss, counters, balance. Idempotent by (payer, event
    /// id).
    async fn hold(&self, hold: Hold, epoch: Epoch) -> Result<HoldResult, Error>;

    /// Returns once the step with this position, and everything before it in its bucket, would survive a crash. Safe to cancel.
    async fn durable(&self, position: Position) -> Result<(), Error>;

    /// What the cache remembers of an event. An event that is still on its way is never unknown: while the bucket is being recovered the
    /// answer is `Recovering`, and what was set aside is known once the account is cached.
    async fn outcome(&self, payer: Account, event_id: &EventId) -> Result<Remembered, Error>;

    /// The account, or none if it is not cached. An account remembered as not existing counts as not cached.
    async fn account(&self, account: Account) -> Result<Option<CachedAccount>, Error>;

    /// The right to fill an absent account; none if the account is cached or somebody else has the lease. It lasts a few seconds.
    async fn lease(&self, account: Account) -> Result<Option<Lease>, Error>;

    /// Fills the account with what the database had after the lease was taken; none remembers for a short time that there is
    /// no such account. In the same step the events that wait at the account's cost become open holds with their outcomes, each
    /// once, unless they are open already. Does nothing, and says false, if the lease is gone or the account is there.
    async fn fill(
        &self,
        account: Account,
        lease: Lease,
        settled: Option<Settled>,
        waiting: &[Event],
    ) -> Result<bool, Error>;

    /// For each account, removes these open holds (each at most once) and takes the settled balance if its version is newer, in one
    /// step. If the account is not cached, ends a lease on it, so that a load under way starts over. Idempotent. All are tried, even if
    /// one fails; then the first fault is told.
    async fn release(&self, releases: Vec<Release>) -> Result<(), Error>;

    /// Every cached account with open holds or without, for reconciliation: a snapshot of one bucket at a time.
    async fn accounts(&self) -> Result<Vec<(Account, CachedAccount)>, Error>;

    /// The open holds of an account.
    async fn open_holds(&self, account: Account) -> Result<Vec<(EventId, Amount)>, Error>;

    /// One atomic step in a plugin's shard.
    async fn commit(&self, commit: Commit) -> Result<CommitResult, Error>;

    /// The bytes of a key.
    async fn get(&self, shard: &Shard, key: &str, now_ms: u64) -> Result<Option<Bytes>, Error>;

    /// The value of a counter; 0 if there is none.
    async fn counter(&self, shard: &Shard, key: &str, now_ms: u64) -> Result<i64, Error>;

    /// Whether a member is in a set.
    async fn contains(&self, shard: &Shard, key: &str, member: &str, now_ms: u64) -> Result<bool, Error>;

    /// The keys of a shard after the given one, in order, at most `limit`.
    async fn keys(&self, shard: &Shard, after: Option<&str>, limit: usize, now_ms: u64)
    -> Result<Vec<Arc<str>>, Error>;

    /// A part of a ranking, highest first.
    async fn top(
        &self,
        shard: &Shard,
        key: &str,
        offset: usize,
        limit: usize,
        now_ms: u64,
    ) -> Result<Vec<Ranked>, Error>;

    /// A member's place in a ranking.
    async fn rank(&self, shard: &Shard, key: &str, member: &str, now_ms: u64) -> Result<Option<Ranked>, Error>;
}
