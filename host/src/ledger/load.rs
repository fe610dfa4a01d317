//! Load: bringing an account from the database into the cache, fenced against whatever happens meanwhile.
//!
//! The lease is taken before the database is read, and the cache takes the balance only while the lease stands. A release that meets
//! an absent account ends the lease, so an old balance can never be written over a newer one.
//!
//! Events that were set aside hold money that a cache which has lost its data does not know of. They are read before the balance: one
//! that is settled in between is either missing from them and in the balance, or, until its release, in both. The release then ends the
//! lease or, if it comes after the fill, removes the hold; so nothing is left out, and nothing counts twice for longer than a settle takes.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;

use super::{Error, Ledger, unsettled};
use crate::domain::Account;

/// How often an operation asks again after a load before it answers "is being loaded".
pub(super) const TRIES_MAX: usize = 8;
/// How long to wait for somebody else's lease before looking again.
const LEASE_WAIT: Duration = Duration::from_millis(5);
/// Loads that run at the same time in one process; accounts that share a turn wait for each other.
const TURNS: usize = 256;
/// Accounts of one turn that are known not to exist; more that ask at once may ask the database again.
const ABSENT_MAX: usize = 16;

/// One load at a time for each account in this process, so that a hot account asks the database once.
pub(super) struct Turns {
    turns: Vec<Mutex<VecDeque<Absent>>>,
    hasher: RandomState,
    /// Counts up, to tell what came first.
    moments: AtomicU64,
}

/// An account that was found not to exist, and the moment before the cache took that.
struct Absent {
    account: Account,
    moment: u64,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            turns: (0..TURNS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            moments: AtomicU64::new(0),
        }
    }
}

impl Turns {
    fn of(&self, account: Account) -> Option<&Mutex<VecDeque<Absent>>> {
        let place = self.hasher.hash_one(account) % TURNS as u64;
        self.turns.get(usize::try_from(place).unwrap_or(0))
    }

    fn moment(&self) -> u64 {
        self.moments.fetch_add(1, Ordering::SeqCst)
    }
}

impl Ledger {
    /// Sees to it that the account is cached, unless it does not exist: then false. The cache may have dropped it again by the time
    /// this returns. Safe to cancel: a lease left behind expires.
    pub(super) async fn load(&self, account: Account) -> Result<bool, Error> {
        let Some(turn) = self.loading.of(account) else { return Err(Error::Loading) };
        let asked = self.loading.moment();
        let mut absent = turn.lock().await;
        // Somebody before us in this turn has answered us: had the account come to be before we asked, the cache would not have taken this.
        if absent.iter().any(|absent| absent.account == account && absent.moment > asked) {
            return Ok(false);
        }
        for _ in 0..TRIES_MAX {
            if self.cache.account(account).await?.is_some() {
                return Ok(true);
            }
            let Some(lease) = self.cache.lease(account).await? else {
                tokio::time::sleep(LEASE_WAIT).await;
                continue;
            };
            let waiting = self.deliveries.waiting_of(account).await?;
            let waiting = unsettled(self.db.as_ref(), waiting).await?;
            let settled = self.db.account(account).await?;
            let moment = self.loading.moment();
            if self.cache.fill(account, lease, settled, &waiting).await? {
                if settled.is_none() {
                    absent.retain(|absent| absent.account != account);
                    absent.push_front(Absent { account, moment });
                    absent.truncate(ABSENT_MAX);
                }
                return Ok(settled.is_some());
            }
        }
        Err(Error::Loading)
    }
}
