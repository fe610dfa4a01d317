//! The clock of the operating system. It promises nothing about jumps; nothing that moves money depends on it.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::domain::EventTime;
use crate::ports::clock::Clock;

/// The time of day by the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> EventTime {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
    }
}
