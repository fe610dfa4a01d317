//! The two-phase ledger over the ports: hold, post, void, balance, credit. Steps 4 to 9 of the way of a gift.

use std::sync::Arc;

use crate::domain::{Account, Amount, AssetType, ContentDigest, EventId, Outcome, Posting, UserId};
use crate::ports::cache::{Cache, Hold, Position};
use crate::ports::clock::Clock;
use crate::ports::db::{self, PostResult, Record, RecordCursor};

/// Why nothing was done. `Loading`, `Full` and `Unavailable` are worth a retry with the same event id.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// Too little.
    #[error("{balance} can be spent, {needed} is needed")]
    Insufficient {
        /// What can be spent.
        balance: Amount,
        /// What was asked for.
        needed: Amount,
    },
    /// There is no such account.
    #[error("there is no account for {0}")]
    NoAccount(Account),
    /// The event id is known with other content.
    #[error("the event id {0} was used for something else")]
    Reused(EventId),
    /// The index of the counter that stood in the way.
    #[error("counter {0} is at its maximum")]
    LimitReached(usize),
    /// The account is being loaded or its bucket recovered.
    #[error("the balance is being loaded")]
    Loading,
    /// Too many events wait to be settled.
    #[error("{0} is full")]
    Full(&'static str),
    /// A backend does not answer; the outcome is not known.
    #[error("unavailable: {0}")]
    Unavailable(String),
    /// A field is wrong.
    #[error("{0}")]
    Invalid(String),
}

/// The answer to a hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// What the event was first answered with.
    pub outcome: Outcome,
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

/// What became of a void.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Voided {
    /// Given back, now or before.
    Voided,
    /// It was posted before.
    AlreadyPosted,
}

/// A paid order that becomes value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credit {
    /// Unique among all recharges.
    pub event_id: EventId,
    /// Who gets it.
    pub account: Account,
    /// 1 or more.
    pub amount: Amount,
    /// Such as `orderApple`.
    pub event_type: String,
    /// The shop's order.
    pub order_id: String,
    /// The payment's transaction.
    pub transaction_id: String,
}

/// A transfer between two accounts, asked for by another program of the platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// Unique for the payer.
    pub event_id: EventId,
    /// Who pays.
    pub payer: Account,
    /// Who receives, in the same asset type.
    pub receiver: UserId,
    /// 1 or more.
    pub amount: Amount,
    /// Such as `interactGift`.
    pub event_type: String,
    /// The business's own id of the occasion.
    pub biz_id: String,
    /// 1 is live streaming.
    pub biz_type: u32,
    /// What it is about.
    pub obj_id: String,
    /// Who asked for it.
    pub by: UserId,
}

/// The topic of transfers; the host itself consumes it.
pub const TRANSFER_TOPIC: &str = "greenroom.transfer";

/// The ledger. Cheap to share.
pub struct Ledger {
    #[expect(dead_code, reason = "skeleton")]
    cache: Arc<dyn Cache>,
    #[expect(dead_code, reason = "skeleton")]
    db: Arc<dyn db::Ledger>,
    #[expect(dead_code, reason = "skeleton")]
    clock: Arc<dyn Clock>,
}

#[expect(clippy::unused_async, clippy::missing_errors_doc, reason = "skeleton")]
impl Ledger {
    /// Over a cache and a database.
    #[must_use]
    pub fn new(cache: Arc<dyn Cache>, db: Arc<dyn db::Ledger>, clock: Arc<dyn Clock>) -> Self {
        Self { cache, db, clock }
    }

    /// The first phase. Loads the payer's account if it must.
    pub async fn hold(&self, _hold: Hold) -> Result<Answer, Error> {
        todo!()
    }

    /// What an event was answered with, by the cache or the database; none if it is unknown.
    pub async fn find(
        &self,
        _payer: Account,
        _event_id: &EventId,
        _digest: ContentDigest,
    ) -> Result<Option<Answer>, Error> {
        todo!()
    }

    /// Returns once everything up to the position would survive a crash.
    pub async fn durable(&self, _position: Position) -> Result<(), Error> {
        todo!()
    }

    /// Gives a hold back.
    pub async fn void(&self, _payer: Account, _event_id: &EventId) -> Result<Voided, Error> {
        todo!()
    }

    /// The second phase: writes a batch and brings the cache up to the database.
    pub async fn post(&self, _batch: &[Posting]) -> Result<Vec<PostResult>, Error> {
        todo!()
    }

    /// One account.
    pub async fn balance(&self, _account: Account) -> Result<Balance, Error> {
        todo!()
    }

    /// All accounts of a user.
    pub async fn balances(&self, _user: UserId) -> Result<Vec<(AssetType, Balance)>, Error> {
        todo!()
    }

    /// Credits a paid order, once. True if it was done before.
    pub async fn credit(&self, _credit: &Credit) -> Result<(Balance, bool), Error> {
        todo!()
    }

    /// Holds the amount of a transfer; settling it is the host's own consumer's work. The answer is durable.
    pub async fn transfer(&self, _transfer: &Transfer) -> Result<Answer, Error> {
        todo!()
    }

    /// A user's records, newest first.
    pub async fn records(
        &self,
        _user: UserId,
        _asset: Option<AssetType>,
        _after: Option<&RecordCursor>,
        _limit: usize,
    ) -> Result<(Vec<Record>, Option<RecordCursor>), Error> {
        todo!()
    }
}
