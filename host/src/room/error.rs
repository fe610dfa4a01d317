//! Why a room was not found or changed.

use crate::domain::RoomId;
use crate::plugin::ConfigFault;
use crate::ports::db;

/// Why nothing was changed or found.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such room.
    #[error("there is no room {0}")]
    RoomNotFound(RoomId),
    /// The id is taken.
    #[error("room {0} exists")]
    RoomExists(RoomId),
    /// The room has no live stream.
    #[error("room {0} has no live stream")]
    NotLive(RoomId),
    /// The room has a live stream already.
    #[error("room {0} has a live stream")]
    AlreadyLive(RoomId),
    /// The plugin is not enabled in the room, or has no such route.
    #[error("room {room} has no plugin for `{what}`")]
    PluginNotEnabled {
        /// The room.
        room: RoomId,
        /// The plugin or the path.
        what: String,
    },
    /// No such plugin or version is installed.
    #[error("plugin {0} is not installed")]
    PluginNotInstalled(String),
    /// Two enabled plugins have the same route.
    #[error("plugins {0} and {1} both answer `{2}`")]
    RouteTaken(String, String, String),
    /// The configuration is at fault.
    #[error("plugin {plugin}: {fault}")]
    Config {
        /// The plugin.
        plugin: String,
        /// Where and why.
        fault: ConfigFault,
    },
    /// The plugin itself refused what was to happen.
    #[error("plugin {plugin} refused: {reason}")]
    Refused {
        /// The plugin.
        plugin: String,
        /// In its words.
        reason: String,
    },
    /// The plugin could not be asked.
    #[error(transparent)]
    Plugin(#[from] crate::plugin::Error),
    /// A field is wrong.
    #[error("{field}: {fault}")]
    Invalid {
        /// Which.
        field: String,
        /// Why, and what it may be.
        fault: String,
    },
    /// Somebody else changed the room at the same time; worth a retry.
    #[error("room {0} was changed by somebody else at the same time")]
    Raced(RoomId),
    /// The database.
    #[error(transparent)]
    Db(#[from] db::Error),
}
