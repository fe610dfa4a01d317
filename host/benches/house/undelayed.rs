//! The embedded cache, except that nobody waits for the disk: what is left is the work of the processor.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use bytes::Bytes;
use greenroom::adapters::embedded::EmbeddedCache;
use greenroom::domain::{Account, Amount, Event, EventId, UserId};
use greenroom::ports::cache::{
    Cache, CachedAccount, Commit, CommitResult, Epoch, Error, Hold, HoldResult, Lease, Position, Ranked, Release,
    Remembered, Settled, Shard,
};
use parking_lot::Mutex;

/// Says at once that everything is durable.
#[derive(Default)]
pub struct Undelayed {
    inner: OnceLock<Arc<EmbeddedCache>>,
    furthest: Mutex<Position>,
}

impl Undelayed {
    pub fn over(&self, cache: Arc<EmbeddedCache>) {
        assert!(self.inner.set(cache).is_ok(), "there is only one");
    }

    /// Really waits for the disk, between two measurements.
    pub async fn catch_up(&self) {
        let furthest = *self.furthest.lock();
        self.inner().durable(furthest).await.unwrap();
    }

    fn inner(&self) -> &EmbeddedCache {
        self.inner.get().unwrap()
    }
}

#[async_trait]
impl Cache for Undelayed {
    async fn durable(&self, position: Position) -> Result<(), Error> {
        let mut furthest = self.furthest.lock();
        *furthest = position.max(*furthest);
        Ok(())
    }
    async fn epoch(&self, payer: UserId) -> Result<Epoch, Error> {
        self.inner().epoch(payer).await
    }
    async fn hold(&self, hold: Hold, epoch: Epoch) -> Result<HoldResult, Error> {
        self.inner().hold(hold, epoch).await
    }
    async fn outcome(&self, payer: Account, event_id: &EventId) -> Result<Remembered, Error> {
        self.inner().outcome(payer, event_id).await
    }
    async fn account(&self, account: Account) -> Result<Option<CachedAccount>, Error> {
        self.inner().account(account).await
    }
    async fn lease(&self, account: Account) -> Result<Option<Lease>, Error> {
        self.inner().lease(account).await
    }
    async fn fill(
        &self,
        account: Account,
        lease: Lease,
        settled: Option<Settled>,
        waiting: &[Event],
    ) -> Result<bool, Error> {
        self.inner().fill(account, lease, settled, waiting).await
    }
    async fn release(&self, releases: Vec<Release>) -> Result<(), Error> {
        self.inner().release(releases).await
    }
    async fn accounts(&self) -> Result<Vec<(Account, CachedAccount)>, Error> {
        self.inner().accounts().await
    }
    async fn open_holds(&self, account: Account) -> Result<Vec<(EventId, Amount)>, Error> {
        self.inner().open_holds(account).await
    }
    async fn commit(&self, commit: Commit) -> Result<CommitResult, Error> {
        self.inner().commit(commit).await
    }
    async fn get(&self, shard: &Shard, key: &str, now_ms: u64) -> Result<Option<Bytes>, Error> {
        self.inner().get(shard, key, now_ms).await
    }
    async fn counter(&self, shard: &Shard, key: &str, now_ms: u64) -> Result<i64, Error> {
        self.inner().counter(shard, key, now_ms).await
    }
    async fn contains(&self, shard: &Shard, key: &str, member: &str, now_ms: u64) -> Result<bool, Error> {
        self.inner().contains(shard, key, member, now_ms).await
    }
    async fn keys(&self, shard: &Shard, after: Option<&str>, limit: usize, now: u64) -> Result<Vec<Arc<str>>, Error> {
        self.inner().keys(shard, after, limit, now).await
    }
    async fn top(&self, s: &Shard, key: &str, offset: usize, limit: usize, now: u64) -> Result<Vec<Ranked>, Error> {
        self.inner().top(s, key, offset, limit, now).await
    }
    async fn rank(&self, shard: &Shard, key: &str, member: &str, now_ms: u64) -> Result<Option<Ranked>, Error> {
        self.inner().rank(shard, key, member, now_ms).await
    }
}
