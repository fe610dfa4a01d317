//! The composition root: the only place that names concrete adapters.
//!
//! Start-up goes from the backends up to the listener, and shutdown the other way: first no new requests, then the tasks that settle and
//! fire, and last the journal and the database.

mod backends;
mod error;
mod secret;
mod settings;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::adapters::embedded::SystemClock;
use crate::config::Config;
use crate::http;
use crate::ledger::{Ledger, Reconciliation};
use crate::plugin::Registry;
use crate::ports::clock::Clock;
use crate::push::Hub;
use crate::room::Rooms;
use crate::settle::{Ladder, Settle};
use crate::telemetry::Metrics;
use crate::timer::Timers;

use backends::Backends;

pub use backends::SETTLE_PACE;
pub use error::Error;
pub use secret::secret;

/// Where a running server writes down its address, in the data directory.
const ADDRESS: &str = "address";

/// A server that is ready to listen.
pub struct App {
    config: Config,
    backends: Backends,
    metrics: Metrics,
    listener: TcpListener,
    registry: Arc<Registry>,
    rooms: Arc<Rooms>,
    ledger: Arc<Ledger>,
    timers: Arc<Timers>,
    hub: Arc<Hub>,
}

impl App {
    /// Opens the backends, recovers what a crash left, installs the plugins of the configured folder, and binds the address.
    ///
    /// # Errors
    /// With what stands in the way, and the remedy where there is one.
    pub async fn start(config: Config) -> Result<Self, Error> {
        Self::start_at(config, Arc::new(SystemClock)).await
    }

    /// The same by another clock than the system's: timers, tokens, times to live in the embedded cache, and what plugins are told follow
    /// it. How long the host itself waits for something does not.
    ///
    /// # Errors
    /// As [`App::start`].
    pub async fn start_at(config: Config, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let listener = TcpListener::bind(config.listen)
            .await
            .map_err(|source| Error::Listen { address: config.listen, source })?;
        // Before the backends, so that the state of their circuits is measured from the start.
        let metrics = Metrics::install()?;
        let backends = Backends::open(&config, clock).await?;
        let (db, cache) = (&backends.db, backends.cache.clone());
        let ledger = Ledger::new(cache, db.clone(), db.clone(), backends.clock.clone());
        let ledger = Arc::new(if backends.answers_need_books() { ledger.answering_when_settled() } else { ledger });
        let timers = Arc::new(match backends.process() {
            Some(process) => Timers::shared(backends.cache.clone(), backends.clock.clone(), process),
            None => Timers::new(backends.cache.clone(), backends.clock.clone()),
        });
        let registry = settings::registry(&config, &backends, ledger.clone(), timers.clone());
        let registry = Arc::new(Registry::start(registry).await?);
        install_folder(&registry, &config.plugins_dir).await?;
        let rooms = Arc::new(Rooms::start(backends.db.clone(), registry.clone(), backends.clock.clone()).await?);
        registry.know_rooms(Arc::downgrade(&rooms) as _);
        let hub = settings::hub(&config);
        Ok(Self { config, backends, metrics, listener, registry, rooms, ledger, timers, hub })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// If the system does not say.
    pub fn address(&self) -> std::io::Result<std::net::SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until it is told to stop; then finishes what is under way and closes everything, within the configured time.
    ///
    /// # Errors
    /// If it cannot serve or cannot close in order; nothing that was acknowledged is lost then either.
    pub async fn serve(self, shutdown: CancellationToken) -> Result<(), Error> {
        let address = self.address().map_err(|source| Error::Listen { address: self.config.listen, source })?;
        write_address(&self.config.data_dir, address)?;
        let background = CancellationToken::new();
        let tasks = self.spawn_tasks(&background);
        let interface = settings::http(&self)?;
        tracing::info!(%address, data_dir = %self.config.data_dir.display(), "serving");
        http::serve(self.listener, interface, shutdown).await;
        background.cancel();
        tasks.close();
        let drain = Duration::from_millis(self.config.shutdown_ms);
        if tokio::time::timeout(drain, tasks.wait()).await.is_err() {
            tracing::warn!("tasks did not stop in time; what they did not finish is done after the next start");
        }
        let _ = std::fs::remove_file(self.config.data_dir.join(ADDRESS));
        self.backends.close().await
    }

    fn spawn_tasks(&self, stop: &CancellationToken) -> TaskTracker {
        let tasks = TaskTracker::new();
        let settle = Settle {
            ledger: self.ledger.clone(),
            registry: self.registry.clone(),
            queue: self.backends.queue.clone(),
            deliveries: self.backends.db.clone(),
            clock: self.backends.clock.clone(),
            ladder: Ladder::new(self.config.settle.retry_waits_ms.iter().copied().map(Duration::from_millis).collect()),
            pace: self.backends.settle_pace(),
        };
        self.backends.spawn_tasks(&tasks, stop);
        tasks.spawn(settle.run(stop.clone()));
        if self.backends.process().is_some() {
            let look_every = Duration::from_millis(self.config.distributed.follow_ms);
            tasks.spawn(self.rooms.clone().follow(look_every, stop.clone()));
        }
        tasks.spawn(self.rooms.clone().fire_timers(self.timers.clone(), stop.clone()));
        tasks.spawn(self.hub.clone().run(self.backends.push_bus.subscribe(), stop.clone()));
        tasks
    }
}

/// Adds everything up on the files of a data directory on which no server runs.
///
/// # Errors
/// If a server runs there, or the files cannot be read.
pub async fn reconcile_offline(config: &Config) -> Result<Reconciliation, Error> {
    let backends = Backends::open(config, Arc::new(SystemClock)).await?;
    let report = backends.reconciler().reconcile().await;
    backends.close().await?;
    Ok(report?)
}

/// The address that a server on this data directory wrote down.
#[must_use]
pub fn written_address(data_dir: &Path) -> Option<String> {
    std::fs::read_to_string(data_dir.join(ADDRESS)).ok().map(|address| format!("http://{}", address.trim()))
}

fn write_address(data_dir: &Path, address: std::net::SocketAddr) -> Result<(), Error> {
    std::fs::write(data_dir.join(ADDRESS), address.to_string())
        .map_err(|source| Error::DataDir { path: data_dir.into(), source })
}

/// Installs every component of a folder, in the order of their names.
async fn install_folder(registry: &Registry, folder: &Path) -> Result<(), Error> {
    if folder.as_os_str().is_empty() {
        return Ok(());
    }
    let unreadable = |source| Error::PluginsDir { path: folder.into(), source };
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .map_err(unreadable)?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "wasm"))
        .collect();
    files.sort();
    for file in files {
        let bytes = std::fs::read(&file).map_err(unreadable)?;
        let plugin = registry.install(&bytes).await.map_err(|error| Error::Install { file: file.clone(), error })?;
        tracing::info!(plugin = %plugin.manifest.name, version = %plugin.manifest.version, "installed");
    }
    Ok(())
}
