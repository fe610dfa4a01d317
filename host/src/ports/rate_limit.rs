//! The rate of each user over all processes together.
//!
//! A process counts for itself first; this is asked only about what it lets through. In the embedded mode there is one process, so
//! nothing behind this port.

use std::time::Duration;

use async_trait::async_trait;

use crate::domain::UserId;

/// See the module's text. Safe to cancel: the request was then counted or not.
#[async_trait]
pub trait RateLimit: Send + Sync {
    /// Counts one request of a user. After how long to come back if it is one too many; else, and also if that cannot be told within
    /// some milliseconds, none: a limit is no reason for an outage.
    async fn count(&self, user: UserId) -> Option<Duration>;
}
