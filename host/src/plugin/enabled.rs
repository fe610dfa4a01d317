//! Which rooms a plugin is enabled in: asked by the host functions that name a room, answered by whoever keeps the rooms.

use std::sync::Arc;

use async_trait::async_trait;

use crate::domain::RoomId;
use crate::plugin::Context;

/// What plugins run under in rooms.
#[async_trait]
pub trait Enabled: Send + Sync {
    /// What a plugin runs under in a room; none if there is no such room or the plugin is not enabled there.
    ///
    /// # Errors
    /// In words, if that cannot be read now.
    async fn enabled(&self, room: RoomId, plugin: &str) -> Result<Option<Arc<Context>>, String>;
}
