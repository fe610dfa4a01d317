//! The installed plugins, and the way to call them.

use std::path::PathBuf;
use std::sync::Arc;

use semver::Version;

use crate::ledger::Ledger;
use crate::plugin::{ApiRequest, ApiResponse, Context, Error, Occasion, Plugin, Problem, Rejected, Verdict};
use crate::ports::cache::Cache;
use crate::ports::clock::Clock;
use crate::ports::db;
use crate::ports::push_bus::PushBus;
use crate::ports::queue::{Delivery, Queue};
use crate::timer::Timers;

/// What the registry works over, and its bounds.
pub struct Settings {
    /// Where compiled components are kept.
    pub compile_cache_dir: PathBuf,
    /// The ledger, for `greenroom:ledger`.
    pub ledger: Arc<Ledger>,
    /// For `greenroom:cache`.
    pub cache: Arc<dyn Cache>,
    /// For `greenroom:mq`.
    pub queue: Arc<dyn Queue>,
    /// For `greenroom:timer`.
    pub timers: Arc<Timers>,
    /// For `greenroom:room`.
    pub push_bus: Arc<dyn PushBus>,
    /// For `greenroom:db`.
    pub statements: Arc<dyn db::Statements>,
    /// Where installed plugins are remembered.
    pub plugins: Arc<dyn db::Plugins>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// Why a plugin was not installed or removed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The component is at fault.
    #[error(transparent)]
    Rejected(#[from] Rejected),
    /// Another component has this name and version.
    #[error("{name} {version} is installed with another digest; give it a new version")]
    VersionTaken {
        /// The name.
        name: String,
        /// The version.
        version: Version,
    },
    /// The database or the disk; worth a retry.
    #[error("cannot install now: {0}")]
    Unavailable(String),
}

/// The installed plugins. Cheap to share.
pub struct Registry {}

impl Registry {
    /// Starts the engine and loads what is installed, from the compile cache where it can. Plugins that no longer load are left out
    /// with an error in the log.
    ///
    /// # Errors
    /// If the engine cannot be set up or the database does not answer.
    pub async fn start(_settings: Settings) -> Result<Self, InstallError> {
        todo!()
    }

    /// Checks, compiles and remembers a component. Installing the same bytes again gives what is there.
    ///
    /// # Errors
    /// See [`InstallError`].
    pub async fn install(&self, _wasm: &[u8]) -> Result<Arc<Plugin>, InstallError> {
        todo!()
    }

    /// Forgets a version; the caller has made sure that it is not bound. False if it was not there.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn remove(&self, _name: &str, _version: &Version) -> Result<bool, InstallError> {
        todo!()
    }

    /// A version of a plugin; the newest if none is named.
    #[must_use]
    pub fn get(&self, _name: &str, _version: Option<&Version>) -> Option<Arc<Plugin>> {
        todo!()
    }

    /// Every installed version, by name and then version.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<Plugin>> {
        todo!()
    }

    /// Answers a request.
    ///
    /// # Errors
    /// The outer one if the call gave no answer, the inner one if the plugin refused.
    pub async fn api(
        &self,
        _context: &Arc<Context>,
        _request: ApiRequest,
    ) -> Result<Result<ApiResponse, Problem>, Error> {
        todo!()
    }

    /// Consumes a batch; one verdict for each event. `attempts` are the numbers of the tries, 1 for the first.
    ///
    /// # Errors
    /// If the call gave no verdicts.
    pub async fn consume(
        &self,
        _plugin: &Arc<Plugin>,
        _batch: &[Delivery],
        _attempts: &[u32],
    ) -> Result<Vec<Verdict>, Error> {
        todo!()
    }

    /// Tells a plugin what happened in a room; a plugin without that export agrees to everything.
    ///
    /// # Errors
    /// The outer one if the call gave no answer, the inner one if the plugin refused.
    pub async fn lifecycle(&self, _context: &Arc<Context>, _occasion: Occasion) -> Result<Result<(), String>, Error> {
        todo!()
    }

    /// Fires a timer.
    ///
    /// # Errors
    /// The outer one if the call gave no answer, the inner one if the plugin refused.
    pub async fn fire(
        &self,
        _context: &Arc<Context>,
        _key: &str,
        _payload: &[u8],
    ) -> Result<Result<(), String>, Error> {
        todo!()
    }
}
