//! Settle: consuming events and posting them. Step 8 of the way of a gift.
//!
//! Every plugin that consumes topics has one worker, and so have the host's own transfers. A worker takes a batch from the queue, hands
//! it to its consumer, sets aside what could not be consumed (for another try, or for an operator), and only then commits the offsets.
//! A crash between any two of these steps delivers the batch again; nothing is lost, and posting it again changes nothing.
//!
//! One bad message holds nobody up: it waits in the database for its next try, by a ladder of waits, and the last try makes it a dead
//! letter.

mod consume;
mod ladder;
mod worker;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::ledger::{Ledger, TRANSFER_TOPIC};
use crate::plugin::Registry;
use crate::ports::clock::Clock;
use crate::ports::db;
use crate::ports::queue::Queue;

use consume::Consumer;
use worker::Worker;

pub use ladder::Ladder;

/// How often newly installed plugins are looked for.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// The consumer group of the host's own topics; no plugin may have this name.
pub const HOST_GROUP: &str = "greenroom";

/// What settling works over.
pub struct Settle {
    /// Where postings go.
    pub ledger: Arc<Ledger>,
    /// The plugins that consume.
    pub registry: Arc<Registry>,
    /// Where events come from.
    pub queue: Arc<dyn Queue>,
    /// Where events wait that could not be consumed at once.
    pub deliveries: Arc<dyn db::Deliveries>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// How long to wait before each try.
    pub ladder: Ladder,
}

impl Settle {
    /// Consumes until it is told to stop, then lets every worker finish its batch. One task in a process.
    pub async fn run(self, shutdown: CancellationToken) {
        let settle = Arc::new(self);
        let workers = TaskTracker::new();
        let mut started: HashMap<String, Vec<String>> = HashMap::new();
        settle.start(&workers, &shutdown, HOST_GROUP, &[TRANSFER_TOPIC.to_owned()], Consumer::Transfers).await;
        while !shutdown.is_cancelled() {
            for (name, topics) in settle.consuming() {
                if started.contains_key(&name) {
                    continue;
                }
                let consumer = Consumer::Plugin(name.clone());
                if settle.start(&workers, &shutdown, &name, &topics, consumer).await {
                    started.insert(name, topics);
                }
            }
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
        workers.close();
        workers.wait().await;
    }

    /// The plugins that consume, with the topics of their newest versions.
    fn consuming(&self) -> HashMap<String, Vec<String>> {
        let plugins = self.registry.list().into_iter();
        plugins
            .map(|plugin| (plugin.manifest.name.clone(), plugin.manifest.consumes.clone()))
            .filter(|(_, topics)| !topics.is_empty())
            .collect()
    }

    async fn start(
        self: &Arc<Self>,
        workers: &TaskTracker,
        shutdown: &CancellationToken,
        group: &str,
        topics: &[String],
        consumer: Consumer,
    ) -> bool {
        let topics: Vec<Arc<str>> = topics.iter().map(|topic| topic.as_str().into()).collect();
        match self.queue.subscribe(group, &topics).await {
            Ok(source) => {
                let worker = Worker { settle: self.clone(), group: group.into(), consumer, source };
                workers.spawn(worker.run(shutdown.clone()));
                true
            }
            Err(error) => {
                tracing::error!(group, %error, "cannot subscribe; will try again");
                false
            }
        }
    }
}
