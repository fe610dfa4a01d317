//! Whose a pot is. Pots never change hands, so what the database has said once is kept.
//!
//! Bounds: a call makes at most [`NEW_PER_CALL_MAX`] pots, a plugin at most [`BURST`] at once and [`PER_SECOND`] in a process after
//! that; [`KNOWN_MAX`] answers of the database are kept. Pots themselves are not counted: a pot is a row of some hundred bytes that the
//! books name for ever.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use parking_lot::Mutex;

use crate::domain::UserId;
use crate::ports::db::{self, Error};

/// Pots that one call may make.
pub(crate) const NEW_PER_CALL_MAX: u32 = 16;
/// Pots that a plugin may make at once, and in a second, in one process.
const BURST: NonZeroU32 = NonZeroU32::new(1_000).unwrap();
const PER_SECOND: NonZeroU32 = NonZeroU32::new(100).unwrap();
/// About 10 MB.
const KNOWN_MAX: usize = 65_536;

/// The pots of all plugins.
pub(crate) struct Pots {
    db: Arc<dyn db::Pots>,
    owners: Mutex<HashMap<UserId, Arc<str>>>,
    made: DefaultKeyedRateLimiter<Arc<str>>,
}

/// What making a pot came to.
pub(crate) enum Made {
    /// It is there; true if it was not before.
    Pot(UserId, bool),
    /// The plugin makes too many.
    TooMany,
}

impl Pots {
    pub(crate) fn new(db: Arc<dyn db::Pots>) -> Self {
        let made = RateLimiter::keyed(Quota::per_second(PER_SECOND).allow_burst(BURST));
        Self { db, owners: Mutex::default(), made }
    }

    /// The plugin's pot of that name; a new one only if one more may be made.
    ///
    /// # Errors
    /// If the database does not answer.
    pub(crate) async fn pot(&self, plugin: &Arc<str>, name: &str, may_make: bool) -> Result<Made, Error> {
        if let Some(pot) = self.db.pot(plugin, name).await? {
            self.remember(pot, Arc::clone(plugin));
            return Ok(Made::Pot(pot, false));
        }
        if !may_make || self.made.check_key(plugin).is_err() {
            return Ok(Made::TooMany);
        }
        let pot = self.db.make_pot(plugin, name).await?;
        self.remember(pot, Arc::clone(plugin));
        Ok(Made::Pot(pot, true))
    }

    /// Whether an account is a pot of the plugin.
    ///
    /// # Errors
    /// If the database does not answer.
    pub(crate) async fn is_of(&self, plugin: &str, account: UserId) -> Result<bool, Error> {
        if account.pot().is_none() {
            return Ok(false);
        }
        let known = self.owners.lock().get(&account).map(|owner| **owner == *plugin);
        if let Some(is_own) = known {
            return Ok(is_own);
        }
        let Some(owner) = self.db.owner_of(account).await? else { return Ok(false) };
        let is_own = owner == plugin;
        self.remember(account, owner.into());
        Ok(is_own)
    }

    fn remember(&self, pot: UserId, owner: Arc<str>) {
        let mut owners = self.owners.lock();
        if owners.len() >= KNOWN_MAX {
            owners.clear();
        }
        owners.insert(pot, owner);
    }
}
