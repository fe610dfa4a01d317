//! What has changed in a shard since the last checkpoint, and copies of it for the checkpoint to write.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;

use super::{Slot, Value};

/// The key as a whole, or only some members of a set or ranking that is otherwise as the last checkpoint has it.
#[derive(Debug, Clone)]
enum Dirty {
    Whole,
    Members(HashSet<Arc<str>>),
}

/// The keys of a shard that the last checkpoint does not have as they are.
#[derive(Debug, Default)]
pub(super) struct DirtyKeys {
    keys: HashMap<Arc<str>, Dirty>,
    once: HashSet<Arc<str>>,
}

/// A key as it is now.
#[derive(Debug, Clone)]
pub(in super::super) struct KeyCopy {
    pub(in super::super) key: Arc<str>,
    /// None if the key is gone.
    pub(in super::super) slot: Option<SlotCopy>,
    /// False if the checkpoint's members are to be removed first.
    pub(in super::super) keeps_members: bool,
    pub(in super::super) members: Vec<MemberCopy>,
}

/// The part of a key that is not its members.
#[derive(Debug, Clone)]
pub(in super::super) enum SlotCopy {
    Bytes(Bytes, u64),
    Counter(i64, u64),
    Set,
    Ranking(u64),
}

/// A member as it is now; no score if it is gone. Members of sets have the score 0.
#[derive(Debug, Clone)]
pub(in super::super) struct MemberCopy {
    pub(in super::super) member: Arc<str>,
    pub(in super::super) score: Option<i64>,
}

impl DirtyKeys {
    pub(super) fn whole(&mut self, key: &Arc<str>) {
        self.keys.insert(Arc::clone(key), Dirty::Whole);
    }

    pub(super) fn member(&mut self, key: &Arc<str>, member: &Arc<str>) {
        let dirty = self.keys.entry(Arc::clone(key)).or_insert_with(|| Dirty::Members(HashSet::new()));
        if let Dirty::Members(members) = dirty {
            members.insert(Arc::clone(member));
        }
    }

    pub(super) fn once(&mut self, key: &Arc<str>) {
        self.once.insert(Arc::clone(key));
    }

    /// Whether nothing has changed.
    pub(super) fn is_clean(&self) -> bool {
        self.keys.is_empty() && self.once.is_empty()
    }

    /// Takes the changed keys of `once`.
    pub(super) fn take_once(&mut self) -> HashSet<Arc<str>> {
        std::mem::take(&mut self.once)
    }

    /// Copies what has changed and counts it as unchanged from now on.
    pub(super) fn take<'a>(&mut self, slot_of: impl Fn(&str) -> Option<&'a Slot>) -> Vec<KeyCopy> {
        let copy = |(key, dirty): (Arc<str>, Dirty)| {
            let slot = slot_of(&key);
            let members = match &dirty {
                Dirty::Whole => slot.map(all_members).unwrap_or_default(),
                Dirty::Members(members) => members.iter().map(|member| member_copy(slot, member)).collect(),
            };
            KeyCopy { slot: slot.map(slot_copy), keeps_members: matches!(dirty, Dirty::Members(_)), key, members }
        };
        self.keys.drain().map(copy).collect()
    }
}

fn slot_copy(slot: &Slot) -> SlotCopy {
    match &slot.value {
        Value::Bytes(bytes) => SlotCopy::Bytes(bytes.clone(), slot.expires_ms),
        Value::Counter(value) => SlotCopy::Counter(*value, slot.expires_ms),
        Value::Set(_) => SlotCopy::Set,
        Value::Ranking(_) => SlotCopy::Ranking(slot.expires_ms),
    }
}

fn all_members(slot: &Slot) -> Vec<MemberCopy> {
    let copy = |member: &Arc<str>, score| MemberCopy { member: Arc::clone(member), score: Some(score) };
    match &slot.value {
        Value::Bytes(_) | Value::Counter(_) => Vec::new(),
        Value::Set(members) => members.iter().map(|member| copy(member, 0)).collect(),
        Value::Ranking(ranking) => ranking.members().map(|(member, score)| copy(member, score)).collect(),
    }
}

fn member_copy(slot: Option<&Slot>, member: &Arc<str>) -> MemberCopy {
    let score = match slot.map(|slot| &slot.value) {
        Some(Value::Set(members)) => members.contains(member).then_some(0),
        Some(Value::Ranking(ranking)) => ranking.score(member),
        _ => None,
    };
    MemberCopy { member: Arc::clone(member), score }
}
