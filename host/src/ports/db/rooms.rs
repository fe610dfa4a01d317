//! Rooms, streams, bindings, and who changed them.

use async_trait::async_trait;
use semver::Version;
use serde_json::Value;

use super::Error;
use crate::domain::{RoomId, StreamId, UserId};

/// A room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomRow {
    /// Its id.
    pub room_id: RoomId,
    /// Its title.
    pub title: String,
    /// Its streamers; at least one.
    pub streamers: Vec<UserId>,
    /// When it was made, in milliseconds since the Unix epoch.
    pub created_at_ms: u64,
    /// The live stream.
    pub stream: Option<StreamRow>,
    /// Grows by one with each change of the room, its stream or its bindings.
    pub version: i64,
}

/// A live stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamRow {
    /// Its id.
    pub stream_id: StreamId,
    /// When it started, in milliseconds since the Unix epoch.
    pub started_at_ms: u64,
}

/// A plugin in a room, as it was decided.
#[derive(Debug, Clone, PartialEq)]
pub struct BindingRow {
    /// The plugin.
    pub plugin: String,
    /// Its version.
    pub version: Version,
    /// Whether it is enabled.
    pub enabled: bool,
    /// The configuration, with defaults filled in.
    pub config: Value,
    /// A second version that gets a share of the calls: version, and 1 to 100 percent.
    pub canary: Option<(Version, u8)>,
}

/// One change.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditEntry {
    /// Given by the database; 0 before.
    pub id: i64,
    /// The room.
    pub room_id: RoomId,
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Who.
    pub by: UserId,
    /// What, such as `stream.started`.
    pub action: String,
    /// Before.
    pub from: Value,
    /// After.
    pub to: Value,
}

/// That a room was changed; its last change of those that were asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomChange {
    /// The number of its audit entry.
    pub id: i64,
    /// The room.
    pub room_id: RoomId,
    /// The room's version now.
    pub version: i64,
}

/// What operators decide. Each write is one transaction with its audit entry.
#[async_trait]
pub trait Rooms: Send + Sync {
    /// Makes a room. False if the id is taken.
    async fn create(&self, room: &RoomRow, audit: &AuditEntry) -> Result<bool, Error>;

    /// A room with its bindings, disabled ones too.
    async fn room(&self, id: RoomId) -> Result<Option<(RoomRow, Vec<BindingRow>)>, Error>;

    /// Rooms after the given id, by id, at most `limit`.
    async fn rooms(&self, after: Option<RoomId>, limit: usize) -> Result<Vec<RoomRow>, Error>;

    /// Replaces stream and bindings if the room still has the given version, and makes the version one greater. False, with nothing
    /// written, if it has another.
    async fn change(
        &self,
        id: RoomId,
        version: i64,
        stream: Option<&StreamRow>,
        bindings: &[BindingRow],
        audit: &AuditEntry,
    ) -> Result<bool, Error>;

    /// Writes an audit entry of what changed something in the room's plugins, and not in the room itself.
    async fn note(&self, audit: &AuditEntry) -> Result<(), Error>;

    /// Every room with a live stream or an enabled binding, for start-up.
    async fn live(&self) -> Result<Vec<(RoomRow, Vec<BindingRow>)>, Error>;

    /// Whether any room has a binding to this version, enabled or not.
    async fn bound(&self, plugin: &str, version: &Version) -> Result<bool, Error>;

    /// The changes of a room before the given id, newest first.
    async fn audit(&self, id: RoomId, before: Option<i64>, limit: usize) -> Result<Vec<AuditEntry>, Error>;

    /// The number of the last change of any room; 0 if there is none.
    async fn last_change(&self) -> Result<i64, Error>;

    /// The rooms that were changed after the given number, each with its last change, in order of these, at most `limit`.
    async fn changes(&self, after: i64, limit: usize) -> Result<Vec<RoomChange>, Error>;
}
