//! The real embedded backends and a real database in a directory of their own. The cache and the push bus also remember what they
//! were asked, and in which order; and the cache's disk can be made to fail.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use greenroom::adapters::embedded::{self, Embedded, EmbeddedCache, SystemClock};
use greenroom::adapters::sqlite::Sqlite;
use greenroom::domain::{Account, Amount, Event, EventId, PushMessage, UserId};
use greenroom::ledger::Ledger;
use greenroom::plugin::{Bounds, Registry, Settings, default_mintable_assets};
use greenroom::ports::cache::{
    Cache, CachedAccount, Commit, CommitResult, Epoch, Error, Hold, HoldResult, Lease, Position, Ranked, Release,
    Remembered, Settled, Shard,
};
use greenroom::ports::push_bus::{PushBus, Unavailable};
use greenroom::timer::Timers;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happened {
    Committed(Position),
    Durable(Position),
    Published(usize),
}

/// What the engine works over.
pub struct House {
    pub embedded: Embedded,
    pub db: Arc<Sqlite>,
    pub watched: Arc<Watched>,
}

impl House {
    pub async fn open(dir: &Path) -> Self {
        let embedded = embedded::open(embedded::Settings::new(dir.join("data"))).await.unwrap();
        let db = Sqlite::open(&dir.join("greenroom.db")).await.unwrap();
        embedded.recover(&[]);
        let watched = Arc::new(Watched {
            cache: Arc::clone(&embedded.cache),
            happened: Mutex::default(),
            commits: Mutex::default(),
            pushes: Mutex::default(),
            not_durable: AtomicBool::new(false),
        });
        Self { embedded, db, watched }
    }

    /// An engine over this house; `dir` keeps its compiled code.
    pub async fn registry(&self, dir: &Path, bounds: Bounds) -> Arc<Registry> {
        let (watched, clock) = (&self.watched, Arc::new(SystemClock));
        let settings = Settings {
            compile_cache_dir: dir.join("code"),
            ledger: Arc::new(Ledger::new(watched.clone(), self.db.clone(), self.db.clone(), clock.clone())),
            cache: watched.clone(),
            queue: self.embedded.queue.clone(),
            timers: Arc::new(Timers::new(watched.clone(), clock.clone())),
            push_bus: watched.clone(),
            statements: self.db.clone(),
            pots: self.db.clone(),
            plugins: self.db.clone(),
            clock,
            mintable_assets: default_mintable_assets(),
            bounds,
        };
        Arc::new(Registry::start(settings).await.unwrap())
    }
}

/// The embedded cache, and a push bus without anybody listening.
pub struct Watched {
    cache: Arc<EmbeddedCache>,
    pub happened: Mutex<Vec<Happened>>,
    pub commits: Mutex<Vec<Commit>>,
    pub pushes: Mutex<Vec<PushMessage>>,
    pub not_durable: AtomicBool,
}

impl Watched {
    pub fn take_happened(&self) -> Vec<Happened> {
        std::mem::take(&mut self.happened.lock())
    }
}

#[async_trait]
impl PushBus for Watched {
    async fn publish(&self, messages: Vec<PushMessage>) -> Result<(), Unavailable> {
        self.happened.lock().push(Happened::Published(messages.len()));
        self.pushes.lock().extend(messages);
        Ok(())
    }
    fn subscribe(&self) -> mpsc::Receiver<PushMessage> {
        mpsc::channel(1).1
    }
    async fn announce(&self) -> Result<(), Unavailable> {
        Ok(())
    }
    fn announced(&self) -> watch::Receiver<()> {
        watch::channel(()).1
    }
}

#[async_trait]
impl Cache for Watched {
    async fn durable(&self, position: Position) -> Result<(), Error> {
        if self.not_durable.load(Ordering::SeqCst) {
            return Err(Error::Unavailable("the disk is gone".into()));
        }
        self.cache.durable(position).await?;
        self.happened.lock().push(Happened::Durable(position));
        Ok(())
    }
    async fn commit(&self, commit: Commit) -> Result<CommitResult, Error> {
        self.commits.lock().push(commit.clone());
        let result = self.cache.commit(commit).await?;
        if let CommitResult::Applied(_, position) = &result {
            self.happened.lock().push(Happened::Committed(*position));
        }
        Ok(result)
    }
    async fn epoch(&self, payer: UserId) -> Result<Epoch, Error> {
        self.cache.epoch(payer).await
    }
    async fn hold(&self, hold: Hold, epoch: Epoch) -> Result<HoldResult, Error> {
        self.cache.hold(hold, epoch).await
    }
    async fn outcome(&self, payer: Account, event_id: &EventId) -> Result<Remembered, Error> {
        self.cache.outcome(payer, event_id).await
    }
    async fn account(&self, account: Account) -> Result<Option<CachedAccount>, Error> {
        self.cache.account(account).await
    }
    async fn lease(&self, account: Account) -> Result<Option<Lease>, Error> {
        self.cache.lease(account).await
    }
    async fn fill(
        &self,
        account: Account,
        lease: Lease,
        settled: Option<Settled>,
        waiting: &[Event],
    ) -> Result<bool, Error> {
        self.cache.fill(account, lease, settled, waiting).await
    }
    async fn release(&self, releases: Vec<Release>) -> Result<(), Error> {
        self.cache.release(releases).await
    }
    async fn accounts(&self) -> Result<Vec<(Account, CachedAccount)>, Error> {
        self.cache.accounts().await
    }
    async fn open_holds(&self, account: Account) -> Result<Vec<(EventId, Amount)>, Error> {
        self.cache.open_holds(account).await
    }
    async fn get(&self, shard: &Shard, key: &str, now_ms: u64) -> Result<Option<Bytes>, Error> {
        self.cache.get(shard, key, now_ms).await
    }
    async fn counter(&self, shard: &Shard, key: &str, now_ms: u64) -> Result<i64, Error> {
        self.cache.counter(shard, key, now_ms).await
    }
    async fn contains(&self, shard: &Shard, key: &str, member: &str, now_ms: u64) -> Result<bool, Error> {
        self.cache.contains(shard, key, member, now_ms).await
    }
    async fn keys(&self, shard: &Shard, after: Option<&str>, max: usize, now_ms: u64) -> Result<Vec<Arc<str>>, Error> {
        self.cache.keys(shard, after, max, now_ms).await
    }
    async fn top(
        &self,
        shard: &Shard,
        key: &str,
        offset: usize,
        limit: usize,
        now_ms: u64,
    ) -> Result<Vec<Ranked>, Error> {
        self.cache.top(shard, key, offset, limit, now_ms).await
    }
    async fn rank(&self, shard: &Shard, key: &str, member: &str, now_ms: u64) -> Result<Option<Ranked>, Error> {
        self.cache.rank(shard, key, member, now_ms).await
    }
}
