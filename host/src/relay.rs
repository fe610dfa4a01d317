//! The relay: carrying the outbox of the cache to the queue. Step 7 of the way of a gift.
//!
//! The buckets are shared between all hosts by leases: each host takes about as many as any other, and those of a host that died are
//! taken over once their leases have lapsed. A bucket's holder reads its log in order, publishes, and removes what the queue has
//! acknowledged: at least once, and never out of order within a bucket. After a read that was not full it waits for the next beat, so that
//! the next brings more: the buckets of a host are read at the same moments, and what they ask of the cache and give to the queue goes in few
//! packets and batches. It stops publishing before its lease may have lapsed, by its own monotonic clock. While the queue is away it tries
//! again, less and less often, and nothing is lost: the outbox grows until the cache refuses new holds. While settling stands still the
//! queue fills instead, up to a bound; then nothing is published either, and it ends in the same way.
//!
//! A bucket that has lost data, or went back in time, is recovered here as well: see `recover`.
//!
//! In memory are at most one batch for each bucket that this host holds. The embedded mode needs no relay.

mod backlog;
mod beat;
mod carry;
mod lease;
mod recover;
mod share;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::beat::Beat;
use self::recover::Passage;
use self::share::Share;
use crate::ports::clock::Clock;
use crate::ports::outbox::{Outbox, Unavailable};
use crate::ports::queue::Queue;

/// What times and bounds the relay.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long a lease lasts without being renewed: the buckets of a host that died are relayed again after so long.
    pub lease_ttl: Duration,
    /// So much before its lease lapses a holder stops publishing: for the way to the cache, and for clocks that do not run alike.
    pub lease_margin: Duration,
    /// How often leases are renewed and the share of the buckets is looked at; some times in a `lease_ttl`.
    pub renew_every: Duration,
    /// Entries of one batch.
    pub batch_len_max: usize,
    /// How long a read waits for an entry.
    pub read_wait: Duration,
    /// How often buckets are read that bring something, but not a full batch: each read has its price, however little it brings. Not during
    /// a recovery. What is relayed waits longer by as much at most.
    pub gather: Duration,
    /// Nothing of a publish may reach the queue later than this after it began: the queue's delivery time-out and something more.
    pub publish_max: Duration,
    /// Events that may wait in the queue to be consumed. Beyond it nothing is published, so that the outbox fills and the cache says so.
    pub queue_len_max: u64,
    /// The longest wait before a try after others have failed.
    pub backoff_max: Duration,
}

impl Default for Settings {
    /// For a queue that gives up an event after 10 s.
    fn default() -> Self {
        Self {
            lease_ttl: Duration::from_secs(5),
            lease_margin: Duration::from_secs(1),
            renew_every: Duration::from_secs(1),
            batch_len_max: 1_000,
            read_wait: Duration::from_millis(250),
            gather: Duration::ZERO,
            publish_max: Duration::from_secs(12),
            queue_len_max: 10_000_000,
            backoff_max: Duration::from_secs(2),
        }
    }
}

/// What relaying works over.
pub struct Relay {
    /// Where events come from.
    pub outbox: Arc<dyn Outbox>,
    /// Where they go.
    pub queue: Arc<dyn Queue>,
    /// For the age of what waits.
    pub clock: Arc<dyn Clock>,
    /// Times and bounds.
    pub settings: Settings,
}

/// What all tasks of a relay share.
struct Shared {
    relay: Relay,
    passage: Passage,
    /// Whether more events wait in the queue than may.
    is_queue_full: AtomicBool,
    /// When buckets are read again that have just brought something.
    beat: Beat,
    /// When the oldest entry that was read was accepted, for each bucket that has one.
    oldest_ms: Mutex<HashMap<u32, u64>>,
}

impl Relay {
    /// Relays until it is told to stop; then finishes what is being published and gives the leases back. One task in a process.
    pub async fn run(self, shutdown: CancellationToken) {
        let beat = Beat::start(self.settings.gather);
        let shared = Arc::new(Shared {
            relay: self,
            passage: Passage::default(),
            is_queue_full: AtomicBool::new(false),
            beat,
            oldest_ms: Mutex::default(),
        });
        let tasks = TaskTracker::new();
        let stop = CancellationToken::new();
        tasks.spawn(recover::watch(Arc::clone(&shared), stop.clone()));
        tasks.spawn(backlog::watch(Arc::clone(&shared), stop.clone()));
        let mut share = Share::new(Arc::clone(&shared), tasks.clone());
        while !shutdown.is_cancelled() {
            share.renew().await;
            share.balance().await;
            shared.measure().await;
            let every = shared.relay.settings.renew_every;
            let _ = shutdown.run_until_cancelled(tokio::time::sleep(every)).await;
        }
        share.give_back_all().await;
        stop.cancel();
        tasks.close();
        tasks.wait().await;
    }
}

impl Shared {
    /// An answer of the cache that does not come in time, beyond what it was asked to wait, is none.
    async fn in_time<T>(
        &self,
        answer: impl Future<Output = Result<T, Unavailable>>,
        wait: Duration,
    ) -> Result<T, Unavailable> {
        let late = |_| Err(Unavailable("it does not answer in time".into()));
        tokio::time::timeout(wait + self.relay.settings.renew_every, answer).await.unwrap_or_else(late)
    }

    /// Tells how much waits, and for how long.
    async fn measure(&self) {
        let oldest_ms = self.oldest_ms.lock().values().min().copied();
        let now_ms = self.relay.clock.now_ms();
        let age = oldest_ms.map_or(Duration::ZERO, |at_ms| Duration::from_millis(now_ms.saturating_sub(at_ms)));
        metrics::gauge!("greenroom_outbox_oldest_seconds").set(age.as_secs_f64());
        if let Ok(entries) = self.in_time(self.relay.outbox.backlog(), Duration::ZERO).await {
            #[expect(clippy::cast_precision_loss, reason = "a gauge is a floating-point number")]
            metrics::gauge!("greenroom_outbox_entries").set(entries as f64);
        }
    }
}
