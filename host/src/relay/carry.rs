//! Carrying one bucket: read, publish, and remove with the next read. After a read that brought little it waits for the beat that all
//! buckets of this host wait for, so that the next brings more; before a long wait it removes.
//!
//! It always reads from the log's first entry: everything before was removed. So an entry that comes back because the bucket went back
//! in time is published again rather than passed over, unless a removal comes first that it is part of: then the queue has it already, and
//! the lease, the history and the last entry tell that the bucket went back.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::lease::HeldLease;
use super::recover::Recovery;
use crate::domain::Event;
use crate::ports::outbox::{EntryId, Page, Unavailable};
use crate::ports::queue;

/// How often to look whether a lease that may have lapsed was renewed.
const LEASE_LOOK: Duration = Duration::from_millis(50);
/// Who gathers for so long removes in a step of its own before; else the next read does. A decision.
const WORTH_REMOVING: Duration = Duration::from_millis(50);
/// The wait after the first failure.
const BACKOFF_MIN: Duration = Duration::from_millis(50);

/// The one task that carries a bucket.
pub(super) struct Carrier {
    shared: Arc<Shared>,
    held: Arc<HeldLease>,
    stop: CancellationToken,
    /// The history of the cache that all of this is from.
    history: Option<Arc<str>>,
    /// The last entry that the log is known to have had.
    last: Option<EntryId>,
    /// The last entry that was removed.
    removed: Option<EntryId>,
    /// The last entry that the queue has acknowledged, if it is yet to be removed.
    taken: Option<EntryId>,
    recovery: Option<Recovery>,
}

/// Why a turn was not done.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    Outbox(#[from] Unavailable),
    #[error(transparent)]
    Queue(#[from] queue::Error),
    #[error("the lease was lost")]
    Lost,
}

impl Carrier {
    pub fn new(shared: Arc<Shared>, held: Arc<HeldLease>, stop: CancellationToken) -> Self {
        Self { shared, held, stop, history: None, last: None, removed: None, taken: None, recovery: None }
    }

    /// Carries until it is told to stop or its lease is lost. What was begun to be published is waited for.
    pub async fn run(mut self) {
        let mut backoff = BACKOFF_MIN;
        while !self.stop.is_cancelled() {
            let wait = if self.held.stands() {
                match self.turn().await {
                    Ok(()) => {
                        backoff = BACKOFF_MIN;
                        continue;
                    }
                    Err(Fault::Lost) => break,
                    Err(error) => {
                        let bucket = self.held.lease.bucket;
                        if backoff == BACKOFF_MIN {
                            tracing::warn!(bucket, %error, "nothing is relayed from a bucket; will try again");
                        } else {
                            tracing::debug!(bucket, %error, "nothing is relayed from a bucket yet");
                        }
                        metrics::counter!("greenroom_relay_failures_total").increment(1);
                        let wait = backoff;
                        backoff = backoff.saturating_mul(2).min(self.shared.relay.settings.backoff_max);
                        wait.mul_f64(rand::random_range(0.5..1.0))
                    }
                }
            } else {
                LEASE_LOOK
            };
            let _ = self.stop.run_until_cancelled(tokio::time::sleep(wait)).await;
        }
        self.shared.oldest_ms.lock().remove(&self.held.lease.bucket);
        // What is not removed is published once more by whoever has the bucket next.
        if self.taken.is_some()
            && let Err(error) = self.read(0, Duration::ZERO).await
        {
            tracing::debug!(bucket = self.held.lease.bucket, %error, "what was relayed is not removed");
        }
    }

    /// Removes what the queue has acknowledged, and reads. The token keeps a holder that was too slow from removing anything.
    async fn read(&mut self, max: usize, wait: Duration) -> Result<Page, Fault> {
        let read = self.shared.relay.outbox.read(self.held.lease, self.taken.as_ref(), max, wait);
        let page = self.shared.in_time(read, wait).await?.ok_or(Fault::Lost)?;
        if let Some(taken) = self.taken.take() {
            self.removed = Some(taken);
        }
        Ok(page)
    }

    /// Carries one batch, and waits until the next is worth a read. A full page has more behind it, and a recovery is not held up.
    async fn turn(&mut self) -> Result<(), Fault> {
        let stop = self.stop.clone();
        let (max, wait) = (self.shared.relay.settings.batch_len_max, self.shared.relay.settings.read_wait);
        let Some(page) = stop.run_until_cancelled(self.read(max, wait)).await else { return Ok(()) };
        let mut page = page?;
        self.watch_time(&page).await?;
        let len = page.entries.len();
        self.publish(&mut page).await?;
        self.recover(&page, len == 0).await?;
        let gather = self.shared.relay.settings.gather;
        if !(1..max).contains(&len) || self.recovery.is_some() || gather.is_zero() {
            return Ok(());
        }
        // What the queue has would be published once more if another host took over meanwhile.
        if self.taken.is_some() && gather >= WORTH_REMOVING {
            self.read(0, Duration::ZERO).await?;
        }
        let _ = stop.run_until_cancelled(tokio::time::sleep_until(self.shared.beat.after(Instant::now()))).await;
        Ok(())
    }

    /// Takes the epoch of a bucket that went back in time. Until that has succeeded nothing else is done. In another history nothing
    /// that was seen before counts: a recovery begins anew.
    async fn watch_time(&mut self, page: &Page) -> Result<(), Fault> {
        if self.history.as_ref().is_some_and(|known| *known != page.history) {
            let bucket = self.held.lease.bucket;
            tracing::warn!(bucket, has_epoch = page.has_epoch, "another copy of a bucket's data has taken over");
            metrics::counter!("greenroom_relay_takeovers_total").increment(1);
            (self.last, self.removed, self.recovery) = (None, None, None);
        }
        self.history = Some(Arc::clone(&page.history));
        let first = page.entries.first().map(|(id, _)| id);
        let came_back = first.zip(self.removed.as_ref()).is_some_and(|(first, removed)| first <= removed);
        if page.last < self.last || came_back {
            let bucket = self.held.lease.bucket;
            tracing::error!(bucket, known = ?self.last, found = ?page.last, "a bucket went back in time");
            metrics::counter!("greenroom_relay_time_faults_total").increment(1);
            let dropped = self.shared.relay.outbox.drop_epoch(self.held.lease);
            self.shared.in_time(dropped, Duration::ZERO).await?;
            self.removed = None;
            self.recovery = Some(Recovery::begin(&self.shared, page));
        } else if !page.has_epoch && self.recovery.is_none() {
            self.recovery = Some(Recovery::begin(&self.shared, page));
        }
        self.last.clone_from(&page.last);
        Ok(())
    }

    /// Publishes what was read.
    async fn publish(&mut self, page: &mut Page) -> Result<(), Fault> {
        let Some((last, _)) = page.entries.last() else {
            self.shared.oldest_ms.lock().remove(&self.held.lease.bucket);
            return Ok(());
        };
        let last = last.clone();
        if let Some((_, first)) = page.entries.first() {
            self.shared.oldest_ms.lock().insert(self.held.lease.bucket, first.at_ms);
        }
        let (entries, events): (Vec<EntryId>, Vec<Event>) =
            page.entries.drain(..).map(|(id, event)| (id, Arc::unwrap_or_clone(event))).unzip();
        if !self.held.stands() {
            return Ok(());
        }
        // What a bucket has that is being recovered grows no more, and must get out for that to end.
        if self.recovery.is_none() && self.shared.is_queue_full.load(Ordering::Relaxed) {
            return Err(queue::Error::Full.into());
        }
        self.shared.relay.queue.publish(events).await?;
        metrics::counter!("greenroom_relay_published_total").increment(entries.len() as u64);
        self.shared.relay.outbox.acknowledged(self.held.lease, &entries);
        self.taken = Some(last);
        Ok(())
    }

    /// Goes on with recovering the bucket, if it is not what it should be.
    async fn recover(&mut self, page: &Page, is_empty: bool) -> Result<(), Fault> {
        let Some(recovery) = &mut self.recovery else { return Ok(()) };
        if !recovery.is_done(&self.shared.passage, self.removed.as_ref(), is_empty) || !self.held.stands() {
            return Ok(());
        }
        let set = self.shared.relay.outbox.set_epoch(self.held.lease, &page.history);
        if !page.has_epoch && !self.shared.in_time(set, Duration::ZERO).await? {
            return Err(Fault::Lost);
        }
        tracing::info!(bucket = self.held.lease.bucket, "a bucket has recovered");
        self.recovery = None;
        Ok(())
    }
}
