//! Recovering a bucket that has lost data: when its epoch may be set.
//!
//! Its events may still be in the hands of a relay, in the queue, or half settled, and a balance that is loaded meanwhile would not know
//! of them. So, in this order: nothing that was published from the bucket before may still be on its way to the queue; what the log
//! still has is published; the queue's ends are taken; settling has passed them. Buckets that recover at once share the last two.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::{Duration, Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::Shared;
use crate::ports::outbox::{EntryId, Page};
use crate::ports::queue::{Error, Mark};

/// How often to ask whether settling has passed a mark.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// A bucket on its way back.
#[derive(Debug)]
pub(super) struct Recovery {
    /// The last entry that the log had when the loss was seen.
    until: Option<EntryId>,
    /// From when on nothing is on its way to the queue that another holder published.
    quiet_at: Instant,
    /// When everything from before was in the queue.
    queued_at: Option<Instant>,
}

/// Up to when settling has come.
#[derive(Debug)]
pub(super) struct Passage {
    /// Everything that was in the queue at this moment must be settled.
    wanted: watch::Sender<Option<Instant>>,
    /// Everything that was in the queue at this moment is settled.
    passed: watch::Sender<Option<Instant>>,
}

impl Default for Passage {
    fn default() -> Self {
        Self { wanted: watch::Sender::new(None), passed: watch::Sender::new(None) }
    }
}

impl Recovery {
    /// The loss was seen on this page.
    pub fn begin(shared: &Shared, page: &Page) -> Self {
        let settings = &shared.relay.settings;
        // The lease of another holder may have been lost with the data: it goes on until its own clock ends it.
        let quiet_at = Instant::now() + settings.lease_ttl + settings.publish_max;
        Self { until: page.last.clone(), quiet_at, queued_at: None }
    }

    /// Whether the epoch may be set. `removed` is the last entry that was published and removed since; `is_empty`, whether the log was.
    pub fn is_done(&mut self, passage: &Passage, removed: Option<&EntryId>, is_empty: bool) -> bool {
        let now = Instant::now();
        let is_carried = is_empty || removed.is_some_and(|removed| Some(removed) >= self.until.as_ref());
        let queued_at = match self.queued_at {
            Some(queued_at) => queued_at,
            None if now >= self.quiet_at && is_carried => *self.queued_at.insert(now),
            None => return false,
        };
        passage.wanted.send_if_modified(|wanted| {
            let is_later = *wanted < Some(queued_at);
            *wanted = (*wanted).max(Some(queued_at));
            is_later
        });
        *passage.passed.borrow() >= Some(queued_at)
    }
}

/// Takes a mark whenever a bucket wants one that is not passed yet, and says when settling has passed it. One task of a relay.
pub(super) async fn watch(shared: Arc<Shared>, stop: CancellationToken) {
    let mut wanted = shared.passage.wanted.subscribe();
    let _ = stop
        .run_until_cancelled(async {
            let mut is_told = false;
            loop {
                let passed = *shared.passage.passed.borrow();
                if wanted.wait_for(|wanted| *wanted > passed).await.is_err() {
                    return;
                }
                let taken_at = Instant::now();
                match pass(&shared).await {
                    Ok(()) => {
                        is_told = false;
                        shared.passage.passed.send_replace(Some(taken_at));
                    }
                    Err(error) => {
                        if !std::mem::replace(&mut is_told, true) {
                            tracing::warn!(%error, "it is not known how far settling has come; will ask again");
                        }
                        sleep(ASK_EVERY).await;
                    }
                }
            }
        })
        .await;
}

async fn pass(shared: &Shared) -> Result<(), Error> {
    let mut mark: Mark = shared.relay.queue.mark().await?;
    while !shared.relay.queue.is_past(&mut mark).await? {
        sleep(ASK_EVERY).await;
    }
    Ok(())
}
