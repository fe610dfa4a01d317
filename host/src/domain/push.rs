//! What is pushed to those who watch a room.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{RoomId, UserId};

/// What is lost first when a reader is slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Lost first.
    Low,
    /// In between.
    Normal,
    /// Kept longest.
    High,
}

/// To whom a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Audience {
    /// Everybody in the room.
    Room,
    /// The connections of one user in the room.
    User(UserId),
}

/// One message to a room. Repeating the key within the room's history pushes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushMessage {
    /// The room.
    pub room_id: RoomId,
    /// Who of it.
    pub audience: Audience,
    /// The idempotency key, 1 to 128 characters, unique in the room for each event name.
    pub key: Arc<str>,
    /// Such as `gift.sent`.
    pub event: Arc<str>,
    /// JSON.
    pub data: Arc<str>,
    /// What is lost first.
    pub priority: Priority,
}
