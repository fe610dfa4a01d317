//! Pots: system accounts that belong to plugins.

use async_trait::async_trait;

use super::Error;
use crate::domain::UserId;

/// Which pot is whose. A pot is never renamed, given away or removed, so what was read may be kept.
#[async_trait]
pub trait Pots: Send + Sync {
    /// The account of a plugin's pot of that name; none if it was not made.
    async fn pot(&self, plugin: &str, name: &str) -> Result<Option<UserId>, Error>;

    /// The account of a plugin's pot of that name, made if it is new. Of several that make it at once all get the same.
    async fn make_pot(&self, plugin: &str, name: &str) -> Result<UserId, Error>;

    /// The plugin whose pot an account is; none if it is no pot's.
    async fn owner_of(&self, account: UserId) -> Result<Option<String>, Error>;
}
