//! What bounds the interface, with defaults.

use std::path::PathBuf;
use std::time::Duration;

/// So many requests in a period, all of which may come at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Requests in a period; 1 or more.
    pub requests_max: u32,
    /// The period.
    pub period: Duration,
}

/// The bounds of the interface, and whose tokens it believes.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Secrets for HS256 tokens: the current one, then those being rotated out. At least 32 bytes each.
    pub secrets: Vec<Vec<u8>>,
    /// A JWK set for EdDSA and RS256 tokens.
    pub jwks_file: Option<PathBuf>,
    /// Verified tokens that are remembered.
    pub tokens_cached_max: u64,
    /// Bytes of a request body.
    pub body_bytes_max: usize,
    /// Bytes of a component that is uploaded.
    pub plugin_bytes_max: usize,
    /// Bytes of a batch of asset changes: 1,000 of them, with room.
    pub batch_bytes_max: usize,
    /// Bytes of a request's head.
    pub head_bytes_max: usize,
    /// Time for a request's head to arrive; also how long a connection may be idle.
    pub head_timeout: Duration,
    /// Time for a request's body to arrive.
    pub body_timeout: Duration,
    /// Time for a request as a whole, except streams and uploads.
    pub request_timeout: Duration,
    /// Time that a client may take none of the bytes waiting for it.
    pub write_timeout: Duration,
    /// Connections at the same time; more are answered 503 and closed.
    pub connections_max: usize,
    /// Time for requests in flight to end at shutdown.
    pub drain_timeout: Duration,
    /// Requests of one user.
    pub user_rate: Rate,
    /// Requests to the plugins of one room.
    pub room_rate: Rate,
    /// How often an idle event stream or WebSocket is shown to be alive.
    pub keep_alive: Duration,
    /// Bytes of a message from a WebSocket client.
    pub ws_message_bytes_max: usize,
    /// Requests in flight of one WebSocket; more are answered 429.
    pub ws_requests_max: usize,
    /// Time for the first message, the token, of a WebSocket that came without one.
    pub ws_token_timeout: Duration,
    /// Whether `/docs` and `/openapi.json` are there.
    pub docs: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            secrets: Vec::new(),
            jwks_file: None,
            tokens_cached_max: 100_000,
            body_bytes_max: 64 << 10,
            plugin_bytes_max: 32 << 20,
            batch_bytes_max: 1 << 20,
            head_bytes_max: 16 << 10,
            head_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            connections_max: 20_000,
            drain_timeout: Duration::from_secs(10),
            user_rate: Rate { requests_max: 10_000, period: Duration::from_secs(10) },
            room_rate: Rate { requests_max: 1_000_000, period: Duration::from_secs(10) },
            keep_alive: Duration::from_secs(15),
            ws_message_bytes_max: 64 << 10,
            ws_requests_max: 32,
            ws_token_timeout: Duration::from_secs(5),
            docs: true,
        }
    }
}
