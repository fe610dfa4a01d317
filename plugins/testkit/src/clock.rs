//! The clock of a test.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use greenroom::domain::EventTime;
use greenroom::ports::clock::Clock;

/// Where it begins: 2026-01-01T00:00:00Z, so that a test on another day sees the same dates.
const BEGIN_MS: u64 = 1_767_225_600_000;

/// Time that stands still until the test advances it. What has fallen due meanwhile, such as timers, happens soon after: wait for it.
#[derive(Debug)]
pub struct TestClock(AtomicU64);

impl TestClock {
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(BEGIN_MS))
    }

    /// Lets time pass.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(u64::try_from(by.as_millis()).unwrap(), Ordering::SeqCst);
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

impl Clock for TestClock {
    fn now_ms(&self) -> EventTime {
        self.now_ms()
    }
}
