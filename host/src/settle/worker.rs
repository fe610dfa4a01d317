//! One consumer group's worker: poll, settle, commit.

use std::time::{Duration, Instant};

use futures::future::join_all;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::group::{BACKEND_WAIT, BATCH_MAX, Group, pause};
use super::lanes;
use crate::ports::queue::{self, Delivery, Offsets};

/// Batches of each lane from one poll, on average: the lanes of a poll wait for each other at its end, so the more they have, the more of
/// the time all of them work; and in that time nothing is polled. A decision.
const LANE_BATCHES: usize = 4;
/// Events of one poll from which on there is load; a decision.
const LOAD_LEN: usize = 16;
/// How long to wait for the first event of a batch.
const POLL_WAIT: Duration = Duration::from_millis(250);
/// How often tries that are due are looked for, at most.
const RETRIES_EVERY: Duration = Duration::from_millis(500);

/// A worker. It owns its place in the queue.
pub(super) struct Worker {
    pub group: Group,
    pub source: Box<dyn queue::Consumer>,
}

/// How far a lane has come, and whom to tell once the queue knows.
type Done = (Offsets, oneshot::Sender<()>);

impl Worker {
    /// Works until it is told to stop; a batch that was begun is finished first, unless it cannot be.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut retries_looked_for = Instant::now();
        let (mut is_retry_told, mut is_poll_told) = (false, false);
        while !shutdown.is_cancelled() {
            if retries_looked_for.elapsed() >= RETRIES_EVERY {
                retries_looked_for = Instant::now();
                match self.group.try_again(&shutdown).await {
                    Ok(()) => is_retry_told = false,
                    Err(error) if !std::mem::replace(&mut is_retry_told, true) => {
                        tracing::warn!(group = %self.group.name, %error, "cannot try events again now");
                    }
                    Err(_) => {}
                }
            }
            let (polled_at, len_max) = (Instant::now(), BATCH_MAX * LANE_BATCHES * self.group.settle.pace.lanes.max(1));
            let polled = tokio::select! {
                () = shutdown.cancelled() => return,
                polled = self.source.poll(len_max, POLL_WAIT) => polled,
            };
            match polled {
                // Nothing may come because the queue is away.
                Ok(polled) if polled.is_empty() => {}
                Ok(polled) => {
                    is_poll_told = false;
                    let is_load = (LOAD_LEN..len_max).contains(&polled.len());
                    self.settle_polled(polled, &shutdown).await;
                    if is_load {
                        pause(self.group.settle.pace.gather.saturating_sub(polled_at.elapsed()), &shutdown).await;
                    }
                }
                Err(error) => {
                    if !std::mem::replace(&mut is_poll_told, true) {
                        tracing::warn!(group = %self.group.name, %error, "cannot read the queue; will try again");
                    }
                    pause(BACKEND_WAIT, &shutdown).await;
                }
            }
        }
    }

    /// Deals with what was polled, however often that takes. The offsets of a batch are committed once it is dealt with; everything before it
    /// in its partitions is then, too.
    async fn settle_polled(&mut self, polled: Vec<Delivery>, shutdown: &CancellationToken) {
        let Self { group, source } = self;
        let group = &*group;
        let pace = group.settle.pace;
        let worth = (polled.len() / pace.lane_len.max(1)).max(1);
        let lanes = lanes::divide(polled, pace.lanes.min(worth));
        let (done, settled) = mpsc::channel(lanes.len().max(1));
        let lanes = join_all(lanes.into_iter().map(|lane| settle_lane(group, lane, done.clone(), shutdown)));
        drop(done);
        tokio::join!(lanes, commit(&group.name, source.as_mut(), settled));
    }
}

/// Deals with a lane, one batch after the other. The next one is begun when the offsets of the one before are committed, so a crash delivers
/// one batch of a lane again, and not more than rankings remember.
async fn settle_lane(group: &Group, lane: Vec<Delivery>, done: mpsc::Sender<Done>, shutdown: &CancellationToken) {
    let mut lane = lane.into_iter();
    while !shutdown.is_cancelled() {
        let batch: Vec<Delivery> = lane.by_ref().take(BATCH_MAX).collect();
        let offsets = after(&batch);
        if batch.is_empty() || !group.settle_batch(batch, shutdown).await {
            return;
        }
        let (committed, told) = oneshot::channel();
        if done.send((offsets, committed)).await.is_err() {
            return;
        }
        // Whether or not the queue took them.
        let _ = told.await;
    }
}

/// Commits what the lanes have dealt with, until the last of them has ended.
async fn commit(group: &str, source: &mut dyn queue::Consumer, mut settled: mpsc::Receiver<Done>) {
    while let Some((offsets, committed)) = settled.recv().await {
        if let Err(error) = source.commit(offsets).await {
            tracing::warn!(group, %error, "offsets are not committed; what was polled will be delivered again");
        }
        let _ = committed.send(());
    }
}

/// Where a batch ends in each of its partitions.
fn after(batch: &[Delivery]) -> Offsets {
    let mut offsets = Offsets::new();
    for delivery in batch {
        let next = offsets.entry(delivery.partition).or_default();
        *next = delivery.offset.saturating_add(1).max(*next);
    }
    offsets
}
