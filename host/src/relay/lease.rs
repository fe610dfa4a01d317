//! A lease as its holder sees it: it ends by the holder's own clock, some time before the cache may give it to somebody else.

use parking_lot::Mutex;
use tokio::time::{Duration, Instant};

use super::Settings;
use crate::ports::outbox::BucketLease;

/// The lease of a bucket that this host holds.
#[derive(Debug)]
pub(super) struct HeldLease {
    pub lease: BucketLease,
    until: Mutex<Instant>,
}

impl HeldLease {
    /// One that was asked for at a moment.
    pub fn new(lease: BucketLease, asked_at: Instant, settings: &Settings) -> Self {
        Self { lease, until: Mutex::new(end(asked_at, settings)) }
    }

    /// It was renewed, as was asked for at a moment. What counts is when it was asked, not when the answer came.
    pub fn renewed(&self, asked_at: Instant, settings: &Settings) {
        let mut until = self.until.lock();
        *until = (*until).max(end(asked_at, settings));
    }

    /// Whether it surely stands.
    pub fn stands(&self) -> bool {
        self.stands_at(Instant::now())
    }

    fn stands_at(&self, moment: Instant) -> bool {
        moment < *self.until.lock()
    }
}

fn end(asked_at: Instant, settings: &Settings) -> Instant {
    asked_at + settings.lease_ttl.checked_sub(settings.lease_margin).unwrap_or(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_by_the_moment_it_was_asked_for_and_a_margin_early() {
        let settings = Settings::default();
        let asked_at = Instant::now();
        let end = asked_at + settings.lease_ttl - settings.lease_margin;
        let held = HeldLease::new(BucketLease { bucket: 1, token: 1 }, asked_at, &settings);
        assert!(held.stands_at(end - Duration::from_millis(1)) && !held.stands_at(end));
        held.renewed(asked_at + Duration::from_secs(2), &settings);
        assert!(held.stands_at(end));
        held.renewed(asked_at, &settings);
        assert!(held.stands_at(end), "an answer that comes late takes nothing away");
    }
}
