//! Transfers: moving value between two accounts for another program of the platform, by the same two phases as a gift.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Answer, Error, Ledger};
use crate::domain::{Account, Amount, ContentDigest, Entry, Event, EventId, Part, Posting, UserId};
use crate::ports::cache::Hold;

/// The topic of transfers; the host itself consumes it.
pub const TRANSFER_TOPIC: &str = "greenroom.transfer";

/// A transfer between two accounts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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

impl Ledger {
    /// Holds the amount of a transfer; the host's own consumer settles it. The answer is not durable
    /// yet: the caller waits for its position with [`Ledger::durable`] before it tells anybody. Idempotent by (payer, event id).
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn transfer(&self, transfer: &Transfer) -> Result<Answer, Error> {
        if transfer.receiver == transfer.payer.user_id || transfer.receiver.is_system() {
            return Err(Error::Invalid("toUserAssetChange.userId: must be another user".into()));
        }
        let payload = serde_json::to_vec(transfer).map_err(|e| Error::Invalid(e.to_string()))?;
        self.hold(Hold {
            event_id: transfer.event_id.clone(),
            payer: transfer.payer,
            amount: transfer.amount,
            digest: ContentDigest::of(TRANSFER_TOPIC, transfer.payer, &payload),
            plugin: Arc::from("greenroom"),
            counters: Vec::new(),
            topic: Arc::from(TRANSFER_TOPIC),
            room_id: None,
            payload: payload.into(),
            now_ms: self.clock.now_ms(),
        })
        .await
    }
}

impl Transfer {
    /// The books of a transfer's event.
    ///
    /// # Errors
    /// If the event is no transfer; it can never be posted then.
    pub fn posting(event: &Event) -> Result<Posting, Error> {
        let transfer: Transfer =
            serde_json::from_slice(&event.payload).map_err(|e| Error::Invalid(format!("payload: {e}")))?;
        let held = event.held.as_ref().ok_or_else(|| Error::Invalid("a transfer must hold".into()))?;
        let receiver = Account { user_id: transfer.receiver, asset_type: held.payer.asset_type };
        Ok(Posting {
            event_id: event.event_id.clone(),
            payer: held.payer.user_id,
            digest: held.digest,
            outcome: Some(held.outcome.clone()),
            entries: vec![
                Entry { account: held.payer, part: Part::Payer, delta: held.outcome.amount.negated()? },
                Entry { account: receiver, part: Part::Receiver, delta: held.outcome.amount },
            ],
            biz_id: transfer.biz_id,
            biz_type: transfer.biz_type,
            obj_id: transfer.obj_id,
            event_type: transfer.event_type,
            record_json: serde_json::json!({ "by": transfer.by.to_string() }).to_string(),
            at_ms: event.at_ms,
        })
    }
}
