//! The cache in memory: buckets with a lock each, made durable by the journal. Step 5 of the way of a gift.
//!
//! A step is applied at once and does not wait for the disk; the caller awaits [`Cache::durable`] before it tells anybody. The
//! journal is outbox and queue at once, so nothing carries events from one to the other. Bounds: accounts and outcomes a bucket, the
//! outbox, the journal's buffer, and the entries of the key space, which are counted by the sweep: until it has found the bound
//! passed, commits may pass it; then those that could grow are refused. Holds go on. A bucket never answers `Recovering`: the holds of
//! unsettled events are back before the cache opens.

mod accounts;
mod bucket;
mod outcomes;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};

pub(super) use accounts::Lifetimes;
use accounts::Lookup;
pub(super) use bucket::ShardCopy;
use bucket::{Bucket, Outside};

use super::journal::Journal;
use super::key_space::{ShardKeys, Slot};
use super::queue::log::Log;
use super::record::{Effect, stable_hash};
use crate::domain::{Account, Amount, Event, EventId, UserId};
use crate::ports::cache::{
    Cache, CachedAccount, Commit, CommitResult, Epoch, Error, Hold, HoldResult, Lease, Position, Ranked, Release,
    Remembered, Settled, Shard,
};

/// How the cache is divided and bounded; sums over all buckets.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) buckets: usize,
    pub(super) accounts_max: usize,
    pub(super) outcomes_max: usize,
    pub(super) entries_max: u64,
    pub(super) lifetimes: Lifetimes,
}

/// All buckets. Recovery fills them before there is a journal to append to.
#[derive(Debug)]
pub(super) struct Buckets {
    buckets: Vec<Mutex<Bucket>>,
    complete_since_ms: AtomicU64,
    entries_max: u64,
    /// As the last sweep found it.
    is_full: AtomicBool,
}

/// The cache of the embedded mode. Made by [`super::open`].
#[derive(Debug)]
pub struct EmbeddedCache {
    pub(super) buckets: Arc<Buckets>,
    pub(super) journal: Arc<Journal>,
    pub(super) log: Arc<Log>,
    pub(super) next_lease: AtomicU64,
}

impl Buckets {
    pub(super) fn new(bounds: Bounds) -> Self {
        let count = bounds.buckets.max(1);
        let share = |sum: usize| (sum / count).max(1);
        let bucket =
            |_| Mutex::new(Bucket::new(share(bounds.accounts_max), share(bounds.outcomes_max), bounds.lifetimes));
        Self {
            buckets: (0..count).map(bucket).collect(),
            complete_since_ms: AtomicU64::new(0),
            entries_max: bounds.entries_max,
            is_full: AtomicBool::new(false),
        }
    }

    #[expect(clippy::indexing_slicing, reason = "the remainder is below the length, and there is at least one bucket")]
    fn at(&self, hash: u64) -> MutexGuard<'_, Bucket> {
        self.buckets[(hash % self.buckets.len() as u64) as usize].lock()
    }

    fn of_user(&self, user: UserId) -> MutexGuard<'_, Bucket> {
        self.at(stable_hash(&user.0.to_le_bytes()))
    }

    /// The shard `user/<id>` is in that user's bucket, so that a hold can change its counters.
    fn of_shard(&self, name: &str) -> MutexGuard<'_, Bucket> {
        match name.strip_prefix("user/").and_then(|user| user.parse().ok()) {
            Some(user) => self.of_user(UserId(user)),
            None => self.at(stable_hash(name.as_bytes())),
        }
    }

    /// Outcomes of events before this moment may be missing from now on.
    pub(super) fn incomplete_before(&self, at_ms: u64) {
        self.complete_since_ms.fetch_max(at_ms, Ordering::Relaxed);
    }

    /// Remembers the outcome of an event that was held before the restart.
    pub(super) fn recover_outcome(&self, event: &Event, position: Position) {
        let Some(held) = &event.held else { return };
        let gone = self.of_user(held.payer.user_id).remember(event, position);
        self.note_gone(gone);
    }

    /// Opens the hold of an event that was not settled before the restart.
    pub(super) fn recover_hold(&self, event: &Event) {
        let Some(held) = &event.held else { return };
        let mut bucket = self.of_user(held.payer.user_id);
        bucket.accounts.open(held.payer, event.event_id.clone(), held.outcome.amount);
    }

    /// Repeats what the journal says was done in a shard.
    pub(super) fn recover_step(
        &self,
        shard: Shard,
        once: Option<(&str, u64)>,
        effects: &[Effect<'_>],
        position: Position,
    ) {
        let mut bucket = self.of_shard(&shard.name);
        let keys = bucket.shards.entry(shard).or_default();
        effects.iter().for_each(|effect| keys.replay(effect));
        if let Some((key, expires_ms)) = once {
            keys.set_once(&key.into(), expires_ms, position);
        }
    }

    /// Changes a shard as a checkpoint has it.
    pub(super) fn load(&self, shard: &Shard, load: impl FnOnce(&mut ShardKeys)) {
        let mut bucket = self.of_shard(&shard.name);
        load(bucket.shards.entry(shard.clone()).or_default());
    }

    /// Puts a key of a checkpoint back.
    pub(super) fn load_key(&self, shard: &Shard, key: Arc<str>, slot: Slot) {
        self.load(shard, |keys| keys.load(key, slot));
    }

    /// Copies what has changed since the last call. Other tasks have their turn between two buckets.
    pub(super) async fn take_dirty(&self) -> Vec<ShardCopy> {
        let mut copies = Vec::new();
        for bucket in &self.buckets {
            bucket.lock().take_dirty(&mut copies);
            tokio::task::yield_now().await;
        }
        copies
    }

    /// Counts what was copied as changed again, because the checkpoint failed.
    pub(super) fn mark_dirty(&self, copies: &[ShardCopy]) {
        for copy in copies {
            self.load(&copy.shard, |keys| keys.mark_dirty(&copy.keys, &copy.once));
        }
    }

    /// The latest time that a step has told.
    pub(super) fn now_ms(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.lock().now_ms).max().unwrap_or(0)
    }

    /// Removes what has expired, and finds out whether the key space is full. Other tasks have their turn between two buckets.
    pub(super) async fn sweep(&self) {
        let mut entries = 0;
        for bucket in &self.buckets {
            entries += bucket.lock().sweep();
            tokio::task::yield_now().await;
        }
        let is_full = entries > self.entries_max;
        if is_full != self.is_full.swap(is_full, Ordering::Relaxed) {
            tracing::warn!(entries, is_full, "the key space has passed its bound");
        }
    }

    fn note_gone(&self, gone: Option<u64>) {
        if let Some(at_ms) = gone {
            self.incomplete_before(at_ms.saturating_add(1));
        }
    }

    /// Reads a shard; the default if there is none.
    fn read<T: Default>(&self, shard: &Shard, read: impl FnOnce(&ShardKeys) -> Result<T, Error>) -> Result<T, Error> {
        self.of_shard(&shard.name).shards.get(shard).map_or_else(|| Ok(T::default()), read)
    }
}

impl EmbeddedCache {
    fn outside(&self) -> Outside<'_> {
        Outside { journal: &self.journal, log: &self.log }
    }
}

fn ranked(index: usize, member: &Arc<str>, score: i64) -> Ranked {
    Ranked { member: Arc::clone(member), score, rank: u32::try_from(index + 1).unwrap_or(u32::MAX) }
}

#[async_trait]
impl Cache for EmbeddedCache {
    async fn epoch(&self, _payer: UserId) -> Result<Epoch, Error> {
        // The journal loses nothing, so there is one.
        Ok(Epoch { number: 1, complete_since_ms: self.buckets.complete_since_ms.load(Ordering::Relaxed) })
    }

    async fn hold(&self, hold: Hold, _epoch: Epoch) -> Result<HoldResult, Error> {
        let (result, gone) = self.buckets.of_user(hold.payer.user_id).hold(hold, self.outside())?;
        self.buckets.note_gone(gone);
        Ok(result)
    }

    async fn durable(&self, position: Position) -> Result<(), Error> {
        Ok(self.journal.durable(position).await?)
    }

    /// What was set aside is known from the start, so no account has to be loaded for it.
    async fn outcome(&self, payer: Account, event_id: &EventId) -> Result<Remembered, Error> {
        let bucket = self.buckets.of_user(payer.user_id);
        Ok(bucket.outcomes.get(payer.user_id, event_id).map_or(Remembered::Unknown, |known| {
            Remembered::Known(known.digest, known.outcome.clone(), known.position)
        }))
    }

    async fn account(&self, account: Account) -> Result<Option<CachedAccount>, Error> {
        match self.buckets.of_user(account.user_id).accounts.look(account) {
            Lookup::Cached(cached) => Ok(Some(cached)),
            Lookup::Unknown | Lookup::DoesNotExist => Ok(None),
        }
    }

    async fn lease(&self, account: Account) -> Result<Option<Lease>, Error> {
        let lease = Lease(self.next_lease.fetch_add(1, Ordering::Relaxed));
        Ok(self.buckets.of_user(account.user_id).accounts.lease(account, lease))
    }

    async fn fill(
        &self,
        account: Account,
        lease: Lease,
        settled: Option<Settled>,
        waiting: &[Event],
    ) -> Result<bool, Error> {
        let (is_filled, gone) = self.buckets.of_user(account.user_id).fill(account, lease, settled, waiting);
        self.buckets.note_gone(gone);
        Ok(is_filled)
    }

    async fn release(&self, releases: Vec<Release>) -> Result<(), Error> {
        for Release { account, events, settled } in releases {
            self.buckets.of_user(account.user_id).accounts.release(account, &events, settled);
        }
        Ok(())
    }

    async fn accounts(&self) -> Result<Vec<(Account, CachedAccount)>, Error> {
        let mut all = Vec::new();
        for bucket in &self.buckets.buckets {
            all.extend(bucket.lock().accounts.all());
        }
        Ok(all)
    }

    async fn open_holds(&self, account: Account) -> Result<Vec<(EventId, Amount)>, Error> {
        Ok(self.buckets.of_user(account.user_id).accounts.open_holds(account))
    }

    async fn commit(&self, commit: Commit) -> Result<CommitResult, Error> {
        if self.buckets.is_full.load(Ordering::Relaxed) && bucket::grows(&commit) {
            return Err(Error::Full("the key space"));
        }
        self.buckets.of_shard(&Arc::clone(&commit.shard.name)).commit(commit, self.outside())
    }

    async fn get(&self, shard: &Shard, key: &str, now_ms: u64) -> Result<Option<Bytes>, Error> {
        self.buckets.read(shard, |keys| keys.bytes(key, now_ms))
    }

    async fn counter(&self, shard: &Shard, key: &str, now_ms: u64) -> Result<i64, Error> {
        self.buckets.read(shard, |keys| keys.counter(key, now_ms))
    }

    async fn contains(&self, shard: &Shard, key: &str, member: &str, now_ms: u64) -> Result<bool, Error> {
        self.buckets.read(shard, |keys| keys.contains(key, member, now_ms))
    }

    async fn keys(
        &self,
        shard: &Shard,
        after: Option<&str>,
        limit: usize,
        now_ms: u64,
    ) -> Result<Vec<Arc<str>>, Error> {
        self.buckets.read(shard, |keys| Ok(keys.keys(after, limit, now_ms)))
    }

    async fn top(
        &self,
        shard: &Shard,
        key: &str,
        offset: usize,
        limit: usize,
        now_ms: u64,
    ) -> Result<Vec<Ranked>, Error> {
        self.buckets.read(shard, |keys| {
            let Some(ranking) = keys.ranking(key, now_ms)? else { return Ok(Vec::new()) };
            let places = (offset..).zip(ranking.from(offset)).take(limit);
            Ok(places.map(|(index, (member, score))| ranked(index, member, score)).collect())
        })
    }

    async fn rank(&self, shard: &Shard, key: &str, member: &str, now_ms: u64) -> Result<Option<Ranked>, Error> {
        self.buckets.read(shard, |keys| {
            let ranking = keys.ranking(key, now_ms)?;
            let place = ranking.and_then(|ranking| ranking.rank(member));
            Ok(place.map(|(index, score)| ranked(index, &member.into(), score)))
        })
    }
}
