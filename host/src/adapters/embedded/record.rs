//! What the journal says: one record for each atomic step, as a frame of length, CRC-32 and postcard bytes.
//!
//! A record tells effects, not wishes (a counter's new value, not what was added), so that replaying a part of the journal twice
//! ends in the same state. Records borrow what they are written from and what they are read from: nothing is copied on the way.
//! The order of variants and fields is the format on disk: append, never reorder.

use std::cell::RefCell;

use serde::{Deserialize, Serialize};

pub(super) use super::super::event_record::{EventRecord, Raw};

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
