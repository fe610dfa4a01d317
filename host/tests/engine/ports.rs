//! The smallest ports that the engine can run over: they remember what they were asked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use greenroom::domain::{
    Account, Amount, AssetType, ContentDigest, Event, EventId, EventTime, Outcome, Posting, PushMessage, UserId,
};
use greenroom::ports::cache::{
    Cache, CachedAccount, Commit, CommitResult, Error, Hold, HoldResult, Lease, Position, Ranked, Settled, Shard,
};
use greenroom::ports::clock::Clock;
use greenroom::ports::db::{self, PostResult, Posted, PostedEvent, Record, RecordCursor, Step, StoredPlugin};
use greenroom::ports::push_bus::{PushBus, Unavailable};
use greenroom::ports::queue::{Consumer, Queue};
use parking_lot::Mutex;
use semver::Version;
use tokio::sync::mpsc;

/// What happened, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happened {
    Committed(u64),
    Durable(u64),
    Published(usize),
}

/// Every port that the engine needs.
#[derive(Default)]
pub struct Ports {
    pub happened: Mutex<Vec<Happened>>,
    pub commits: Mutex<Vec<Commit>>,
    pub pushes: Mutex<Vec<PushMessage>>,
    pub not_durable: AtomicBool,
    position: AtomicU64,
    plugins: Mutex<BTreeMap<(String, Version), StoredPlugin>>,
}

impl Ports {
    pub fn take_happened(&self) -> Vec<Happened> {
        std::mem::take(&mut self.happened.lock())
    }
}

#[async_trait]
impl Cache for Ports {
    async fn hold(&self, _: Hold) -> Result<HoldResult, Error> {
        Ok(HoldResult::NoAccount)
    }
    async fn durable(&self, position: Position) -> Result<(), Error> {
        tokio::task::yield_now().await;
        if self.not_durable.load(Ordering::SeqCst) {
            return Err(Error::Unavailable("the disk is gone".into()));
        }
        self.happened.lock().push(Happened::Durable(position.0));
        Ok(())
    }
    async fn outcome(&self, _: UserId, _: &EventId) -> Result<Option<(ContentDigest, Outcome, Position)>, Error> {
        Ok(None)
    }
    async fn outcomes_complete_since_ms(&self) -> Result<u64, Error> {
        Ok(0)
    }
    async fn account(&self, _: Account) -> Result<Option<CachedAccount>, Error> {
        Ok(None)
    }
    async fn lease(&self, _: Account) -> Result<Option<Lease>, Error> {
        Ok(None)
    }
    async fn fill(&self, _: Account, _: Lease, _: Option<Settled>) -> Result<bool, Error> {
        Ok(false)
    }
    async fn release(&self, _: Account, _: &[EventId], _: Option<Settled>) -> Result<(), Error> {
        Ok(())
    }
    async fn accounts(&self) -> Result<Vec<(Account, CachedAccount)>, Error> {
        Ok(Vec::new())
    }
    async fn open_holds(&self, _: Account) -> Result<Vec<(EventId, Amount)>, Error> {
        Ok(Vec::new())
    }
    async fn commit(&self, commit: Commit) -> Result<CommitResult, Error> {
        let position = self.position.fetch_add(1, Ordering::SeqCst) + 1;
        self.happened.lock().push(Happened::Committed(position));
        let numbers = vec![0; commit.writes.len()];
        self.commits.lock().push(commit);
        Ok(CommitResult::Applied(numbers, Position(position)))
    }
    async fn get(&self, _: &Shard, _: &str, _: u64) -> Result<Option<Bytes>, Error> {
        Ok(None)
    }
    async fn counter(&self, _: &Shard, _: &str, _: u64) -> Result<i64, Error> {
        Ok(0)
    }
    async fn contains(&self, _: &Shard, _: &str, _: &str, _: u64) -> Result<bool, Error> {
        Ok(false)
    }
    async fn keys(&self, _: &Shard, _: Option<&str>, _: usize, _: u64) -> Result<Vec<Arc<str>>, Error> {
        Ok(Vec::new())
    }
    async fn top(&self, _: &Shard, _: &str, _: usize, _: usize, _: u64) -> Result<Vec<Ranked>, Error> {
        Ok(Vec::new())
    }
    async fn rank(&self, _: &Shard, _: &str, _: &str, _: u64) -> Result<Option<Ranked>, Error> {
        Ok(None)
    }
}

#[async_trait]
impl PushBus for Ports {
    async fn publish(&self, messages: Vec<PushMessage>) -> Result<(), Unavailable> {
        self.happened.lock().push(Happened::Published(messages.len()));
        self.pushes.lock().extend(messages);
        Ok(())
    }
    fn subscribe(&self) -> mpsc::Receiver<PushMessage> {
        mpsc::channel(1).1
    }
}

#[async_trait]
impl Queue for Ports {
    async fn publish(&self, _: Vec<Event>) -> Result<(), greenroom::ports::queue::Error> {
        Ok(())
    }
    async fn subscribe(&self, _: &str, _: &[Arc<str>]) -> Result<Box<dyn Consumer>, greenroom::ports::queue::Error> {
        Err(greenroom::ports::queue::Error::Unavailable("no queue here".into()))
    }
    async fn forget(&self, _: &str) -> Result<(), greenroom::ports::queue::Error> {
        Ok(())
    }
    async fn lag(&self) -> Result<BTreeMap<String, u64>, greenroom::ports::queue::Error> {
        Ok(BTreeMap::new())
    }
}

#[async_trait]
impl db::Statements for Ports {
    async fn migrate(&self, _: &str, _: &[String]) -> Result<(), db::Error> {
        Ok(())
    }
    async fn prepare(&self, sql: &str) -> Result<(), db::Error> {
        if sql.starts_with("SELECT ") { Ok(()) } else { Err(db::Error::Refused(format!("syntax error in `{sql}`"))) }
    }
    async fn query(&self, _: &str, _: Vec<db::Value>, _: usize) -> Result<Vec<Vec<db::Value>>, db::TransactError> {
        Ok(Vec::new())
    }
    async fn transact(&self, _: Vec<Step>) -> Result<Vec<u64>, db::TransactError> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl db::Plugins for Ports {
    async fn install(&self, plugin: &StoredPlugin) -> Result<Option<u32>, db::Error> {
        let mut plugins = self.plugins.lock();
        plugins.insert((plugin.name.clone(), plugin.version.clone()), plugin.clone());
        Ok(Some(50_000))
    }
    async fn installed(&self) -> Result<Vec<StoredPlugin>, db::Error> {
        Ok(self.plugins.lock().values().cloned().collect())
    }
    async fn remove(&self, name: &str, version: &Version) -> Result<bool, db::Error> {
        Ok(self.plugins.lock().remove(&(name.to_owned(), version.clone())).is_some())
    }
}

#[async_trait]
impl db::Ledger for Ports {
    async fn account(&self, _: Account) -> Result<Option<Settled>, db::Error> {
        Ok(None)
    }
    async fn accounts_of(&self, _: UserId) -> Result<Vec<(AssetType, Settled)>, db::Error> {
        Ok(Vec::new())
    }
    async fn post(&self, batch: &[Posting]) -> Result<Posted, db::Error> {
        Ok(Posted { results: vec![PostResult::Posted; batch.len()], accounts: Vec::new() })
    }
    async fn void(
        &self,
        _: Account,
        _: &EventId,
        _: ContentDigest,
        _: Option<&Outcome>,
        _: EventTime,
    ) -> Result<(PostResult, Option<Settled>), db::Error> {
        Ok((PostResult::Posted, None))
    }
    async fn event(&self, _: UserId, _: &EventId) -> Result<Option<PostedEvent>, db::Error> {
        Ok(None)
    }
    async fn known(&self, events: &[(UserId, EventId)]) -> Result<Vec<bool>, db::Error> {
        Ok(vec![false; events.len()])
    }
    async fn records(
        &self,
        _: UserId,
        _: Option<AssetType>,
        _: Option<&RecordCursor>,
        _: usize,
    ) -> Result<(Vec<Record>, Option<RecordCursor>), db::Error> {
        Ok((Vec::new(), None))
    }
    async fn differences(&self) -> Result<Vec<db::Difference>, db::Error> {
        Ok(Vec::new())
    }
}

impl Clock for Ports {
    fn now_ms(&self) -> EventTime {
        1_000_000
    }
}
