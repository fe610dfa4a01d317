//! An outbox in memory, and a queue that remembers what it was given. Both can be away, and the outbox can lose things.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use greenroom::domain::{Account, Amount, AssetType, ContentDigest, Event, EventId, Held, Outcome, UserId};
use greenroom::ports::db::DeadLetter;
use greenroom::ports::outbox::{BucketLease, EntryId, Outbox, Page, Unavailable};
use greenroom::ports::queue::{self, Consumer, Mark, Queue};
use parking_lot::Mutex;
use tokio::sync::Notify;

pub(crate) const BUCKETS: u32 = 8;

#[derive(Clone)]
struct Bucket {
    /// Which copy of the data this is.
    history: Arc<str>,
    log: BTreeMap<u64, Arc<Event>>,
    last: u64,
    has_epoch: bool,
}

#[derive(Default)]
struct Holder {
    token: u64,
    /// Whose relay has it, and until when.
    held: Option<(String, Instant)>,
}

/// The cache that all relays share.
pub(crate) struct Cache {
    buckets: Mutex<Vec<Bucket>>,
    holders: Mutex<Vec<Holder>>,
    relays: Mutex<HashMap<String, Instant>>,
    arrived: Notify,
}

impl Cache {
    pub(crate) fn new() -> Arc<Self> {
        let bucket = || Bucket { history: "first".into(), log: BTreeMap::new(), last: 0, has_epoch: true };
        Arc::new(Self {
            buckets: Mutex::new((0..BUCKETS).map(|_| bucket()).collect()),
            holders: Mutex::new((0..BUCKETS).map(|_| Holder::default()).collect()),
            relays: Mutex::default(),
            arrived: Notify::new(),
        })
    }

    /// Appends the event with this number to a bucket; false if it has no epoch.
    pub(crate) fn hold(&self, bucket: u32, number: u32) -> bool {
        let mut buckets = self.buckets.lock();
        let log = &mut buckets[bucket as usize];
        if !log.has_epoch {
            return false;
        }
        log.last += 1;
        let event = Event {
            event_id: EventId::new(&format!("{bucket}-{number}")).unwrap(),
            topic: "gift.sent".into(),
            key: bucket.to_string().into(),
            room_id: None,
            at_ms: 0,
            held: Some(Held {
                payer: Account { user_id: UserId(i64::from(bucket)), asset_type: AssetType(1) },
                digest: ContentDigest([0; 16]),
                outcome: Outcome { amount: Amount(1), balance: Amount(0), counters: Vec::new() },
            }),
            payload: Bytes::new(),
        };
        log.log.insert(log.last, Arc::new(event));
        self.arrived.notify_waiters();
        true
    }

    pub(crate) fn has_epoch(&self, bucket: u32) -> bool {
        self.buckets.lock()[bucket as usize].has_epoch
    }

    /// Takes everything that a bucket has, and its epoch with it.
    pub(crate) fn flush(&self, bucket: u32) {
        let mut buckets = self.buckets.lock();
        let history = Arc::clone(&buckets[bucket as usize].history);
        buckets[bucket as usize] = Bucket { history, log: BTreeMap::new(), last: 0, has_epoch: false };
    }

    /// What a bucket is now, for going back to it.
    pub(crate) fn copy(&self, bucket: u32) -> impl FnOnce(&Self) + use<> {
        let copy = self.buckets.lock()[bucket as usize].clone();
        move |cache| cache.buckets.lock()[bucket as usize] = copy
    }

    /// Another copy of the data takes over: it has what this one was given, and an epoch of another history, which is none.
    pub(crate) fn take_over(&self, bucket: u32, history: &str) {
        let bucket = &mut self.buckets.lock()[bucket as usize];
        (bucket.history, bucket.has_epoch) = (history.into(), false);
    }

    pub(crate) fn waiting(&self) -> usize {
        self.buckets.lock().iter().map(|bucket| bucket.log.len()).sum()
    }

    /// How many buckets a relay holds now.
    pub(crate) fn held_by(&self, name: &str) -> usize {
        let holders = self.holders.lock();
        let now = Instant::now();
        holders.iter().filter(|h| h.held.as_ref().is_some_and(|(by, until)| by == name && now < *until)).count()
    }

    pub(crate) fn is_held(&self) -> bool {
        self.holders.lock().iter().any(|holder| holder.held.is_some())
    }

    pub(crate) fn relays(&self) -> usize {
        self.relays.lock().len()
    }

    fn holds(&self, name: &str, bucket: u32) -> bool {
        let holders = self.holders.lock();
        holders[bucket as usize].held.as_ref().is_some_and(|(by, until)| by == name && Instant::now() < *until)
    }

    fn has(&self, lease: BucketLease) -> bool {
        let holders = self.holders.lock();
        let holder = &holders[lease.bucket as usize];
        holder.token == lease.token && holder.held.as_ref().is_some_and(|(_, until)| Instant::now() < *until)
    }
}

/// The cache as one relay reaches it.
pub(crate) struct View {
    pub cache: Arc<Cache>,
    pub name: String,
    /// Whether leases cannot be reached from here, while the logs can.
    pub has_no_leases: AtomicBool,
}

impl View {
    fn reach_leases(&self) -> Result<(), Unavailable> {
        if self.has_no_leases.load(Ordering::SeqCst) {
            return Err(Unavailable("cut off".into()));
        }
        Ok(())
    }
}

#[async_trait]
impl Outbox for View {
    fn buckets(&self) -> u32 {
        BUCKETS
    }

    async fn lease(&self, bucket: u32, ttl: Duration) -> Result<Option<BucketLease>, Unavailable> {
        self.reach_leases()?;
        let mut holders = self.cache.holders.lock();
        let holder = &mut holders[bucket as usize];
        if holder.held.as_ref().is_some_and(|(_, until)| Instant::now() < *until) {
            return Ok(None);
        }
        holder.token += 1;
        holder.held = Some((self.name.clone(), Instant::now() + ttl));
        Ok(Some(BucketLease { bucket, token: holder.token }))
    }

    async fn renew(&self, lease: BucketLease, ttl: Duration) -> Result<bool, Unavailable> {
        self.reach_leases()?;
        let is_held = self.cache.has(lease);
        if is_held {
            self.cache.holders.lock()[lease.bucket as usize].held = Some((self.name.clone(), Instant::now() + ttl));
        }
        Ok(is_held)
    }

    async fn give_back(&self, lease: BucketLease) -> Result<(), Unavailable> {
        self.reach_leases()?;
        if self.cache.has(lease) {
            self.cache.holders.lock()[lease.bucket as usize].held = None;
        }
        Ok(())
    }

    async fn read(
        &self,
        lease: BucketLease,
        taken: Option<&EntryId>,
        max: usize,
        wait: Duration,
    ) -> Result<Option<Page>, Unavailable> {
        if let Some(taken) = taken {
            if !self.cache.has(lease) {
                return Ok(None);
            }
            self.cache.buckets.lock()[lease.bucket as usize].log.retain(|id, _| *id > taken.0.0);
        }
        let deadline = tokio::time::Instant::now() + wait;
        loop {
            let arrived = self.cache.arrived.notified();
            let page = {
                let buckets = self.cache.buckets.lock();
                let bucket = &buckets[lease.bucket as usize];
                let entries = bucket.log.iter().take(max);
                let entries = entries.map(|(id, event)| (EntryId((*id, 0)), Arc::clone(event))).collect();
                let last = (bucket.last > 0).then_some(EntryId((bucket.last, 0)));
                Page { history: Arc::clone(&bucket.history), has_epoch: bucket.has_epoch, last, entries }
            };
            if !page.entries.is_empty() || tokio::time::timeout_at(deadline, arrived).await.is_err() {
                return Ok(Some(page));
            }
        }
    }

    fn acknowledged(&self, _: BucketLease, _: &[EntryId]) {}

    async fn drop_epoch(&self, lease: BucketLease) -> Result<(), Unavailable> {
        self.cache.buckets.lock()[lease.bucket as usize].has_epoch = false;
        Ok(())
    }

    async fn set_epoch(&self, lease: BucketLease, history: &str) -> Result<bool, Unavailable> {
        if !self.cache.has(lease) {
            return Ok(false);
        }
        let bucket = &mut self.cache.buckets.lock()[lease.bucket as usize];
        if *bucket.history != *history {
            return Err(Unavailable("another history".into()));
        }
        bucket.has_epoch = true;
        Ok(true)
    }

    async fn heartbeat(&self, relay: &str, ttl: Duration) -> Result<u32, Unavailable> {
        self.reach_leases()?;
        let mut relays = self.cache.relays.lock();
        let now = Instant::now();
        relays.insert(relay.to_owned(), now + ttl);
        relays.retain(|_, until| now < *until);
        Ok(u32::try_from(relays.len()).unwrap())
    }

    async fn pending(&self) -> Result<Vec<Arc<Event>>, Unavailable> {
        let buckets = self.cache.buckets.lock();
        let all = buckets.iter().flat_map(|bucket| bucket.log.values());
        Ok(all.filter(|event| event.held.is_some()).map(Arc::clone).collect())
    }

    async fn backlog(&self) -> Result<u64, Unavailable> {
        Ok(self.cache.waiting() as u64)
    }
}

/// What all relays publish to.
#[derive(Default)]
pub(crate) struct Log {
    pub published: Mutex<Vec<String>>,
    /// How many of them are settled.
    pub settled: AtomicUsize,
    /// How often somebody asked that.
    pub asked: AtomicUsize,
    pub is_away: AtomicBool,
    /// How many events wait to be consumed, and how often somebody asked that.
    pub waiting: AtomicU64,
    pub looks: AtomicUsize,
    /// How often it was published to without the lease of the bucket.
    pub trespasses: AtomicUsize,
}

/// The queue as one relay reaches it.
pub(crate) struct Publisher {
    pub log: Arc<Log>,
    pub cache: Arc<Cache>,
    pub name: String,
}

#[async_trait]
impl Queue for Publisher {
    async fn publish(&self, events: Vec<Event>) -> Result<(), queue::Error> {
        let bucket = events[0].key.parse().unwrap();
        if !self.cache.holds(&self.name, bucket) {
            self.log.trespasses.fetch_add(1, Ordering::SeqCst);
        }
        for event in events {
            // In the middle of a batch as well.
            if self.log.is_away.load(Ordering::SeqCst) {
                return Err(queue::Error::Unavailable("away".into()));
            }
            self.log.published.lock().push(event.event_id.to_string());
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    async fn mark(&self) -> Result<Mark, queue::Error> {
        let published = self.log.published.lock().len() as u64;
        Ok(Mark(BTreeMap::from([(("".into(), 0), published)])))
    }

    async fn is_past(&self, mark: &mut Mark) -> Result<bool, queue::Error> {
        self.log.asked.fetch_add(1, Ordering::SeqCst);
        let settled = self.log.settled.load(Ordering::SeqCst) as u64;
        Ok(mark.0.values().all(|offset| *offset <= settled))
    }

    async fn subscribe(&self, _: &str, _: &[Arc<str>]) -> Result<Box<dyn Consumer>, queue::Error> {
        Err(queue::Error::Unavailable("nobody consumes here".into()))
    }

    async fn forget(&self, _: &str) -> Result<(), queue::Error> {
        Ok(())
    }

    async fn pending(&self) -> Result<Vec<Arc<Event>>, queue::Error> {
        Ok(Vec::new())
    }

    async fn tell_dead(&self, _: &[DeadLetter]) -> Result<(), queue::Error> {
        Err(queue::Error::Unavailable("nobody is told here".into()))
    }

    async fn backlog(&self) -> Result<u64, queue::Error> {
        self.log.looks.fetch_add(1, Ordering::SeqCst);
        Ok(self.log.waiting.load(Ordering::SeqCst))
    }

    async fn lag(&self) -> Result<BTreeMap<String, u64>, queue::Error> {
        Ok(BTreeMap::new())
    }
}
