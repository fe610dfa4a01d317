//! The settled ledger.

use async_trait::async_trait;

use super::Error;
use crate::domain::{Account, Amount, AssetType, ContentDigest, EventId, EventTime, Outcome, Part, Posting, UserId};
use crate::ports::cache::Settled;

/// What became of one posting of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PostResult {
    /// Written now.
    Posted,
    /// It was written before with the same digest; nothing was changed.
    Duplicate,
    /// It was voided before with the same digest; nothing was changed.
    Voided,
    /// The event id is known with another digest; nothing was changed.
    Conflict,
    /// A balance would not fit in 64 bits; nothing was changed, and the event stays unknown.
    Overflow,
}

/// What a batch did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posted {
    /// One for each posting, in order.
    pub results: Vec<PostResult>,
    /// The accounts of every posting of the batch, duplicates too, as they are after it; in ascending order. An account that only
    /// postings with a refusal name, and that does not exist, is left out.
    pub accounts: Vec<(Account, Settled)>,
}

/// What the database has of an event, without its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownEvent {
    /// Tells a repetition from a reuse.
    pub digest: ContentDigest,
    /// True if it was voided rather than posted.
    pub voided: bool,
}

impl KnownEvent {
    /// What becomes of another posting of the event, with this digest.
    #[must_use]
    pub fn repeated(&self, digest: ContentDigest) -> PostResult {
        match (self.digest == digest, self.voided) {
            (false, _) => PostResult::Conflict,
            (true, true) => PostResult::Voided,
            (true, false) => PostResult::Duplicate,
        }
    }
}

/// An event that the database knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostedEvent {
    /// Tells a repetition from a reuse.
    pub digest: ContentDigest,
    /// What the client was answered; none if it was not a hold.
    pub outcome: Option<Outcome>,
    /// True if it was voided rather than posted.
    pub voided: bool,
}

/// One line of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The event.
    pub event_id: EventId,
    /// Its payer.
    pub payer: UserId,
    /// The account's part.
    pub part: Part,
    /// The account.
    pub account: Account,
    /// What was added.
    pub delta: Amount,
    /// The business's own id of the occasion.
    pub biz_id: String,
    /// 1 is live streaming.
    pub biz_type: u32,
    /// What it was about.
    pub obj_id: String,
    /// Such as `interactGift`.
    pub event_type: String,
    /// JSON for people who audit.
    pub record_json: String,
    /// When the event was accepted.
    pub at_ms: EventTime,
}

/// Where a page of records ended; the next one goes on there. Opaque to clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordCursor(pub String);

/// Something that does not add up.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Difference {
    /// The balances of an asset do not sum to zero.
    #[serde(rename_all = "camelCase")]
    AssetSum {
        /// The asset.
        asset_type: AssetType,
        /// What they sum to.
        sum: String,
    },
    /// The entries of an event do not sum to zero.
    #[serde(rename_all = "camelCase")]
    EventSum {
        /// The event.
        event_id: String,
        /// Its payer.
        payer: UserId,
        /// The asset.
        asset_type: AssetType,
        /// What they sum to.
        sum: String,
    },
    /// An account's balance is not the sum of its records.
    #[serde(rename_all = "camelCase")]
    AccountSum {
        /// The account.
        account: Account,
        /// The balance.
        balance: Amount,
        /// The sum of its records.
        records: String,
    },
    /// An account other than the mint is below zero.
    #[serde(rename_all = "camelCase")]
    BelowZero {
        /// The account.
        account: Account,
        /// The balance.
        balance: Amount,
    },
    /// What can be spent by the cache is not what the database and the events on their way say.
    #[serde(rename_all = "camelCase")]
    Spendable {
        /// The account.
        account: Account,
        /// By the cache.
        cache: Amount,
        /// By the database, less the events on their way.
        database: String,
    },
}

/// Balances and records. Every write is one transaction.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// A balance; none if there is no such account.
    async fn account(&self, account: Account) -> Result<Option<Settled>, Error>;

    /// All accounts of a user, in ascending order of asset.
    async fn accounts_of(&self, user: UserId) -> Result<Vec<(AssetType, Settled)>, Error>;

    /// Writes postings that have passed [`Posting::check`], each event exactly once by (payer, event id), in one transaction that
    /// touches accounts in ascending order, each once. Accounts that do not exist are made. Idempotent. If one event is in
    /// the batch twice, the second is a duplicate (or a conflict).
    async fn post(&self, batch: &[Posting]) -> Result<Posted, Error>;

    /// Writes that an event will never be posted. `Posted` means voided now; `Duplicate` that it was posted before; `Voided`
    /// that it was voided before. Also returns the payer's account as it is.
    async fn void(
        &self,
        payer: Account,
        event_id: &EventId,
        digest: ContentDigest,
        outcome: Option<&Outcome>,
        at_ms: EventTime,
    ) -> Result<(PostResult, Option<Settled>), Error>;

    /// What the database knows of an event.
    async fn event(&self, payer: UserId, event_id: &EventId) -> Result<Option<PostedEvent>, Error>;

    /// What is known of these events, one for each, in order; none of one that is neither posted nor voided.
    async fn known(&self, events: &[(UserId, EventId)]) -> Result<Vec<Option<KnownEvent>>, Error>;

    /// A user's records, the last settled first, at most `limit` (1 to 1,000). New records never change what lies behind a
    /// cursor. A void leaves no record.
    async fn records(
        &self,
        user: UserId,
        asset: Option<AssetType>,
        after: Option<&RecordCursor>,
        limit: usize,
    ) -> Result<(Vec<Record>, Option<RecordCursor>), Error>;

    /// Adds everything up, in one consistent snapshot, and returns what does not.
    async fn differences(&self) -> Result<Vec<Difference>, Error>;
}
