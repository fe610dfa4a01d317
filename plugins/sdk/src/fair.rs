//! Provable fairness: a draw that nobody can foresee or bend, and that everybody can compute again afterwards.
//!
//! 1. Before anything can be entered, the plugin makes a [`Secret`] and publishes its [`Secret::commitment`].
//! 2. When entering has ended, it publishes the entrants as a list of texts, and the [`Digest`] of that list.
//! 3. It draws from [`Secret::stream`] over that digest, and publishes the secret.
//!
//! Who wants to bend the draw would have to know the secret before entering has ended, or to find another secret of the same commitment.
//! The draw depends on every entrant and their order, so the plugin cannot choose the secret with the result in view either.
//!
//! So that a script in any language can compute it again, exactly:
//! - The **secret** is 32 bytes, written as 64 lowercase hexadecimal digits.
//! - The **commitment** is `SHA-256(secret)` over the 32 bytes, written in the same way.
//! - The **digest** of a list is `SHA-256` over its entries in their order, each in UTF-8 and followed by one line feed (byte 10):
//!   `printf '%s\n' 1001 1002 | sha256sum`.
//! - The **stream** is made of blocks: block `i` (0, 1, 2, …) is `HMAC-SHA-256(key = secret, message = digest ‖ i)` with the 32 bytes of the
//!   digest and `i` as 8 bytes, most significant first. Each block is 4 words of 8 bytes, most significant first.
//! - A **number below n** is the next word `x` modulo `n`, unless `x ≥ floor(2^64 / n) · n`: such a word is skipped.
//! - A **choice of k** of a list swaps, for each place `i` from 0 to `k - 1`, the entries at `i` and at `i + (number below (len - i))`;
//!   the first `k` entries are chosen, in that order.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest as _, Sha256};

use crate::{Problem, random};

const LEN: usize = 32;
const WORDS: usize = 4;

/// 32 bytes, in JSON as 64 lowercase hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Bytes([u8; LEN]);

/// What is drawn from; not to be seen by anybody before the draw. Keep it in the cache, out of answers and logs: `Debug` hides it.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(Bytes);

/// SHA-256 of a secret or of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(Bytes);

impl Secret {
    /// A new one, from the host's generator.
    ///
    /// # Errors
    /// If the host gives another number of bytes than it was asked for.
    pub fn new() -> Result<Self, Problem> {
        let bytes = random::get_random_bytes(LEN as u64);
        bytes.try_into().map(Self::from_bytes).map_err(|_| Problem::failed("the host gave too few random bytes"))
    }

    /// One that was made before.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; LEN]) -> Self {
        Self(Bytes(bytes))
    }

    /// What is published beforehand.
    #[must_use]
    pub fn commitment(&self) -> Digest {
        Digest(Bytes(Sha256::digest(self.0.0).into()))
    }

    /// In hexadecimal, to be published after the draw.
    #[must_use]
    pub fn reveal(&self) -> String {
        self.0.to_string()
    }

    /// The numbers of the draw over a list with this digest.
    #[must_use]
    pub const fn stream(&self, digest: Digest) -> Stream {
        Stream { secret: *self, digest, block: 0, words: [0; WORDS], used: WORDS }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Digest {
    /// Of a list, in its order. Entries have no line feeds: those of texts that users write have to be taken out before.
    #[must_use]
    pub fn of<T: fmt::Display>(entries: impl IntoIterator<Item = T>) -> Self {
        let mut hash = Sha256::new();
        for entry in entries {
            hash.update(entry.to_string().as_bytes());
            hash.update(b"\n");
        }
        Self(Bytes(hash.finalize().into()))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Unbiased numbers, the same for the same secret and digest.
#[derive(Debug, Clone)]
pub struct Stream {
    secret: Secret,
    digest: Digest,
    block: u64,
    words: [u64; WORDS],
    used: usize,
}

impl Stream {
    /// A number from 0 to `n - 1`, each as likely as the others; 0 if `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        let n = n.max(1);
        // 2^64 modulo n: so many of the last words are too few to be shared out evenly.
        let rest = (u64::MAX % n + 1) % n;
        loop {
            let word = self.word();
            if word <= u64::MAX - rest {
                return word % n;
            }
        }
    }

    /// Brings `k` entries to the front, each choice in each order as likely as the others; all of them if there are fewer.
    pub fn choose<T>(&mut self, entries: &mut [T], k: usize) {
        let len = entries.len();
        for place in 0..k.min(len) {
            let left = len.saturating_sub(place) as u64;
            let step = usize::try_from(self.below(left)).unwrap_or(0);
            entries.swap(place, place.saturating_add(step));
        }
    }

    fn word(&mut self) -> u64 {
        if self.used == WORDS {
            self.refill();
        }
        let word = self.words.get(self.used).copied().unwrap_or(0);
        self.used += 1;
        word
    }

    fn refill(&mut self) {
        // A key of any length is one for HMAC, so this is never none.
        if let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.secret.0.0) {
            mac.update(&self.digest.0.0);
            mac.update(&self.block.to_be_bytes());
            let block: [u8; LEN] = mac.finalize().into_bytes().into();
            for (word, bytes) in self.words.iter_mut().zip(block.chunks_exact(8)) {
                *word = bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
            }
        }
        self.block = self.block.wrapping_add(1);
        self.used = 0;
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'_, str>>::deserialize(deserializer)?;
        let fault = || de::Error::custom("64 lowercase hexadecimal digits are expected");
        let mut bytes = [0; LEN];
        let digits: Option<Vec<u32>> =
            text.chars().map(|c| c.to_digit(16).filter(|_| !c.is_ascii_uppercase())).collect();
        let digits = digits.filter(|digits| digits.len() == 2 * LEN).ok_or_else(fault)?;
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let value = pair.iter().fold(0, |value, digit| value * 16 + digit);
            *byte = u8::try_from(value).map_err(|_| fault())?;
        }
        Ok(Self(bytes))
    }
}

macro_rules! hexadecimal {
    ($($type:ident),*) => {$(
        impl JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": "^[0-9a-f]{64}$" })
            }
        }
    )*};
}

hexadecimal!(Secret, Digest);

#[cfg(test)]
mod tests;
