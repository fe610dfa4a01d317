//! The cache: what the port asks for, step by step, each of which is one script.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use bytes::Bytes;

use super::Settings;
use super::durability::{Step, Steps};
use super::event::Known;
use super::keys::{BucketKeys, Keys};
use super::reply::{Reply, parse, text};
use super::scripts::{Call, EPOCH, OUTCOME};
use super::server::Server;
use crate::domain::{Account, Amount, Event, EventId, UserId};
use crate::ports::cache::{
    Cache, CachedAccount, Commit, CommitResult, Epoch, Error, Hold, HoldResult, Lease, Position, Ranked, Release,
    Remembered, Settled, Shard,
};

/// The port promises that outcomes are kept at least a day.
const OUTCOME_LIFETIME_MIN: Duration = Duration::from_secs(86_400);
/// A client's clock may be five minutes ahead of ours, and ours a minute apart from the server's.
const CLOCKS_APART_MS: u64 = 360_000;

/// The cache in Redis. Made by [`super::open`].
#[derive(Debug)]
pub struct RedisCache {
    pub(super) server: Server,
    pub(super) keys: Arc<Keys>,
    pub(super) steps: Arc<Steps>,
    pub(super) settings: Settings,
    /// The number of each bucket's epoch as it was last seen; 0 for none.
    epochs: Vec<AtomicU64>,
}

impl RedisCache {
    pub(super) fn new(server: Server, keys: Arc<Keys>, steps: Arc<Steps>, settings: Settings) -> Self {
        let outcome_lifetime = settings.outcome_lifetime.max(OUTCOME_LIFETIME_MIN);
        let settings = Settings { outcome_lifetime, ..settings };
        let epochs = (0..keys.buckets()).map(|_| AtomicU64::new(0)).collect();
        Self { server, keys, steps, settings, epochs }
    }

    /// The bound of one bucket's outbox.
    pub(super) fn outbox_share(&self) -> u64 {
        (self.settings.outbox_len_max / u64::from(self.keys.buckets())).max(1)
    }

    /// The position of a step that has left an outcome.
    pub(super) fn position_of(&self, bucket: u32, trace: String, known: &Known) -> Position {
        self.steps.position(Step { bucket, trace: Some(trace), entry: Some(known.entry.clone()) })
    }

    /// The number of the bucket's epoch: the one that was seen last, which every hold compares with what there is; 0 if there is none.
    async fn epoch_number(&self, keys: &BucketKeys) -> Result<u64, String> {
        let Some(seen) = self.epochs.get(keys.bucket as usize) else { return Ok(0) };
        let known = seen.load(Ordering::Relaxed);
        if known != 0 {
            return Ok(known);
        }
        let found = parse(&text(self.server.run(Call::new(&EPOCH, &[&keys.epoch()])).await?)?)?;
        seen.store(found, Ordering::Relaxed);
        Ok(found)
    }

    /// The bucket has another epoch than the one that was seen last, or none.
    pub(super) fn forget_epoch(&self, bucket: u32) {
        if let Some(seen) = self.epochs.get(bucket as usize) {
            seen.store(0, Ordering::Relaxed);
        }
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn unavailable(reason: String) -> Error {
    Error::Unavailable(reason)
}

#[async_trait]
impl Cache for RedisCache {
    async fn epoch(&self, payer: UserId) -> Result<Epoch, Error> {
        let number = self.epoch_number(&self.keys.of_user(payer)).await.map_err(unavailable)?;
        if number == 0 {
            return Ok(Epoch::NONE);
        }
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis);
        let kept_since_ms = now_ms.saturating_sub(millis(self.settings.outcome_lifetime));
        let complete_since_ms = (number / 1_000).max(kept_since_ms).saturating_add(CLOCKS_APART_MS);
        Ok(Epoch { number, complete_since_ms })
    }

    async fn hold(&self, hold: Hold, epoch: Epoch) -> Result<HoldResult, Error> {
        self.make_hold(hold, epoch).await
    }

    async fn durable(&self, position: Position) -> Result<(), Error> {
        self.steps.durable(position).await.map_err(unavailable)
    }

    async fn outcome(&self, payer: Account, event_id: &EventId) -> Result<Remembered, Error> {
        let keys = self.keys.of_user(payer.user_id);
        let trace = keys.outcome(payer.user_id, event_id);
        let call = Call::new(&OUTCOME, &[&keys.epoch(), &trace, &keys.account(payer)]).arg(event_id.as_str());
        let mut answer = Reply::new(self.server.run(call).await.map_err(unavailable)?).map_err(unavailable)?;
        match answer.text().map_err(unavailable)?.as_str() {
            "known" => {
                let known = Known::read(&answer.text().map_err(unavailable)?).map_err(unavailable)?;
                let digest = known.digest().map_err(unavailable)?;
                let position = self.position_of(keys.bucket, trace, &known);
                Ok(Remembered::Known(digest, known.outcome, position))
            }
            "recovering" => Err(Error::Recovering),
            "miss" => Ok(Remembered::Miss),
            "unknown" => Ok(Remembered::Unknown),
            other => Err(Error::Unavailable(format!("strange answer: {other}"))),
        }
    }

    async fn account(&self, account: Account) -> Result<Option<CachedAccount>, Error> {
        self.read_account(account).await.map_err(unavailable)
    }

    async fn lease(&self, account: Account) -> Result<Option<Lease>, Error> {
        self.take_lease(account).await.map_err(unavailable)
    }

    async fn fill(
        &self,
        account: Account,
        lease: Lease,
        settled: Option<Settled>,
        waiting: &[Event],
    ) -> Result<bool, Error> {
        self.fill_account(account, lease, settled, waiting).await.map_err(unavailable)
    }

    async fn release(&self, releases: Vec<Release>) -> Result<(), Error> {
        self.release_holds(releases).await.map_err(unavailable)
    }

    async fn accounts(&self) -> Result<Vec<(Account, CachedAccount)>, Error> {
        let mut all = Vec::new();
        for bucket in 0..self.keys.buckets() {
            self.accounts_of(bucket, &mut all).await.map_err(unavailable)?;
        }
        Ok(all)
    }

    async fn open_holds(&self, account: Account) -> Result<Vec<(EventId, Amount)>, Error> {
        self.holds_of(account).await.map_err(unavailable)
    }

    async fn commit(&self, commit: Commit) -> Result<CommitResult, Error> {
        self.make_commit(commit).await
    }

    async fn get(&self, shard: &Shard, key: &str, now_ms: u64) -> Result<Option<Bytes>, Error> {
        self.read_bytes(shard, key, now_ms).await
    }

    async fn counter(&self, shard: &Shard, key: &str, now_ms: u64) -> Result<i64, Error> {
        self.read_counter(shard, key, now_ms).await
    }

    async fn contains(&self, shard: &Shard, key: &str, member: &str, now_ms: u64) -> Result<bool, Error> {
        self.read_member(shard, key, member, now_ms).await
    }

    async fn keys(
        &self,
        shard: &Shard,
        after: Option<&str>,
        limit: usize,
        now_ms: u64,
    ) -> Result<Vec<Arc<str>>, Error> {
        self.list(shard, after, limit, now_ms).await.map_err(unavailable)
    }

    async fn top(
        &self,
        shard: &Shard,
        key: &str,
        offset: usize,
        limit: usize,
        now_ms: u64,
    ) -> Result<Vec<Ranked>, Error> {
        self.read_top(shard, key, (offset, limit), now_ms).await
    }

    async fn rank(&self, shard: &Shard, key: &str, member: &str, now_ms: u64) -> Result<Option<Ranked>, Error> {
        self.read_rank(shard, key, member, now_ms).await
    }
}
