//! What goes into a call and what comes out, in the host's own types.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use greenroom_manifest::Role;

use crate::breaker::Breaker;
use crate::domain::{RoomId, StreamId, UserId};
use crate::ledger;
use crate::plugin::Plugin;

/// Who calls; the token has been checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// The user.
    pub user_id: UserId,
    /// What they may do.
    pub role: Role,
    /// The level that the token states, or 0.
    pub level: u32,
}

/// The room of a call, as of its snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomInfo {
    /// Its id.
    pub room_id: RoomId,
    /// Its title.
    pub title: Arc<str>,
    /// Its streamers.
    pub streamers: Vec<UserId>,
    /// The live stream.
    pub stream: Option<StreamInfo>,
}

/// The live stream of a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamInfo {
    /// Its id.
    pub stream_id: StreamId,
    /// When it started.
    pub started_at_ms: u64,
}

/// What a call runs under: an immutable snapshot, swapped as a whole.
#[derive(Debug)]
pub struct Context {
    /// Unique in this process: two contexts with one number are the same.
    pub id: u64,
    /// The plugin's version.
    pub plugin: Arc<Plugin>,
    /// The room; none for a call that is about no room.
    pub room: Option<Arc<RoomInfo>>,
    /// The configuration as JSON, with defaults filled in.
    pub config_json: Arc<str>,
    /// The circuit of this plugin in this room; it outlives a swap.
    pub breaker: Arc<Breaker>,
}

/// A request that reached a route of the plugin; role and body schema are checked by `Plugin::admit`.
#[derive(Debug, Clone)]
pub struct ApiRequest {
    /// The index of the route in the manifest.
    pub route: usize,
    /// The values of the route's parameters, in the route's order.
    pub params: Vec<(String, String)>,
    /// The query, decoded.
    pub query: Vec<(String, String)>,
    /// The body as sent.
    pub body: Bytes,
    /// The `Idempotency-Key` header.
    pub idempotency_key: Option<String>,
    /// Who calls.
    pub caller: Caller,
}

/// A plugin's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiResponse {
    /// 200 to 299.
    pub status: u16,
    /// JSON, or empty.
    pub body: Bytes,
}

/// A plugin's refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// 400 to 599.
    pub status: u16,
    /// One of the host's, or of the plugin's range.
    pub code: u32,
    /// Kebab-case.
    pub slug: String,
    /// For a person.
    pub detail: String,
    /// A JSON object, or none.
    pub extra: Option<serde_json::Value>,
    /// When to come back.
    pub retry_after: Option<Duration>,
}

/// What is to become of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Done.
    Ack,
    /// Again, no earlier than after this.
    RetryAfter(Duration),
    /// Never; why.
    Reject(String),
}

/// What happens to a plugin in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    /// Enabled in the room.
    Enabled,
    /// Disabled in the room.
    Disabled,
    /// A stream started.
    StreamStarted,
    /// The stream ended.
    StreamEnded,
    /// Another version or configuration.
    Reconfigured,
}

/// Why a call gave no answer. The hold that it may have made stands; the same event id finds it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The component trapped, or broke the interface.
    #[error("plugin {plugin} failed: {reason}")]
    Failed {
        /// Which.
        plugin: String,
        /// In the runtime's words.
        reason: String,
    },
    /// It used up its deadline or its time on the wall.
    #[error("plugin {plugin} did not answer within {limit:?}")]
    Timeout {
        /// Which.
        plugin: String,
        /// The limit that it reached.
        limit: Duration,
    },
    /// Its circuit is open.
    #[error("plugin {plugin} is suspended for {retry_after:?}")]
    Suspended {
        /// Which.
        plugin: String,
        /// When to come back.
        retry_after: Duration,
    },
    /// All its instances are busy and the queue before them is full.
    #[error("plugin {plugin} is overloaded")]
    Overloaded {
        /// Which.
        plugin: String,
    },
    /// The call was made, but whether it is durable is not known.
    #[error("the outcome is not known yet: {0}")]
    NotDurable(String),
    /// The call was made, but one of its events may not be told of: it is not settled, or never will be.
    #[error(transparent)]
    NotTellable(#[from] ledger::Error),
    /// A backend did not answer, so a batch was not dealt with. No fault of its events.
    #[error("unavailable: {0}")]
    Unavailable(String),
    /// The plugin has no such export.
    #[error("plugin {plugin} does not export {export}")]
    NoExport {
        /// Which.
        plugin: String,
        /// The interface.
        export: &'static str,
    },
}
