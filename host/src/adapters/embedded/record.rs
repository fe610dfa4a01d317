//! What the journal says: one record for each atomic step, as a frame of length, CRC-32 and postcard bytes.
//!
//! A record tells effects, not wishes (a counter's new value, not what was added), so that replaying a part of the journal twice
//! ends in the same state. Records borrow what they are written from and what they are read from: nothing is copied on the way.
//! The order of variants and fields is the format on disk: append, never reorder.

use std::borrow::Cow;
use std::cell::RefCell;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::domain::{
    Account, Amount, AssetType, ContentDigest, Event, EventId, Held, InvalidEventId, Outcome, RoomId, UserId,
};

/// One atomic step.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Record<'a> {
    /// A hold, with the counters that it changed in the payer's shard.
    Hold {
        #[serde(borrow)]
        event: EventRecord<'a>,
        plugin: &'a str,
        effects: Vec<Effect<'a>>,
    },
    /// A commit in a plugin's shard.
    Commit {
        plugin: &'a str,
        shard: &'a str,
        /// The key of `once`, and when it may be forgotten.
        once: Option<(&'a str, u64)>,
        #[serde(borrow)]
        effects: Vec<Effect<'a>>,
        events: Vec<EventRecord<'a>>,
    },
    /// Events that were published alone.
    Publish {
        #[serde(borrow)]
        events: Vec<EventRecord<'a>>,
    },
    /// A group reads these topics from here on.
    Subscribe { group: &'a str, topics: Vec<&'a str> },
    /// A group is no more.
    Forget { group: &'a str },
    /// A group has dealt with everything before these offsets.
    Offsets { group: &'a str, offsets: Vec<(u32, u64)> },
}

/// What a step did to a key. A time of expiry of `u64::MAX` is never.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Effect<'a> {
    Put {
        key: &'a str,
        #[serde(borrow)]
        value: Raw<'a>,
        expires_ms: u64,
    },
    Count {
        key: &'a str,
        value: i64,
        expires_ms: u64,
    },
    Delete {
        key: &'a str,
    },
    Member {
        key: &'a str,
        member: &'a str,
    },
    NoMember {
        key: &'a str,
        member: &'a str,
    },
    Score {
        key: &'a str,
        member: &'a str,
        score: i64,
        expires_ms: u64,
    },
    NoScore {
        key: &'a str,
        member: &'a str,
    },
}

/// Bytes that are written in one piece, not as a list of numbers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Raw<'a>(pub(super) &'a [u8]);

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

/// An event as the journal has it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct EventRecord<'a> {
    pub(super) event_id: &'a str,
    pub(super) topic: &'a str,
    pub(super) key: &'a str,
    pub(super) room_id: Option<i64>,
    pub(super) at_ms: u64,
    #[serde(borrow)]
    pub(super) held: Option<HeldRecord<'a>>,
    #[serde(borrow)]
    pub(super) payload: Raw<'a>,
}

/// The money part of an event as the journal has it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct HeldRecord<'a> {
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
    pub(super) fn of(event: &'a Event) -> Self {
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
    pub(super) fn payer(&self) -> Option<UserId> {
        self.held.as_ref().map(|held| UserId(held.user_id))
    }

    /// Makes the event, with a topic that is shared among events.
    pub(super) fn event(&self, topic: Arc<str>) -> Result<Event, InvalidEventId> {
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

/// Bytes before the content of a frame: its length and a CRC-32 over length and content, both little-endian.
pub(super) const FRAME_HEAD_LEN: usize = 8;

/// The bytes are no whole frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BadFrame;

/// Encodes a record as a frame and lends the frame out. The buffer is the thread's own and is used again.
pub(super) fn with_frame<R>(record: &Record<'_>, use_frame: impl FnOnce(&[u8]) -> R) -> Result<R, postcard::Error> {
    thread_local!(static FRAME: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) });
    FRAME.with_borrow_mut(|frame| {
        frame.clear();
        encode(frame, record)?;
        Ok(use_frame(frame))
    })
}

/// Appends a value as a frame.
pub(super) fn encode<T: Serialize>(bytes: &mut Vec<u8>, value: &T) -> Result<(), postcard::Error> {
    let start = bytes.len();
    bytes.extend_from_slice(&[0; FRAME_HEAD_LEN]);
    postcard::to_io(value, &mut *bytes)?;
    seal(bytes.get_mut(start..).unwrap_or_default());
    Ok(())
}

/// Writes the head of a frame whose content is there.
pub(super) fn seal(frame: &mut [u8]) {
    let Some((head, content)) = frame.split_at_mut_checked(FRAME_HEAD_LEN) else { return };
    let (head_len, head_crc) = head.split_at_mut(4);
    let len = u32::try_from(content.len()).unwrap_or(u32::MAX).to_le_bytes();
    head_len.copy_from_slice(&len);
    head_crc.copy_from_slice(&checksum(len, content).to_le_bytes());
}

/// The content of the frame at the start of the bytes.
pub(super) fn content(bytes: &[u8]) -> Result<&[u8], BadFrame> {
    let (len, rest) = bytes.split_first_chunk::<4>().ok_or(BadFrame)?;
    let (crc, rest) = rest.split_first_chunk::<4>().ok_or(BadFrame)?;
    let content = rest.get(..u32::from_le_bytes(*len) as usize).ok_or(BadFrame)?;
    if content.is_empty() || checksum(*len, content) != u32::from_le_bytes(*crc) {
        return Err(BadFrame);
    }
    Ok(content)
}

fn checksum(len: [u8; 4], content: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&len);
    crc.update(content);
    crc.finalize()
}

/// A hash that is the same in every process and version (FNV-1a, 64 bits): what maps keys to partitions and users to buckets.
pub(in super::super) fn stable_hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}
