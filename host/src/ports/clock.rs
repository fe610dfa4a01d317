//! Time, so that tests can own it.

use crate::domain::EventTime;

/// The time of day.
pub trait Clock: Send + Sync {
    /// Milliseconds since the Unix epoch. May jump, in either direction: nothing that moves money depends on it.
    fn now_ms(&self) -> EventTime;
}
