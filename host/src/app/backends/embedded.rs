//! The embedded backends: the journal and SQLite, in the data directory.

use std::sync::Arc;

use super::{Backends, Kind};
use crate::adapters::embedded::{self, Embedded, LocalPushBus};
use crate::adapters::sqlite::Sqlite;
use crate::app::Error;
use crate::config::Config;
use crate::http::Readiness;
use crate::ledger;
use crate::ports::clock::Clock;
use crate::ports::db::Deliveries;

/// The database's file in the data directory.
const DATABASE: &str = "greenroom.db";
/// Messages between the plugins and the hub; a hub that does not keep up makes publishing wait.
const PUSH_BUS_LEN_MAX: usize = 65_536;

pub(super) async fn open(config: &Config, clock: Arc<dyn Clock>) -> Result<Backends, Error> {
    let embedded = embedded::open(settings(config)).await?;
    let db = Sqlite::open(&config.data_dir.join(DATABASE)).await?;
    let waiting = db.waiting().await?;
    embedded.recover(&ledger::unsettled(db.as_ref(), waiting).await?);
    Ok(Backends {
        cache: embedded.cache.clone(),
        queue: embedded.queue.clone(),
        db,
        clock,
        push_bus: Arc::new(LocalPushBus::new(PUSH_BUS_LEN_MAX)),
        kind: Kind::Embedded(embedded),
    })
}

fn settings(config: &Config) -> embedded::Settings {
    let keys = &config.embedded;
    embedded::Settings {
        buckets: usize::from(keys.buckets),
        partitions: usize::try_from(keys.partitions).unwrap_or(1),
        outbox_len_max: keys.outbox_len_max,
        outcomes_max: keys.outcomes_max,
        accounts_max: keys.accounts_max,
        segment_bytes: keys.segment_bytes,
        ..embedded::Settings::new(&config.data_dir)
    }
}

pub(super) fn readiness(embedded: &Embedded) -> Vec<Readiness> {
    let queue = embedded.queue.clone();
    let journal = move || {
        let queue = queue.clone();
        Box::pin(async move { queue.check().await.map_err(|error| error.to_string()) }) as _
    };
    vec![Readiness { name: "journal", is_needed: true, check: Box::new(journal) }]
}
