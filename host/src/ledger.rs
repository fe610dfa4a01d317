//! The two-phase ledger over the ports: hold, post, void, balance, credit. Steps 4 to 9 of the way of a gift.
//!
//! The cache reserves (hold) and the database writes the books (post); this module is the protocol between the two. It keeps no state
//! of its own, so any number of processes may run it over one cache and one database.
//!
//! What it relies on: the cache's atomic steps, the database's unique key of an event, and versions that tell which balance is newer.
//! What it deliberately does not do: it never takes a hold back because an answer was lost. Whoever lost an answer asks again with the
//! same event id.

mod awaited;
mod books;
mod error;
mod hot;
mod load;
mod reconcile;
mod reserve;
mod transfer;

use std::sync::Arc;
use std::time::Duration;

use crate::domain::{Account, Amount, AssetType, ContentDigest, EventId, Outcome, UserId};
use crate::ports::cache::{Cache, CachedAccount, Position};
use crate::ports::clock::Clock;
use crate::ports::db::{self, PostResult, Record, RecordCursor};
use awaited::Awaited;

pub use books::{Credit, Voided, unsettled};
pub use error::Error;
pub use hot::{Hot, Kind};
pub use reconcile::{Reconciler, Reconciliation};
pub use transfer::{TRANSFER_TOPIC, Transfer};

/// How long an answer waits for its books; less than plugins have for a call (5 s), so that the client is told what is the matter.
const BOOKS_WAIT: Duration = Duration::from_secs(4);

/// The answer to a hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// What the event was first answered with.
    pub outcome: Outcome,
    /// The digest of the event's content.
    pub digest: ContentDigest,
    /// True if nothing was done now.
    pub replayed: bool,
    /// Must be durable before somebody is told.
    pub position: Position,
}

/// An account as its owner sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Balance {
    /// Settled less held.
    pub spendable: Amount,
    /// Reserved by events on their way.
    pub held: Amount,
    /// By the database.
    pub settled: Amount,
}

impl Balance {
    fn of(account: CachedAccount) -> Result<Self, Error> {
        let (settled, held) = (account.settled.balance, account.held);
        Ok(Self { spendable: settled.minus(held)?, held, settled })
    }
}

/// The ledger. Cheap to share.
pub struct Ledger {
    cache: Arc<dyn Cache>,
    db: Arc<dyn db::Ledger>,
    deliveries: Arc<dyn db::Deliveries>,
    clock: Arc<dyn Clock>,
    loading: load::Turns,
    hot: Hot,
    /// None if answers do not wait for their books.
    awaited: Option<Awaited>,
}

impl Ledger {
    /// Over a cache and a database; `deliveries` knows what that database has set aside.
    #[must_use]
    pub fn new(
        cache: Arc<dyn Cache>,
        db: Arc<dyn db::Ledger>,
        deliveries: Arc<dyn db::Deliveries>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { cache, db, deliveries, clock, loading: load::Turns::default(), hot: Hot::default(), awaited: None }
    }

    /// The same whose clients are told of an event only once its books are in the database.
    #[must_use]
    pub fn answering_when_settled(self) -> Self {
        Self { awaited: Some(Awaited::default()), ..self }
    }

    /// Returns once everything up to the position would survive a crash. Safe to cancel.
    ///
    /// # Errors
    /// If that is not known; what was done stands, and the same event id finds it.
    pub async fn durable(&self, position: Position) -> Result<(), Error> {
        Ok(self.cache.durable(position).await?)
    }

    /// Returns once a client may be told of an event that was held with this digest: at once, unless answers wait for their books. Beside
    /// [`Ledger::durable`], not in its place. Safe to cancel.
    ///
    /// # Errors
    /// `Unsettled` if its books are not in the database in time, or `Full`: both worth a retry with the same event id. `Voided` or `Reused`
    /// if they never will be.
    pub async fn tellable(&self, payer: UserId, event_id: &EventId, digest: ContentDigest) -> Result<(), Error> {
        let Some(awaited) = &self.awaited else { return Ok(()) };
        let known = tokio::time::timeout(BOOKS_WAIT, awaited.known(self.db.as_ref(), (payer, event_id.clone()))).await;
        let Ok(known) = known else { return Err(Error::Unsettled(event_id.clone())) };
        match known?.repeated(digest) {
            PostResult::Conflict => Err(Error::Reused(event_id.clone())),
            PostResult::Voided => Err(Error::Voided(event_id.clone())),
            PostResult::Duplicate | PostResult::Posted | PostResult::Overflow => Ok(()),
        }
    }

    /// What this process has most events of now: kind, key and events in the last minute.
    #[must_use]
    pub fn hot(&self) -> Vec<(Kind, i64, u64)> {
        self.hot.now(self.clock.now_ms())
    }

    /// One account, loaded if the cache does not have it.
    ///
    /// # Errors
    /// `NoAccount`, or what is worth a retry.
    pub async fn balance(&self, account: Account) -> Result<Balance, Error> {
        for _ in 0..load::TRIES_MAX {
            if let Some(cached) = self.cache.account(account).await? {
                return Balance::of(cached);
            }
            if !self.load(account).await? {
                return Err(Error::NoAccount(account));
            }
        }
        Err(Error::Loading)
    }

    /// All accounts of a user, in ascending order of asset; empty if there is none.
    ///
    /// # Errors
    /// Only what is worth a retry.
    pub async fn balances(&self, user: UserId) -> Result<Vec<(AssetType, Balance)>, Error> {
        let mut balances = Vec::new();
        for (asset_type, _) in self.db.accounts_of(user).await? {
            balances.push((asset_type, self.balance(Account { user_id: user, asset_type }).await?));
        }
        Ok(balances)
    }

    /// How many events of a consumer group wait for another try, counted to 1,000.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn retries_of(&self, group: &str) -> Result<u64, Error> {
        let whenever_ms = i64::MAX.unsigned_abs();
        Ok(self.deliveries.due(group, whenever_ms, 1_000).await?.len() as u64)
    }

    /// A user's records, newest first, at most `limit` (1 to 1,000), and where the next page begins.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn records(
        &self,
        user: UserId,
        asset: Option<AssetType>,
        after: Option<&RecordCursor>,
        limit: usize,
    ) -> Result<(Vec<Record>, Option<RecordCursor>), Error> {
        Ok(self.db.records(user, asset, after, limit).await?)
    }
}
