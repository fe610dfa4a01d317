//! The books of one event: balanced entries.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Account, Amount, AssetType, ContentDigest, EventId, EventTime, Outcome, UserId};

/// The part that an account has in an event. The numbers are those of the column `op_user_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(i16)]
pub enum Part {
    /// Pays.
    Payer = 1,
    /// Receives.
    Receiver = 2,
    /// Platform share, mint, pots.
    System = 3,
}

/// One line of an event's books.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Whose balance changes.
    pub account: Account,
    /// In which part.
    pub part: Part,
    /// By how much; not zero.
    pub delta: Amount,
}

/// All entries of one event, written together or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posting {
    /// The event.
    pub event_id: EventId,
    /// Its payer; with the event id, the key under which it is written once.
    pub payer: UserId,
    /// Tells a repetition from a reuse.
    pub digest: ContentDigest,
    /// What the client was answered, kept for repetitions after the cache has forgotten; none for a direct posting.
    pub outcome: Option<Outcome>,
    /// Sum to zero for each asset type.
    pub entries: Vec<Entry>,
    /// The business's own id of the occasion, such as the room.
    pub biz_id: String,
    /// 1 is live streaming.
    pub biz_type: u32,
    /// What it was about, such as the gift's id.
    pub obj_id: String,
    /// Such as `interactGift`.
    pub event_type: String,
    /// JSON for people who audit.
    pub record_json: String,
    /// When the event was accepted.
    pub at_ms: EventTime,
}

/// Why the entries are no books.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unbalanced {
    /// Value would be made or lost.
    #[error("the entries of asset {asset_type} sum to {sum}, not to zero")]
    Sum {
        /// The asset.
        asset_type: AssetType,
        /// What they sum to.
        sum: i128,
    },
    /// The payer has no entry in the part of the payer, or another account has one.
    #[error("exactly the payer must have entries in the part of the payer")]
    Payer,
    /// Two entries have the same account and part, or one is zero.
    #[error("the entry of {0} is zero or there twice")]
    Entry(Account),
}

impl Posting {
    /// Checks that the entries are books: not zero, no account twice in one part, the payer there, each asset balanced.
    ///
    /// # Errors
    /// With the first fault.
    pub fn check(&self) -> Result<(), Unbalanced> {
        let mut sums: BTreeMap<AssetType, i128> = BTreeMap::new();
        let mut seen: Vec<(Account, Part)> = Vec::with_capacity(self.entries.len());
        for entry in &self.entries {
            if entry.delta == Amount::ZERO || seen.contains(&(entry.account, entry.part)) {
                return Err(Unbalanced::Entry(entry.account));
            }
            if (entry.part == Part::Payer) != (entry.account.user_id == self.payer && entry.delta.0 < 0) {
                return Err(Unbalanced::Payer);
            }
            seen.push((entry.account, entry.part));
            *sums.entry(entry.account.asset_type).or_default() += i128::from(entry.delta.0);
        }
        if !self.entries.iter().any(|entry| entry.part == Part::Payer) {
            return Err(Unbalanced::Payer);
        }
        match sums.into_iter().find(|(_, sum)| *sum != 0) {
            Some((asset_type, sum)) => Err(Unbalanced::Sum { asset_type, sum }),
            None => Ok(()),
        }
    }
}
