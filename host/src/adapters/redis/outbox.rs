//! The outbox: a stream for each bucket, and the lease and the epoch beside it. Step 7 of the way of a gift.
//!
//! The stream remembers its last entry even when all are removed, which tells a relay whether the bucket went back in time. Whoever
//! waits for entries looks again when it is told that some process has appended, and at growing intervals in case a word was lost.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::try_join_all;
use futures::stream::{self, StreamExt, TryStreamExt};
use redis::Value;
use tokio::time::Instant;

use super::appended::Appended;
use super::cache::millis;
use super::durability::Steps;
use super::event::{decode, entry_id};
use super::keys::Keys;
use super::reply::{Reply, parse, text};
use super::scripts::{Call, HEARTBEAT, PAGE, RELAY_LEASE, RELAY_STEP};
use super::server::Server;
use crate::domain::Event;
use crate::ports::outbox::{BucketLease, EntryId, Outbox, Page, Unavailable};

/// How soon to look again for entries that nobody has told of, at first.
const LOOK_MIN: Duration = Duration::from_millis(50);
/// And later.
const LOOK_MAX: Duration = Duration::from_millis(200);

/// Entries of one answer to who looks for all that hold money, about 1 kB each. Others wait for as long as it takes.
const PENDING_PAGE: usize = 100;
/// Buckets that are asked for them at the same time; a decision.
const PENDING_AT_ONCE: usize = 4;
/// So many are given at most: what is gathered is in memory.
const PENDING_MAX: usize = 1_000_000;

/// The outbox in Redis. Made by [`super::open`].
#[derive(Debug)]
pub struct RedisOutbox {
    server: Server,
    keys: Arc<Keys>,
    steps: Arc<Steps>,
    appended: Arc<Appended>,
}

impl RedisOutbox {
    pub(super) fn new(server: Server, keys: Arc<Keys>, steps: Arc<Steps>, appended: Arc<Appended>) -> Self {
        Self { server, keys, steps, appended }
    }

    /// One step under the lease; 0 if it was lost.
    async fn step(&self, lease: BucketLease, step: &str, argument: String) -> Result<i64, Unavailable> {
        let keys = self.keys.of_bucket(lease.bucket);
        let names = [keys.relay(), keys.outbox(), keys.epoch(), keys.accounts(), keys.account_prefix()];
        let call = Call::new(&RELAY_STEP, &names.each_ref().map(String::as_str));
        let made = self.server.run(call.arg(lease.token).arg(step).arg(argument)).await;
        made.and_then(|made| parse(&text(made)?)).map_err(Unavailable)
    }

    /// None, and nothing was removed, if there was something to remove and the lease was lost.
    async fn page(&self, lease: BucketLease, taken: Option<&EntryId>, max: usize) -> Result<Option<Page>, String> {
        let keys = self.keys.of_bucket(lease.bucket);
        let call = Call::new(&PAGE, &[&keys.epoch(), &keys.outbox(), &keys.relay()]);
        let call = call.arg(max).arg(lease.token).arg(taken.map(kept_after).unwrap_or_default());
        let mut found = Reply::new(self.server.run(call).await?)?;
        if found.is_empty() {
            return Ok(None);
        }
        let history = found.text()?.into();
        let has_epoch = found.value()? == Value::Int(1);
        let last = found.text()?;
        let last = if last.is_empty() { None } else { Some(entry_id(&last)?) };
        let entries = Reply::new(found.value()?)?.rest().map(decode).collect::<Result<_, _>>()?;
        Ok(Some(Page { history, has_epoch, last, entries }))
    }

    async fn pending_in(&self, bucket: u32) -> Result<Vec<Arc<Event>>, String> {
        let outbox = self.keys.of_bucket(bucket).outbox();
        let (mut events, mut from) = (Vec::new(), "-".to_owned());
        loop {
            let mut range = redis::cmd("XRANGE");
            range.arg(&outbox).arg(&from).arg("+").arg("COUNT").arg(PENDING_PAGE);
            let page: Vec<Value> = self.server.ask(&range).await?;
            let is_last = page.len() < PENDING_PAGE;
            for entry in page {
                let (id, event) = decode(entry)?;
                from = kept_after(&id);
                events.extend(event.held.is_some().then_some(event));
            }
            if is_last {
                return Ok(events);
            }
        }
    }

    async fn len_of(&self, bucket: u32) -> Result<u64, String> {
        self.server.ask(redis::cmd("XLEN").arg(self.keys.of_bucket(bucket).outbox())).await
    }
}

/// The first place after an entry.
fn kept_after(EntryId((ms, number)): &EntryId) -> String {
    let (ms, number) = number.checked_add(1).map_or((ms.saturating_add(1), 0), |number| (*ms, number));
    format!("{ms}-{number}")
}

#[async_trait]
impl Outbox for RedisOutbox {
    fn buckets(&self) -> u32 {
        self.keys.buckets()
    }

    async fn lease(&self, bucket: u32, ttl: Duration) -> Result<Option<BucketLease>, Unavailable> {
        let keys = self.keys.of_bucket(bucket);
        let call = Call::new(&RELAY_LEASE, &[&keys.relay(), &keys.relay_token()]).arg(millis(ttl).max(1));
        let token = self.server.run(call).await.and_then(text).map_err(Unavailable)?;
        if token.is_empty() {
            return Ok(None);
        }
        Ok(Some(BucketLease { bucket, token: parse(&token).map_err(Unavailable)? }))
    }

    async fn renew(&self, lease: BucketLease, ttl: Duration) -> Result<bool, Unavailable> {
        Ok(self.step(lease, "renew", millis(ttl).max(1).to_string()).await? != 0)
    }

    async fn give_back(&self, lease: BucketLease) -> Result<(), Unavailable> {
        self.step(lease, "give_back", String::new()).await.map(drop)
    }

    async fn read(
        &self,
        lease: BucketLease,
        taken: Option<&EntryId>,
        max: usize,
        wait: Duration,
    ) -> Result<Option<Page>, Unavailable> {
        // Who reads no entry is about to go.
        if max > 0 {
            self.steps.read(lease.bucket);
        }
        let deadline = Instant::now() + wait;
        let (mut taken, mut pause) = (taken, LOOK_MIN);
        loop {
            let Some(page) = self.page(lease, taken.take(), max).await.map_err(Unavailable)? else { return Ok(None) };
            let left = deadline.saturating_duration_since(Instant::now());
            if !page.entries.is_empty() || max == 0 || left.is_zero() {
                return Ok(Some(page));
            }
            // Told or not, it looks.
            let _ = tokio::time::timeout(pause.min(left), self.appended.to(lease.bucket)).await;
            pause = (pause * 2).min(LOOK_MAX);
        }
    }

    fn acknowledged(&self, lease: BucketLease, entries: &[EntryId]) {
        self.steps.acknowledged(lease.bucket, entries);
    }

    async fn drop_epoch(&self, lease: BucketLease) -> Result<(), Unavailable> {
        self.step(lease, "drop_epoch", String::new()).await.map(drop)
    }

    async fn set_epoch(&self, lease: BucketLease, history: &str) -> Result<bool, Unavailable> {
        loop {
            match self.step(lease, "set_epoch", history.to_owned()).await? {
                0 => return Ok(false),
                1 => return Ok(true),
                // Accounts are left to forget.
                2 => {}
                4 => return Err(Unavailable("another copy of the data took over during the recovery".into())),
                _ => return Err(Unavailable("events of the bucket have yet to be relayed and settled".into())),
            }
        }
    }

    async fn heartbeat(&self, relay: &str, ttl: Duration) -> Result<u32, Unavailable> {
        let call = Call::new(&HEARTBEAT, &[&self.keys.relays()]).arg(relay).arg(millis(ttl));
        self.server.run(call).await.and_then(|count| parse(&text(count)?)).map_err(Unavailable)
    }

    async fn pending(&self) -> Result<Vec<Arc<Event>>, Unavailable> {
        let buckets = stream::iter(0..self.keys.buckets()).map(|bucket| self.pending_in(bucket));
        let mut buckets = buckets.buffered(PENDING_AT_ONCE);
        let mut all = Vec::new();
        while let Some(events) = buckets.try_next().await.map_err(Unavailable)? {
            all.extend(events);
            if all.len() > PENDING_MAX {
                return Err(Unavailable(format!("more than {PENDING_MAX} events that hold money wait in the outbox")));
            }
        }
        Ok(all)
    }

    async fn backlog(&self) -> Result<u64, Unavailable> {
        let lens = try_join_all((0..self.keys.buckets()).map(|bucket| self.len_of(bucket)));
        Ok(lens.await.map_err(Unavailable)?.into_iter().sum())
    }
}
