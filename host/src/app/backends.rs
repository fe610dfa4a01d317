//! The backends behind the ports. The rest of the house does not know which they are.

use std::path::Path;
use std::sync::Arc;

use super::{Error, settings};
use crate::adapters::embedded::{self, Embedded, LocalPushBus, SystemClock};
use crate::adapters::sqlite::Sqlite;
use crate::config::Config;
use crate::http::Readiness;
use crate::ledger::{self, Reconciler};
use crate::ports::cache::Cache;
use crate::ports::clock::Clock;
use crate::ports::db::{Database, Deliveries};
use crate::ports::push_bus::PushBus;
use crate::ports::queue::Queue;

/// The database's file in the data directory.
const DATABASE: &str = "greenroom.db";
/// Messages between the plugins and the hub; a hub that does not keep up makes publishing wait.
const PUSH_BUS_LEN_MAX: usize = 65_536;

/// The backends, open.
pub(super) struct Backends {
    pub(super) cache: Arc<dyn Cache>,
    pub(super) queue: Arc<dyn Queue>,
    pub(super) db: Arc<dyn Database>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) push_bus: Arc<dyn PushBus>,
    embedded: Embedded,
}

impl Backends {
    /// Opens them, and recovers what a crash left.
    pub(super) async fn open(config: &Config) -> Result<Self, Error> {
        create_dir(&config.data_dir)?;
        let embedded = embedded::open(settings::embedded(config)).await?;
        let db = Sqlite::open(&config.data_dir.join(DATABASE)).await?;
        let waiting = db.waiting().await?;
        embedded.recover(&ledger::unsettled(db.as_ref(), waiting).await?);
        Ok(Self {
            cache: embedded.cache.clone(),
            queue: embedded.queue.clone(),
            db,
            clock: Arc::new(SystemClock),
            push_bus: Arc::new(LocalPushBus::new(PUSH_BUS_LEN_MAX)),
            embedded,
        })
    }

    pub(super) fn reconciler(&self) -> Reconciler {
        Reconciler {
            cache: self.cache.clone(),
            ledger: self.db.clone(),
            deliveries: self.db.clone(),
            queue: self.queue.clone(),
        }
    }

    /// What `/readyz` asks.
    pub(super) fn readiness(&self) -> Vec<Readiness> {
        let (db, queue) = (self.db.clone(), self.embedded.queue.clone());
        let database = move || {
            let db = db.clone();
            Box::pin(async move { db.ping().await.map_err(|error| error.to_string()) }) as _
        };
        let journal = move || {
            let queue = queue.clone();
            Box::pin(async move { queue.check().await.map_err(|error| error.to_string()) }) as _
        };
        vec![
            Readiness { name: "database", check: Box::new(database) },
            Readiness { name: "journal", check: Box::new(journal) },
        ]
    }

    pub(super) async fn close(self) -> Result<(), Error> {
        self.embedded.close().await?;
        self.db.close().await;
        Ok(())
    }
}

fn create_dir(path: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(path).map_err(|source| Error::DataDir { path: path.into(), source })
}
