//! How long the statements of the writer may run: for ever when they are the host's own, a while when they are a plugin's.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sqlx::sqlite::LockedSqliteHandle;

// Instructions of SQLite's machine between two looks at the clock: a few hundred microseconds.
const INSTRUCTIONS: i32 = 10_000;
const NONE: u64 = u64::MAX;

/// The moment after which the connection interrupts what it does.
pub(super) struct Deadline {
    since: Instant,
    at_ms: AtomicU64,
}

impl Default for Deadline {
    fn default() -> Self {
        Self { since: Instant::now(), at_ms: AtomicU64::new(NONE) }
    }
}

impl Deadline {
    /// Lets the connection look at this deadline from now on.
    pub(super) fn arm(self: std::sync::Arc<Self>, connection: &mut LockedSqliteHandle<'_>) {
        connection.set_progress_handler(INSTRUCTIONS, move || self.elapsed_ms() < self.at_ms.load(Ordering::Relaxed));
    }

    /// Takes the limit away.
    pub(super) fn clear(&self) {
        self.at_ms.store(NONE, Ordering::Relaxed);
    }

    /// Limits what runs from now on.
    pub(super) fn set(&self, limit: Duration) {
        let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(NONE);
        self.at_ms.store(self.elapsed_ms().saturating_add(limit_ms), Ordering::Relaxed);
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(NONE)
    }
}
