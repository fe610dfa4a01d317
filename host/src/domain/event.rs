//! An event: one business fact with a client-made id, and what it was answered with.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Account, Amount, EventId, RoomId, UserId};

/// Milliseconds since the Unix epoch.
pub type EventTime = u64;

/// Tells whether two requests under one event id ask for the same: the first half of a SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ContentDigest(pub [u8; 16]);

impl ContentDigest {
    /// Digests what a payer asked for on a topic. What the server decides, such as the price, is not part of it.
    #[must_use]
    pub fn of(topic: &str, payer: Account, content: &[u8]) -> Self {
        let mut hash = Sha256::new();
        hash.update((topic.len() as u64).to_le_bytes());
        hash.update(topic.as_bytes());
        hash.update(payer.user_id.0.to_le_bytes());
        hash.update(payer.asset_type.0.to_le_bytes());
        hash.update(content);
        let full: [u8; 32] = hash.finalize().into();
        let mut half = [0; 16];
        half.copy_from_slice(full.split_at(16).0);
        Self(half)
    }
}

/// What an event id was first answered with; a repetition is answered with the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// What was reserved.
    pub amount: Amount,
    /// What the payer could still spend right after the hold.
    pub balance: Amount,
    /// The values of the hold's counters right after it, in the order of the request.
    pub counters: Vec<i64>,
}

/// The money part of an event: who pays, what was held, and how it was answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Whose amount is reserved.
    pub payer: Account,
    /// Tells a repetition from a reuse.
    pub digest: ContentDigest,
    /// The answer.
    pub outcome: Outcome,
}

/// One entry of the outbox and of the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The idempotency key, unique for each payer.
    pub event_id: EventId,
    /// Where it goes.
    pub topic: Arc<str>,
    /// Events with one key keep their order; the payer's id for an event that holds.
    pub key: Arc<str>,
    /// The room in which it was sent, if in any.
    pub room_id: Option<RoomId>,
    /// When it was accepted.
    pub at_ms: EventTime,
    /// The reserved money; none for an event that only tells something.
    pub held: Option<Held>,
    /// The producer's bytes.
    pub payload: Bytes,
}

impl Event {
    /// The payer, or none for an event that holds nothing.
    #[must_use]
    pub fn payer(&self) -> Option<UserId> {
        self.held.as_ref().map(|held| held.payer.user_id)
    }
}
