//! Circuit breakers: one per (room, plugin), and one per plugin.

use std::time::Duration;

/// Opens after failures in a row, lets one call through after a backoff of 1 to 30 s, closes when that one succeeds.
#[derive(Debug, Default)]
pub struct Breaker {}

impl Breaker {
    /// How long the circuit stays open; none if it is closed or half-open.
    #[must_use]
    pub fn open_for(&self) -> Option<Duration> {
        todo!()
    }
}

impl Breaker {
    /// Calls since this process began.
    #[must_use]
    pub fn calls(&self) -> u64 {
        todo!()
    }
    /// Failures among them.
    #[must_use]
    pub fn failures(&self) -> u64 {
        todo!()
    }
}
