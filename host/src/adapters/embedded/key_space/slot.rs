//! One key: its value and when it expires.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;

use super::Ranking;

/// The time of expiry of what stays, in milliseconds since the Unix epoch.
pub(in super::super) const NEVER: u64 = u64::MAX;

#[derive(Debug, Clone)]
pub(in super::super) struct Slot {
    pub(in super::super) value: Value,
    pub(in super::super) expires_ms: u64,
}

#[derive(Debug, Clone)]
pub(in super::super) enum Value {
    Bytes(Bytes),
    Counter(i64),
    Set(HashSet<Arc<str>>),
    Ranking(Ranking),
}

impl Slot {
    /// Whether it is there at this time.
    pub(in super::super) fn is_live(&self, now_ms: u64) -> bool {
        self.expires_ms > now_ms
    }

    /// A set or ranking that has nobody in it; such a key does not exist.
    pub(super) fn is_empty(&self) -> bool {
        match &self.value {
            Value::Bytes(_) | Value::Counter(_) => false,
            Value::Set(members) => members.is_empty(),
            Value::Ranking(ranking) => ranking.len() == 0,
        }
    }
}

/// When something that is written now expires.
pub(in super::super) fn expiry(now_ms: u64, ttl_ms: Option<u32>) -> u64 {
    ttl_ms.map_or(NEVER, |ttl| now_ms.saturating_add(u64::from(ttl)).min(NEVER - 1))
}
