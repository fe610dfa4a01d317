//! Which buckets this host relays: leases are taken, renewed and given back here, and each has one task that carries.

use std::collections::HashMap;
use std::sync::Arc;

use futures::future::join_all;
use tokio::task::JoinHandle;
use tokio::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Shared;
use super::carry::Carrier;
use super::lease::HeldLease;
use crate::ports::outbox::{BucketLease, Unavailable};

/// Questions to the cache that are under way at once.
const ASK_AT_ONCE: usize = 32;

/// A bucket that is being carried.
struct Carrying {
    lease: Arc<HeldLease>,
    stop: CancellationToken,
    carrier: JoinHandle<()>,
}

/// The buckets of this host.
pub(super) struct Share {
    shared: Arc<Shared>,
    tasks: TaskTracker,
    /// This relay's name among the others.
    name: String,
    relays: u32,
    /// Whether the log says already that the cache does not answer.
    is_told: bool,
    carrying: HashMap<u32, Carrying>,
    /// Where the next look for free buckets starts; hosts start at different ones.
    next: u32,
}

/// How many buckets one of so many relays should have, at most.
fn fair_share(buckets: u32, relays: u32) -> usize {
    usize::try_from(buckets.div_ceil(relays.max(1))).unwrap_or(usize::MAX)
}

impl Share {
    pub fn new(shared: Arc<Shared>, tasks: TaskTracker) -> Self {
        let name = uuid::Uuid::new_v4();
        let buckets = shared.relay.outbox.buckets().max(1);
        let next = name.as_fields().0 % buckets;
        Self { shared, tasks, name: name.to_string(), relays: 1, is_told: false, carrying: HashMap::new(), next }
    }

    /// Renews every lease, and lets go of those that were lost.
    pub async fn renew(&mut self) {
        self.carrying.retain(|_, carrying| !carrying.carrier.is_finished());
        let held: Vec<Arc<HeldLease>> = self.carrying.values().map(|carrying| Arc::clone(&carrying.lease)).collect();
        for some in held.chunks(ASK_AT_ONCE) {
            let lost = join_all(some.iter().map(|lease| self.renew_one(lease))).await;
            for bucket in lost.into_iter().flatten() {
                tracing::warn!(bucket, "the lease of a bucket was lost");
                if let Some(carrying) = self.carrying.remove(&bucket) {
                    carrying.stop.cancel();
                }
            }
        }
    }

    /// The bucket, if its lease is lost. One that could not be renewed ends by itself, unless a later renewal comes in time.
    async fn renew_one(&self, held: &HeldLease) -> Option<u32> {
        let settings = &self.shared.relay.settings;
        let asked_at = Instant::now();
        match self.ask(self.shared.relay.outbox.renew(held.lease, settings.lease_ttl)).await {
            Ok(true) => held.renewed(asked_at, settings),
            Ok(false) => return Some(held.lease.bucket),
            Err(error) => tracing::debug!(bucket = held.lease.bucket, %error, "a lease is not renewed"),
        }
        None
    }

    /// Takes free buckets up to the fair share, or gives back what is more than that.
    pub async fn balance(&mut self) {
        let outbox = Arc::clone(&self.shared.relay.outbox);
        let ttl = self.shared.relay.settings.lease_ttl;
        match self.ask(outbox.heartbeat(&self.name, ttl)).await {
            Ok(relays) => {
                self.relays = relays.max(1);
                self.is_told = false;
            }
            Err(error) => {
                if !std::mem::replace(&mut self.is_told, true) {
                    tracing::warn!(%error, "the relay's heartbeat is not taken, and leases are not renewed; will try again");
                }
                return;
            }
        }
        let share = fair_share(outbox.buckets(), self.relays);
        let surplus = self.carrying.len().saturating_sub(share);
        let given: Vec<u32> = self.carrying.keys().take(surplus).copied().collect();
        for bucket in given {
            if let Some(carrying) = self.carrying.remove(&bucket) {
                self.tasks.spawn(give_back(Arc::clone(&self.shared), carrying));
            }
        }
        self.take(share).await;
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a floating-point number")]
        metrics::gauge!("greenroom_relay_buckets").set(self.carrying.len() as f64);
    }

    /// Looks once at every bucket that is not held, until there are enough.
    async fn take(&mut self, share: usize) {
        let buckets = self.shared.relay.outbox.buckets().max(1);
        let first = self.next;
        let mut others = (0..buckets)
            .map(|step| (first.wrapping_add(step)) % buckets)
            .filter(|bucket| !self.carrying.contains_key(bucket))
            .collect::<Vec<_>>()
            .into_iter();
        while self.carrying.len() < share {
            let wanted = (share - self.carrying.len()).min(ASK_AT_ONCE);
            let some: Vec<u32> = others.by_ref().take(wanted).collect();
            if some.is_empty() {
                break;
            }
            let asked_at = Instant::now();
            let taken = join_all(some.iter().map(|bucket| self.take_one(*bucket))).await;
            for lease in taken.into_iter().flatten() {
                self.next = lease.bucket;
                self.carry(lease, asked_at);
            }
        }
    }

    async fn take_one(&self, bucket: u32) -> Option<BucketLease> {
        let relay = &self.shared.relay;
        match self.ask(relay.outbox.lease(bucket, relay.settings.lease_ttl)).await {
            Ok(lease) => lease,
            Err(error) => {
                tracing::debug!(bucket, %error, "a lease cannot be asked for");
                None
            }
        }
    }

    fn carry(&mut self, lease: BucketLease, asked_at: Instant) {
        let held = Arc::new(HeldLease::new(lease, asked_at, &self.shared.relay.settings));
        let stop = CancellationToken::new();
        let carrier = Carrier::new(Arc::clone(&self.shared), Arc::clone(&held), stop.clone());
        let carrier = self.tasks.spawn(carrier.run());
        self.carrying.insert(lease.bucket, Carrying { lease: held, stop, carrier });
    }

    /// Gives every bucket to the others.
    pub async fn give_back_all(&mut self) {
        let all = self.carrying.drain().map(|(_, carrying)| give_back(Arc::clone(&self.shared), carrying));
        join_all(all.collect::<Vec<_>>()).await;
        let gone = self.ask(self.shared.relay.outbox.heartbeat(&self.name, Duration::ZERO)).await;
        if let Err(error) = gone {
            tracing::debug!(%error, "the others will see after a while that this relay is gone");
        }
    }

    /// The leases that wait behind an answer must be renewed as well.
    async fn ask<T>(&self, answer: impl Future<Output = Result<T, Unavailable>>) -> Result<T, Unavailable> {
        self.shared.in_time(answer, Duration::ZERO).await
    }
}

/// Lets a carrier finish its batch, then gives its lease back.
async fn give_back(shared: Arc<Shared>, carrying: Carrying) {
    carrying.stop.cancel();
    let _ = carrying.carrier.await;
    let lease = carrying.lease.lease;
    if let Err(error) = shared.in_time(shared.relay.outbox.give_back(lease), Duration::ZERO).await {
        tracing::debug!(bucket = lease.bucket, %error, "a lease is not given back; it lapses");
    }
}

#[cfg(test)]
mod tests {
    use super::fair_share;

    #[test]
    fn all_buckets_are_shared_out_and_nobody_has_far_more_than_another() {
        for (buckets, relays, share) in [(64, 1, 64), (64, 3, 22), (64, 64, 1), (2, 5, 1), (7, 0, 7)] {
            assert_eq!(fair_share(buckets, relays), share, "{buckets} for {relays}");
        }
    }
}
