//! The backends behind the ports. The rest of the house does not know which they are.

mod distributed;
mod embedded;

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Error;
use crate::adapters::embedded::Embedded;
use crate::breaker::Breaker;
use crate::config::Config;
use crate::http::Readiness;
use crate::ledger::Reconciler;
use crate::ports::cache::Cache;
use crate::ports::clock::Clock;
use crate::ports::db::Database;
use crate::ports::push_bus::PushBus;
use crate::ports::queue::Queue;
use crate::ports::rate_limit::RateLimit;
use crate::settle::Pace;
use distributed::Distributed;
pub use distributed::SETTLE_PACE;

/// Where somebody waits for the books, or the database is so near that larger batches bring little.
const GATHER_BRIEFLY: Duration = Duration::from_millis(30);

/// The backends, open.
pub(super) struct Backends {
    pub(super) cache: Arc<dyn Cache>,
    pub(super) queue: Arc<dyn Queue>,
    pub(super) db: Arc<dyn Database>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) push_bus: Arc<dyn PushBus>,
    kind: Kind,
}

/// What is done with them that the ports do not know.
enum Kind {
    Embedded(Embedded),
    Distributed(Distributed),
}

impl Backends {
    /// Opens them, and recovers what a crash left.
    pub(super) async fn open(config: &Config, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        std::fs::create_dir_all(&config.data_dir)
            .map_err(|source| Error::DataDir { path: config.data_dir.clone(), source })?;
        if config.distributed.enabled {
            distributed::open(&config.distributed, clock).await
        } else {
            embedded::open(config, clock).await
        }
    }

    pub(super) fn reconciler(&self) -> Reconciler {
        Reconciler {
            cache: self.cache.clone(),
            ledger: self.db.clone(),
            deliveries: self.db.clone(),
            outbox: match &self.kind {
                Kind::Embedded(_) => None,
                Kind::Distributed(distributed) => Some(distributed.outbox()),
            },
            queue: self.queue.clone(),
        }
    }

    /// The name of this process among those that share the backends; none if it has them for itself.
    pub(super) fn process(&self) -> Option<&str> {
        match &self.kind {
            Kind::Embedded(_) => None,
            Kind::Distributed(distributed) => Some(&distributed.process),
        }
    }

    /// Whether clients are told of a gift only once its books are in the database. In the embedded mode the journal and the database are
    /// on one disk: waiting for the second would promise no more.
    pub(super) fn answers_need_books(&self) -> bool {
        match &self.kind {
            Kind::Embedded(_) => false,
            Kind::Distributed(distributed) => distributed.answers_need_books,
        }
    }

    /// How much is settled at once.
    pub(super) fn settle_pace(&self) -> Pace {
        match &self.kind {
            Kind::Embedded(_) => Pace { lanes: 1, lane_len: 1, gather: GATHER_BRIEFLY },
            Kind::Distributed(_) if self.answers_need_books() => Pace { gather: GATHER_BRIEFLY, ..SETTLE_PACE },
            Kind::Distributed(_) => SETTLE_PACE,
        }
    }

    /// Starts what the backends need to be done for them.
    pub(super) fn spawn_tasks(&self, tasks: &TaskTracker, stop: &CancellationToken) {
        if let Kind::Distributed(distributed) = &self.kind {
            tasks.spawn(distributed.relay(self).run(stop.clone()));
        }
    }

    /// What `/readyz` asks.
    pub(super) fn readiness(&self) -> Vec<Readiness> {
        let db = self.db.clone();
        let database = move || {
            let db = db.clone();
            Box::pin(async move { db.ping().await.map_err(|error| error.to_string()) }) as _
        };
        // Gifts of cached accounts go on without the database that hosts share, unless they wait for their books.
        let is_needed = matches!(self.kind, Kind::Embedded(_)) || self.answers_need_books();
        let mut all = vec![Readiness { name: "database", is_needed, check: Box::new(database) }];
        all.extend(match &self.kind {
            Kind::Embedded(embedded) => embedded::readiness(embedded),
            Kind::Distributed(distributed) => distributed.readiness(),
        });
        all
    }

    /// The rate of each user over all processes; none if there is only this one.
    pub(super) fn user_limit(&self, requests_max: u32, period: Duration) -> Option<Arc<dyn RateLimit>> {
        match &self.kind {
            Kind::Embedded(_) => None,
            Kind::Distributed(distributed) => Some(distributed.user_limit(requests_max, period)),
        }
    }

    /// The circuits of the backends. Those of one process have none.
    pub(super) fn circuits(&self) -> Vec<(&'static str, Arc<Breaker>)> {
        match &self.kind {
            Kind::Embedded(_) => Vec::new(),
            Kind::Distributed(distributed) => distributed.circuits(),
        }
    }

    pub(super) async fn close(self) -> Result<(), Error> {
        match self.kind {
            Kind::Embedded(embedded) => embedded.close().await?,
            Kind::Distributed(distributed) => distributed.close().await,
        }
        self.db.close().await;
        Ok(())
    }
}
