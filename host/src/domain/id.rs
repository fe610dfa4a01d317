//! Names of things. Each is a type of its own, so that one cannot be taken for another.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A person, 1 or more; or a system account, below zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UserId(pub i64);

impl UserId {
    /// Where recharged value comes from; the only account that may go below zero.
    pub const MINT: UserId = UserId(-1);
    /// Where the platform's share goes.
    pub const PLATFORM: UserId = UserId(-2);

    /// Pot n of a plugin is this less n; n is 1 or more.
    const POTS: i64 = -1_000_000;

    /// The account of a pot by its number, which is 1 or more.
    #[must_use]
    pub fn of_pot(number: i64) -> Option<Self> {
        Self::POTS.checked_sub(number).filter(|_| number >= 1).map(Self)
    }

    /// The number of the pot whose account this is; none if it is no pot's.
    #[must_use]
    pub fn pot(self) -> Option<i64> {
        Self::POTS.checked_sub(self.0).filter(|number| *number >= 1)
    }

    /// Whether this is an account of the platform rather than of a person.
    #[must_use]
    pub fn is_system(self) -> bool {
        self.0 < 0
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A room, 1 or more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RoomId(pub i64);

impl fmt::Display for RoomId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One broadcast in a room; unique among all rooms.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StreamId(pub Arc<str>);

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The shard of the cache that a user or a room maps to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BucketId(pub u16);

/// The idempotency key of a business fact, made by the client and unique for each payer.
///
/// 1 to 64 characters of `A-Z a-z 0-9 - _ . :`. A `UUIDv7` carries its own time, which spares a look into the database.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct EventId(Arc<str>);

/// The text is no event id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event id has 1 to 64 characters of A-Z a-z 0-9 - _ . :")]
pub struct InvalidEventId;

impl EventId {
    /// The greatest length, in characters.
    pub const LEN_MAX: usize = 64;

    /// Checks the text.
    ///
    /// # Errors
    /// If it is empty, too long, or has another character.
    pub fn new(text: &str) -> Result<Self, InvalidEventId> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':');
        if text.is_empty() || text.len() > Self::LEN_MAX || !text.bytes().all(allowed) {
            return Err(InvalidEventId);
        }
        Ok(Self(text.into()))
    }

    /// The text as the client made it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The moment a `UUIDv7` was made, in milliseconds since the Unix epoch; none for any other text (RFC 9562, 5.7).
    #[must_use]
    pub fn made_at_ms(&self) -> Option<u64> {
        let bytes = self.0.as_bytes();
        let is_v7 = bytes.len() == 36 && bytes.get(14) == Some(&b'7') && bytes.get(8) == Some(&b'-');
        if !is_v7 {
            return None;
        }
        let high = u64::from_str_radix(self.0.get(0..8)?, 16).ok()?;
        let low = u64::from_str_radix(self.0.get(9..13)?, 16).ok()?;
        Some(high << 16 | low)
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for EventId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        EventId::new(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_v7_tells_its_time_and_others_do_not() {
        let v7 = EventId::new("0192f3c1-7d2a-7bbb-8ccc-0123456789ab").unwrap();
        assert_eq!(v7.made_at_ms(), Some(0x0192_f3c1_7d2a));
        let v4 = EventId::new("0192f3c1-7d2a-4bbb-8ccc-0123456789ab").unwrap();
        assert_eq!(v4.made_at_ms(), None);
        assert_eq!(EventId::new("order:17").unwrap().made_at_ms(), None);
    }

    #[test]
    fn the_account_of_a_pot_tells_its_number_and_others_tell_none() {
        assert_eq!(UserId::of_pot(7), Some(UserId(-1_000_007)));
        assert_eq!(UserId(-1_000_007).pot(), Some(7));
        for number in [0, -1, i64::MAX] {
            assert_eq!(UserId::of_pot(number), None, "{number}");
        }
        for user in [5, 0, -1, -2, -1_000_000, i64::MAX] {
            assert_eq!(UserId(user).pot(), None, "{user}");
        }
    }

    #[test]
    fn an_event_id_is_refused_when_empty_long_or_strange() {
        for text in ["", "a b", "ä", &"x".repeat(65)] {
            assert_eq!(EventId::new(text), Err(InvalidEventId), "{text:?}");
        }
        assert!(EventId::new(&"x".repeat(64)).is_ok());
    }
}
