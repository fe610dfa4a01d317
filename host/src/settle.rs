//! Settle: consuming events and posting them. Step 8 of the way of a gift.
//!
//! Every plugin that consumes topics has one worker, and so have the host's own transfers. A worker polls the queue, hands its consumer one
//! batch after the other, sets aside what could not be consumed (for another try, or for an operator), and only then commits the offsets
//! of the batch. Over a network a worker has several batches of different partitions under way at once.
//! A crash between any two of these steps delivers the batch again; nothing is lost, and posting it again changes nothing.
//!
//! One bad message holds nobody up: it waits in the database for its next try, by a ladder of waits, and the last try makes it a dead
//! letter, which is told of on a topic of its own, too: see `tell`.

mod consume;
mod group;
mod ladder;
mod lanes;
mod tell;
mod worker;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::ledger::{Ledger, TRANSFER_TOPIC};
use crate::plugin::Registry;
use crate::ports::clock::Clock;
use crate::ports::db;
use crate::ports::queue::Queue;

use consume::Consumer;
use group::Group;
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
    /// How much of a group is consumed at once.
    pub pace: Pace,
}

/// How much of a group is consumed at once.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// How many batches at the same time, 1 or more; each takes other partitions. It helps where batches wait for a network, and hurts
    /// where one writer is all there is.
    pub lanes: usize,
    /// Events of a lane, at least: a transaction has its price, however small it is, and so has each room in it.
    pub lane_len: usize,
    /// Under load a batch is gathered for so long, because each has its price, however small it is. Whoever waits for the books waits
    /// longer by as much.
    pub gather: Duration,
}

/// A group that is being consumed.
struct Started {
    topics: Vec<String>,
    stop: CancellationToken,
    worker: JoinHandle<()>,
}

impl Started {
    /// Tells the worker of a plugin that was removed to stop. What it has in hand is delivered to whoever joins the group later. False
    /// once it has stopped.
    fn is_leaving(&self, group: &str) -> bool {
        if !self.stop.is_cancelled() {
            tracing::info!(group, "nothing is consumed any more: no version of the plugin that does is left");
            self.stop.cancel();
        }
        !self.worker.is_finished()
    }
}

impl Settle {
    /// Consumes until it is told to stop, then lets every worker finish its batch. One task in a process.
    pub async fn run(self, shutdown: CancellationToken) {
        let settle = Arc::new(self);
        let workers = TaskTracker::new();
        workers.spawn({
            let (settle, shutdown) = (settle.clone(), shutdown.clone());
            async move { tell::run(&settle, shutdown).await }
        });
        let mut started: HashMap<String, Started> = HashMap::new();
        while !shutdown.is_cancelled() {
            let consuming = settle.consuming();
            started.retain(|name, group| consuming.contains_key(name) || group.is_leaving(name));
            for (name, topics) in consuming {
                match started.remove(&name) {
                    Some(before) if !before.worker.is_finished() => {
                        let after = settle.go_on(&name, topics, before).await;
                        started.insert(name, after);
                        continue;
                    }
                    Some(before) if !before.stop.is_cancelled() => {
                        tracing::error!(group = name, "a worker ended before its time; another goes on where it was");
                    }
                    Some(_) | None => {}
                }
                let stop = shutdown.child_token();
                if let Some(worker) = settle.start(&workers, &stop, &name, &topics).await {
                    started.insert(name, Started { topics, stop, worker });
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

    /// The groups that consume: the host's own, and the plugins with the topics of their newest versions.
    fn consuming(&self) -> HashMap<String, Vec<String>> {
        let plugins = self.registry.list().into_iter();
        let newest = plugins.map(|plugin| (plugin.manifest.name.clone(), plugin.manifest.consumes.clone()));
        let mut groups: HashMap<String, Vec<String>> = newest.collect();
        groups.retain(|_, topics| !topics.is_empty());
        groups.insert(HOST_GROUP.to_owned(), vec![TRANSFER_TOPIC.to_owned()]);
        groups
    }

    /// Sees to it that a worker consumes these topics; one that is leaving, because its plugin was removed and came back, goes first.
    async fn go_on(&self, group: &str, topics: Vec<String>, before: Started) -> Started {
        let is_same = before.topics == topics || before.stop.is_cancelled();
        if is_same || !self.change_topics(group, &topics).await {
            return before;
        }
        Started { topics, ..before }
    }

    /// Gives a group that is being consumed the topics of another version. Its worker goes on with them: they belong to the group.
    async fn change_topics(&self, group: &str, topics: &[String]) -> bool {
        match self.queue.subscribe(group, &shared(topics)).await {
            Ok(_) => true,
            Err(error) => {
                tracing::error!(group, %error, "cannot change what is consumed; will try again");
                false
            }
        }
    }

    async fn start(
        self: &Arc<Self>,
        workers: &TaskTracker,
        stop: &CancellationToken,
        group: &str,
        topics: &[String],
    ) -> Option<JoinHandle<()>> {
        match self.queue.subscribe(group, &shared(topics)).await {
            Ok(source) => {
                let consumer = match group {
                    HOST_GROUP => Consumer::Transfers,
                    plugin => Consumer::Plugin(plugin.to_owned()),
                };
                let worker = Worker { group: Group { settle: self.clone(), name: group.into(), consumer }, source };
                Some(workers.spawn(worker.run(stop.clone())))
            }
            Err(error) => {
                tracing::error!(group, %error, "cannot subscribe; will try again");
                None
            }
        }
    }
}

fn shared(topics: &[String]) -> Vec<Arc<str>> {
    topics.iter().map(|topic| topic.as_str().into()).collect()
}
