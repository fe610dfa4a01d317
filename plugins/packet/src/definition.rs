//! What a packet is: everything that is public from the moment it is announced, and what is sealed with it.

use std::fmt;

use greenroom_sdk::fair::{Digest, Secret};
use greenroom_sdk::routing::FromPath;
use greenroom_sdk::{Amount, EventId, Id, Problem, stored};
use sha2::Digest as _;

use crate::refusal::No;

const ID_LEN: usize = 32;

/// 32 hexadecimal digits, made from who gave the packet and the event id, so that a repeated request has the same.
#[derive(Eq, PartialOrd, Ord)]
#[stored]
pub(crate) struct PacketId(String);

impl PacketId {
    /// Of the packet that this user funds with this event.
    pub(crate) fn of(user_id: i64, event_id: &EventId) -> Self {
        let hash = sha2::Sha256::digest(format!("{user_id}/{event_id}"));
        Self(hash.iter().take(ID_LEN / 2).map(|byte| format!("{byte:02x}")).collect())
    }

    /// None for what is no id.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let is_digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        (text.len() == ID_LEN && text.bytes().all(is_digit)).then(|| Self(text.into()))
    }
}

impl fmt::Display for PacketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromPath for PacketId {
    fn from_path(_: &str, value: &str) -> Result<Self, Problem> {
        Self::parse(value).ok_or_else(|| No::NotFound.into())
    }
}

/// How the sum is divided.
#[derive(Copy, Eq)]
#[stored]
pub(crate) enum Kind {
    /// Each share is the same.
    Equal,
    /// Each way of dividing the sum into shares of 1 or more is as likely as the others.
    Random,
}

/// What everybody may know of a packet from the moment it is announced.
#[derive(Eq)]
#[stored]
pub(crate) struct Definition {
    pub(crate) packet_id: PacketId,
    pub(crate) room_id: Id,
    pub(crate) from_user_id: Id,
    pub(crate) kind: Kind,
    pub(crate) asset_type: u32,
    /// What all shares are together.
    pub(crate) amount: Amount,
    /// How many there are.
    pub(crate) shares: u32,
    /// Who grabs has this level at least.
    pub(crate) min_level: u32,
    pub(crate) message: String,
    /// Milliseconds since the Unix epoch.
    pub(crate) opens_at_ms: u64,
    /// From then on nobody grabs.
    pub(crate) closes_at_ms: u64,
    /// SHA-256 of the secret.
    pub(crate) commitment: Digest,
}

/// A definition with what must not be seen before the close. Written once, never changed.
#[derive(Eq)]
#[stored]
pub(crate) struct Sealed {
    pub(crate) definition: Definition,
    pub(crate) secret: Secret,
    /// The account that the sum is in.
    pub(crate) pot: i64,
}

/// What became of a packet.
#[derive(Eq)]
#[stored]
pub(crate) struct Outcome {
    /// Milliseconds since the Unix epoch.
    pub(crate) closed_at_ms: u64,
    /// So many shares were grabbed.
    pub(crate) grabbed: u32,
    /// What went back to who gave the packet.
    pub(crate) returned: Amount,
    /// The greatest share that was grabbed.
    pub(crate) best: Option<Share>,
    /// From which, with what was public before, everybody can compute the shares.
    pub(crate) secret: Secret,
}

/// A share that was grabbed.
#[derive(Copy, Eq)]
#[stored]
pub(crate) struct Share {
    /// 1 for the first who came.
    pub(crate) number: u32,
    pub(crate) user_id: Id,
    pub(crate) amount: Amount,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_of_the_funder_and_the_event_and_nothing_else_is_an_id() {
        let event = |text: &str| EventId::new(text).unwrap();
        let id = PacketId::of(1001, &event("e1"));
        assert_eq!(PacketId::parse(&id.to_string()), Some(id.clone()));
        assert_eq!(id, PacketId::of(1001, &event("e1")));
        assert_ne!(id, PacketId::of(1002, &event("e1")));
        assert_ne!(id, PacketId::of(1001, &event("e2")));
        for bad in ["", "1", "../..", &"A".repeat(32), &"g".repeat(32), &"0".repeat(33)] {
            assert_eq!(PacketId::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_public_says_nothing_of_the_secret() {
        let secret = Secret::from_bytes([7; 32]);
        let definition = Definition {
            packet_id: PacketId("0".repeat(32)),
            room_id: Id::new(1).unwrap(),
            from_user_id: Id::new(2).unwrap(),
            kind: Kind::Random,
            asset_type: 1,
            amount: Amount::new(10),
            shares: 3,
            min_level: 0,
            message: String::new(),
            opens_at_ms: 1,
            closes_at_ms: 2,
            commitment: secret.commitment(),
        };
        let public = serde_json::to_string(&definition).unwrap();
        assert!(!public.contains(&secret.reveal()) && public.contains(&secret.commitment().to_string()));
        let sealed = Sealed { definition, secret, pot: -1_000_001 };
        assert!(!format!("{sealed:?}").contains(&secret.reveal()), "what is logged");
    }
}
