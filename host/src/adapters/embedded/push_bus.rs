//! The push bus of one process: a bounded channel to the push hub. Step 10 of the way of a gift.
//!
//! Bound: `capacity` messages; a publisher waits for room. It keeps nothing: what is published while no hub listens is gone.

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

use crate::domain::PushMessage;
use crate::ports::push_bus::{PushBus, Unavailable};

/// Hands pushes over within the process.
#[derive(Debug)]
pub struct LocalPushBus {
    capacity: usize,
    hub: Mutex<Option<mpsc::Sender<PushMessage>>>,
    announced: watch::Sender<()>,
}

impl LocalPushBus {
    /// With room for so many messages, 1 or more, that the hub has not taken yet.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { capacity: capacity.max(1), hub: Mutex::new(None), announced: watch::Sender::new(()) }
    }
}

#[async_trait]
impl PushBus for LocalPushBus {
    async fn publish(&self, messages: Vec<PushMessage>) -> Result<(), Unavailable> {
        let hub = self.hub.lock().clone();
        let Some(hub) = hub else { return Ok(()) };
        for message in messages {
            hub.send(message).await.map_err(|_| Unavailable("the push hub has stopped".into()))?;
        }
        Ok(())
    }

    fn subscribe(&self) -> mpsc::Receiver<PushMessage> {
        let (sender, receiver) = mpsc::channel(self.capacity);
        *self.hub.lock() = Some(sender);
        receiver
    }

    async fn announce(&self) -> Result<(), Unavailable> {
        self.announced.send_replace(());
        Ok(())
    }

    fn announced(&self) -> watch::Receiver<()> {
        self.announced.subscribe()
    }
}
