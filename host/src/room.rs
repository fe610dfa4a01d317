//! Rooms, streams and bindings: who has what enabled. Step 2 of the way of a gift.
//!
//! What a room runs is an immutable snapshot; every change makes a new one and swaps it in, after it is written with its audit entry.

use std::sync::Arc;

use greenroom_manifest::Method;
use semver::Version;
use serde_json::Value;

use crate::domain::{RoomId, UserId};
use crate::plugin::{ConfigFault, Context, Registry, RoomInfo};
use crate::ports::clock::Clock;
use crate::ports::db::{self, AuditEntry};

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

/// A room to make.
#[derive(Debug, Clone)]
pub struct NewRoom {
    /// Chosen by the caller, or made here.
    pub room_id: Option<RoomId>,
    /// 1 to 200 characters.
    pub title: String,
    /// 1 to 16.
    pub streamers: Vec<UserId>,
}

/// A plugin for a stream.
#[derive(Debug, Clone)]
pub struct PluginChoice {
    /// Its name.
    pub name: String,
    /// Its version, or the newest.
    pub version: Option<Version>,
    /// Its configuration, or the room's last one, or the defaults.
    pub config: Option<Value>,
}

/// A change of one binding. What is left out stays as it was.
#[derive(Debug, Clone)]
pub struct BindingChange {
    /// On or off.
    pub enabled: bool,
    /// Another version.
    pub version: Option<Version>,
    /// Another configuration, as a whole.
    pub config: Option<Value>,
    /// A second version for a share of the calls, in percent; `Some(None)` ends it.
    pub canary: Option<Option<(Version, u8)>>,
}

/// A room as operators see it.
#[derive(Debug, Clone)]
pub struct RoomView {
    /// Id, title, streamers, live stream.
    pub info: Arc<RoomInfo>,
    /// When it was made.
    pub created_at_ms: u64,
}

/// A binding as operators see it.
#[derive(Debug, Clone)]
pub struct BindingView {
    /// The plugin.
    pub name: String,
    /// Its version.
    pub version: Version,
    /// Whether it is enabled.
    pub enabled: bool,
    /// The configuration with defaults.
    pub config: Value,
    /// The canary and its share in percent.
    pub canary: Option<(Version, u8)>,
    /// Whether its circuit is closed.
    pub healthy: bool,
    /// Calls since this process began to serve the binding.
    pub calls: u64,
    /// Calls among them that gave no answer.
    pub failures: u64,
}

/// Where a request goes.
#[derive(Debug, Clone)]
pub struct Routed {
    /// What it runs under.
    pub context: Arc<Context>,
    /// The index of the route in the manifest.
    pub route: usize,
    /// The parameters' values, in the route's order.
    pub params: Vec<(String, String)>,
}

/// The rooms. Cheap to share.
pub struct Rooms {
    #[expect(dead_code, reason = "skeleton")]
    db: Arc<dyn db::Rooms>,
    #[expect(dead_code, reason = "skeleton")]
    registry: Arc<Registry>,
    #[expect(dead_code, reason = "skeleton")]
    clock: Arc<dyn Clock>,
}

#[expect(clippy::unused_async, clippy::missing_errors_doc, reason = "skeleton")]
impl Rooms {
    /// Loads what is live.
    pub async fn start(db: Arc<dyn db::Rooms>, registry: Arc<Registry>, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        Ok(Self { db, registry, clock })
    }

    /// Makes a room.
    pub async fn create(&self, _by: UserId, _room: NewRoom) -> Result<RoomView, Error> {
        todo!()
    }

    /// A room.
    pub async fn get(&self, _room: RoomId) -> Result<RoomView, Error> {
        todo!()
    }

    /// Rooms after the given id, by id.
    pub async fn list(&self, _after: Option<RoomId>, _limit: usize) -> Result<Vec<RoomView>, Error> {
        todo!()
    }

    /// Starts a stream with its plugins, all or nothing. Plugins that are enabled but not named stay enabled.
    pub async fn start_stream(
        &self,
        _by: UserId,
        _room: RoomId,
        _plugins: Vec<PluginChoice>,
    ) -> Result<RoomView, Error> {
        todo!()
    }

    /// Ends the live stream.
    pub async fn end_stream(&self, _by: UserId, _room: RoomId) -> Result<RoomView, Error> {
        todo!()
    }

    /// The room's bindings.
    pub async fn bindings(&self, _room: RoomId) -> Result<Vec<BindingView>, Error> {
        todo!()
    }

    /// Toggles, re-configures, upgrades or rolls back a plugin while the room is live.
    pub async fn change_binding(
        &self,
        _by: UserId,
        _room: RoomId,
        _plugin: &str,
        _change: BindingChange,
    ) -> Result<BindingView, Error> {
        todo!()
    }

    /// The room's changes before the given id, newest first.
    pub async fn audit(&self, _room: RoomId, _before: Option<i64>, _limit: usize) -> Result<Vec<AuditEntry>, Error> {
        todo!()
    }

    /// Whether any room has a binding to this version.
    pub async fn bound(&self, _plugin: &str, _version: &Version) -> Result<bool, Error> {
        todo!()
    }

    /// Finds the binding that answers a path under the room. Takes no lock and does no input or output for a room that is live here.
    pub async fn route(&self, _room: RoomId, _method: Method, _path: &str) -> Result<Routed, Error> {
        todo!()
    }

    /// Finds the plugin that answers a global path, if any.
    #[must_use]
    pub fn route_global(&self, _method: Method, _path: &str) -> Option<Routed> {
        todo!()
    }
}
