//! Durable one-shot timers, one set for each (plugin, room), kept in the cache's key space.
//!
//! A timer is durable once the position that setting it returned is. Firing is at least once: a timer is removed only after its
//! plugin has answered, and put off with backoff if it failed.

use std::sync::Arc;

use crate::domain::RoomId;
use crate::ports::cache::{Cache, Error, Position};
use crate::ports::clock::Clock;

/// Sets and cancels timers; firing them is the work of `settle`'s sister, the timer task in `room`.
pub struct Timers {
    #[expect(dead_code, reason = "skeleton")]
    cache: Arc<dyn Cache>,
    #[expect(dead_code, reason = "skeleton")]
    clock: Arc<dyn Clock>,
}

impl Timers {
    /// Over a cache.
    #[must_use]
    pub fn new(cache: Arc<dyn Cache>, clock: Arc<dyn Clock>) -> Self {
        Self { cache, clock }
    }

    /// Sets a timer, in place of one of the same key.
    ///
    /// # Errors
    /// As the cache has them.
    pub async fn set(
        &self,
        _plugin: &Arc<str>,
        _room: RoomId,
        _key: &str,
        _after_ms: u64,
        _payload: &[u8],
    ) -> Result<Position, Error> {
        todo!()
    }

    /// Takes a timer back.
    ///
    /// # Errors
    /// As the cache has them.
    pub async fn cancel(&self, _plugin: &Arc<str>, _room: RoomId, _key: &str) -> Result<Position, Error> {
        todo!()
    }
}
