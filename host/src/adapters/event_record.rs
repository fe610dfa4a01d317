//! An event as bytes: what the journal keeps and what the queue carries, in postcard.
//!
//! The order of fields is the format on disk and on the wire: append, never reorder. Records borrow what they are written from and
//! what they are read from: nothing is copied on the way.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::domain::{
    Account, Amount, AssetType, ContentDigest, Event, EventId, Held, InvalidEventId, Outcome, RoomId, UserId,
};

/// Bytes that are written in one piece, not as a list of numbers.
#[derive(Debug, Clone, Copy)]
pub(in crate::adapters) struct Raw<'a>(pub(in crate::adapters) &'a [u8]);

impl Serialize for Raw<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Raw<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&'de [u8]>::deserialize(deserializer).map(Raw)
    }
}

/// An event as adapters write it down.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::adapters) struct EventRecord<'a> {
    pub(in crate::adapters) event_id: &'a str,
    pub(in crate::adapters) topic: &'a str,
    pub(in crate::adapters) key: &'a str,
    pub(in crate::adapters) room_id: Option<i64>,
    pub(in crate::adapters) at_ms: u64,
    #[serde(borrow)]
    pub(in crate::adapters) held: Option<HeldRecord<'a>>,
    #[serde(borrow)]
    pub(in crate::adapters) payload: Raw<'a>,
}

/// The money part of an event as adapters write it down.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::adapters) struct HeldRecord<'a> {
    user_id: i64,
    asset_type: u32,
    digest: [u8; 16],
    amount: i64,
    balance: i64,
    #[serde(borrow)]
    counters: Cow<'a, [i64]>,
}

impl<'a> EventRecord<'a> {
    /// Borrows an event.
    pub(in crate::adapters) fn of(event: &'a Event) -> Self {
        Self {
            event_id: event.event_id.as_str(),
            topic: &event.topic,
            key: &event.key,
            room_id: event.room_id.map(|room| room.0),
            at_ms: event.at_ms,
            held: event.held.as_ref().map(HeldRecord::of),
            payload: Raw(&event.payload),
        }
    }

    /// The payer of an event that holds.
    pub(in crate::adapters) fn payer(&self) -> Option<UserId> {
        self.held.as_ref().map(|held| UserId(held.user_id))
    }

    /// Makes the event, with a topic that is shared among events.
    pub(in crate::adapters) fn event(&self, topic: Arc<str>) -> Result<Event, InvalidEventId> {
        Ok(Event {
            event_id: EventId::new(self.event_id)?,
            topic,
            key: self.key.into(),
            room_id: self.room_id.map(RoomId),
            at_ms: self.at_ms,
            held: self.held.as_ref().map(HeldRecord::held),
            payload: Bytes::copy_from_slice(self.payload.0),
        })
    }
}

impl<'a> HeldRecord<'a> {
    fn of(held: &'a Held) -> Self {
        Self {
            user_id: held.payer.user_id.0,
            asset_type: held.payer.asset_type.0,
            digest: held.digest.0,
            amount: held.outcome.amount.0,
            balance: held.outcome.balance.0,
            counters: Cow::Borrowed(&held.outcome.counters),
        }
    }

    fn held(&self) -> Held {
        Held {
            payer: Account { user_id: UserId(self.user_id), asset_type: AssetType(self.asset_type) },
            digest: ContentDigest(self.digest),
            outcome: Outcome {
                amount: Amount(self.amount),
                balance: Amount(self.balance),
                counters: self.counters.to_vec(),
            },
        }
    }
}
