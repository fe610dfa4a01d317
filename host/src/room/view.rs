//! What callers of the rooms give and get.

use std::sync::Arc;

use semver::Version;
use serde_json::Value;

use crate::domain::{RoomId, UserId};
use crate::plugin::{Context, RoomInfo};

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
