//! The key by which a repeated request is known.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::fair::Digest;

const LEN_MAX: usize = 64;

/// Made by the client for each thing that it wants done, and the same when it asks again: 1 to 64 characters of
/// `A-Z a-z 0-9 - _ . :`, `UUIDv7` recommended.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct EventId(String);

impl EventId {
    /// None for what is no event id.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':');
        ((1..=LEN_MAX).contains(&text.len()) && text.bytes().all(allowed)).then_some(Self(text))
    }

    /// The id of the thing that a user makes with this event in a room: 20 hexadecimal digits, the same for a repetition, and nobody else's.
    #[must_use]
    pub fn thing_id(&self, room_id: i64, user_id: i64) -> String {
        let digest = Digest::of([room_id.to_string(), user_id.to_string(), self.0.clone()]).to_string();
        digest.chars().take(20).collect()
    }
}

impl Deref for EventId {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for EventId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fault = || de::Error::custom("`eventId` must have 1 to 64 characters of A-Z a-z 0-9 - _ . :");
        Self::new(String::deserialize(deserializer)?).ok_or_else(fault)
    }
}

impl JsonSchema for EventId {
    fn schema_name() -> Cow<'static, str> {
        "EventId".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[A-Za-z0-9_.:-]{1,64}$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thing_is_of_its_room_its_maker_and_its_event() {
        let (one, other) = (EventId::new("e1").unwrap(), EventId::new("e2").unwrap());
        let ids = [one.thing_id(1, 2), one.thing_id(2, 1), one.thing_id(12, 1), other.thing_id(1, 2)];
        assert_eq!(one.thing_id(1, 2), ids[0]);
        assert_eq!(ids.iter().collect::<std::collections::BTreeSet<_>>().len(), 4);
        assert!(ids.iter().all(|id| id.len() == 20));
    }

    #[test]
    fn what_is_no_event_id_is_refused() {
        let longest = "x".repeat(64);
        for good in ["a", "0192f0c1-7aaa-7bbb-8ccc-0123456789ab", "A_b.c:9-", &longest] {
            assert_eq!(serde_json::from_value::<EventId>(good.into()).unwrap().to_string(), good);
        }
        for bad in ["", " ", "a b", "a/b", "ä", "a\n", &format!("{longest}x")] {
            assert!(serde_json::from_value::<EventId>(bad.into()).is_err(), "{bad}");
        }
    }
}
