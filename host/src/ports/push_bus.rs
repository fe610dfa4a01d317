//! Carries pushes to every host process that has viewers of the room, and tells every process that something was changed.

use async_trait::async_trait;
use tokio::sync::{mpsc, watch};

use crate::domain::PushMessage;

/// The bus cannot take or give messages now.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the push bus is unavailable: {0}")]
pub struct Unavailable(pub String);

/// At most once; messages of one publisher for one room arrive in the order they were published.
#[async_trait]
pub trait PushBus: Send + Sync {
    /// Hands messages over, in order. Returns once the bus has them, not once they are delivered.
    async fn publish(&self, messages: Vec<PushMessage>) -> Result<(), Unavailable>;

    /// Everything that is published from now on, by this process too. Called once, by the push hub. The channel is bounded:
    /// a hub that does not keep up makes `publish` wait.
    fn subscribe(&self) -> mpsc::Receiver<PushMessage>;

    /// Tells every process that shares this bus, this one too, that rooms or plugins were changed. What, is in the database. At most
    /// once: whoever follows changes looks for them now and then without being told.
    async fn announce(&self) -> Result<(), Unavailable>;

    /// Changes whenever something was announced; several announcements at once may be one change.
    fn announced(&self) -> watch::Receiver<()>;
}
