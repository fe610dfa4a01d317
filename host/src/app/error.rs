//! Why a server did not start or stop.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::adapters::{embedded, redis};
use crate::http::auth;
use crate::plugin::InstallError;
use crate::ports::{cache, db, queue};
use crate::{ledger, room, telemetry};

/// Why a server did not start or stop.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be had.
    #[error("cannot listen on {address}: {source}; choose another with --listen, or port 0 for a free one")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// In the system's words.
        source: std::io::Error,
    },
    /// The data directory cannot be used.
    #[error("cannot use the data directory {path}: {source}")]
    DataDir {
        /// The directory.
        path: PathBuf,
        /// In the system's words.
        source: std::io::Error,
    },
    /// The folder of plugins cannot be read.
    #[error("cannot read the plugins in {path}: {source}")]
    PluginsDir {
        /// The folder.
        path: PathBuf,
        /// In the system's words.
        source: std::io::Error,
    },
    /// A plugin of the folder is not installed.
    #[error("{file} is not installed: {error}")]
    Install {
        /// The component.
        file: PathBuf,
        /// Why.
        error: InstallError,
    },
    /// The configuration.
    #[error("{0}")]
    Config(String),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] embedded::Error),
    /// Redis.
    #[error(transparent)]
    Redis(#[from] redis::Error),
    /// Kafka.
    #[error(transparent)]
    Kafka(#[from] queue::Error),
    /// The cache.
    #[error(transparent)]
    Cache(#[from] cache::Error),
    /// The database.
    #[error(transparent)]
    Db(#[from] db::Error),
    /// The plugins.
    #[error("the plugin engine cannot start: {0}")]
    Plugins(#[from] InstallError),
    /// The rooms.
    #[error("the rooms cannot be loaded: {0}")]
    Rooms(#[from] room::Error),
    /// The keys of tokens.
    #[error(transparent)]
    Auth(#[from] auth::Error),
    /// The metrics.
    #[error(transparent)]
    Telemetry(#[from] telemetry::Error),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] ledger::Error),
}
