//! One shard of a plugin: applies writes with an undo list, effects of the journal without.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

use super::super::record::{Effect, Raw};
use super::dirty::DirtyKeys;
use super::slot::expiry;
use super::{KeyCopy, NEVER, Ranking, Slot, SlotCopy, Value};
use crate::ports::cache::{Error, Position, Write};

/// The keys of one shard.
#[derive(Debug, Default)]
pub(in super::super) struct ShardKeys {
    keys: BTreeMap<Arc<str>, Slot>,
    /// When each key of `once` may be forgotten, and the step that used it.
    once: HashMap<Arc<str>, (u64, Position)>,
    dirty: DirtyKeys,
}

/// Why a write was refused.
#[derive(Debug)]
pub(in super::super) enum Refusal {
    /// The counter would pass its maximum, or leave 64 bits.
    Limit,
    /// The key holds another kind of value.
    WrongKind(Arc<str>),
}

/// How to take one change back.
#[derive(Debug)]
pub(in super::super) enum Undo {
    Slot(Arc<str>, Option<Slot>),
    Member { key: Arc<str>, member: Arc<str>, was_there: bool },
    Score { key: Arc<str>, member: Arc<str>, before: Option<i64>, expires_before_ms: u64 },
}

/// The steps of a write that have been made, for the journal and for taking them back.
#[derive(Debug, Default)]
pub(in super::super) struct Made<'a> {
    pub(in super::super) effects: Vec<Effect<'a>>,
    pub(in super::super) undo: Vec<Undo>,
}

fn wrong_kind(key: &str) -> Error {
    Error::WrongKind(key.into())
}

impl ShardKeys {
    fn live(&self, key: &str, now_ms: u64) -> Option<&Slot> {
        self.keys.get(key).filter(|slot| slot.is_live(now_ms))
    }

    pub(in super::super) fn bytes(&self, key: &str, now_ms: u64) -> Result<Option<Bytes>, Error> {
        match self.live(key, now_ms).map(|slot| &slot.value) {
            None => Ok(None),
            Some(Value::Bytes(bytes)) => Ok(Some(bytes.clone())),
            Some(_) => Err(wrong_kind(key)),
        }
    }

    pub(in super::super) fn counter(&self, key: &str, now_ms: u64) -> Result<i64, Error> {
        match self.live(key, now_ms).map(|slot| &slot.value) {
            None => Ok(0),
            Some(Value::Counter(value)) => Ok(*value),
            Some(_) => Err(wrong_kind(key)),
        }
    }

    pub(in super::super) fn contains(&self, key: &str, member: &str, now_ms: u64) -> Result<bool, Error> {
        match self.live(key, now_ms).map(|slot| &slot.value) {
            None => Ok(false),
            Some(Value::Set(members)) => Ok(members.contains(member)),
            Some(_) => Err(wrong_kind(key)),
        }
    }

    pub(in super::super) fn ranking(&self, key: &str, now_ms: u64) -> Result<Option<&Ranking>, Error> {
        match self.live(key, now_ms).map(|slot| &slot.value) {
            None => Ok(None),
            Some(Value::Ranking(ranking)) => Ok(Some(ranking)),
            Some(_) => Err(wrong_kind(key)),
        }
    }

    pub(in super::super) fn keys(&self, after: Option<&str>, limit: usize, now_ms: u64) -> Vec<Arc<str>> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let live = self.keys.range::<str, _>((from, Bound::Unbounded)).filter(|(_, slot)| slot.is_live(now_ms));
        live.map(|(key, _)| Arc::clone(key)).take(limit).collect()
    }

    /// The step that used a key of `once`.
    pub(in super::super) fn once(&self, key: &str, now_ms: u64) -> Option<Position> {
        self.once.get(key).filter(|(expires_ms, _)| *expires_ms > now_ms).map(|(_, position)| *position)
    }

    pub(in super::super) fn set_once(&mut self, key: &Arc<str>, expires_ms: u64, position: Position) {
        self.dirty.once(key);
        self.once.insert(Arc::clone(key), (expires_ms, position));
    }

    /// Makes one write and says its number; see [`crate::ports::cache::CommitResult::Applied`].
    ///
    /// # Errors
    /// If it is refused; then this write has changed nothing that the undo list does not tell.
    pub(in super::super) fn write<'a>(
        &mut self,
        write: &'a Write,
        now_ms: u64,
        made: &mut Made<'a>,
    ) -> Result<i64, Refusal> {
        match write {
            Write::Put { key, value, ttl_ms } => {
                let expires_ms = expiry(now_ms, *ttl_ms);
                made.effects.push(Effect::Put { key, value: Raw(value), expires_ms });
                self.replace(key, Some(Slot { value: Value::Bytes(value.clone()), expires_ms }), made);
                Ok(0)
            }
            Write::Delete { key } => {
                made.effects.push(Effect::Delete { key });
                self.replace(key, None, made);
                Ok(0)
            }
            Write::Add { key, delta, max, ttl_ms } => {
                self.count(key, *delta, *max, expiry(now_ms, *ttl_ms), now_ms, made)
            }
            Write::SetAdd { key, member } => self.set_add(key, member, now_ms, made),
            Write::SetRemove { key, member } => self.set_remove(key, member, now_ms, made),
            Write::RankAdd { key, member, delta, ttl_ms } => {
                let before = self.ranked(key, member, now_ms)?.unwrap_or(0);
                let score = before.checked_add(*delta).ok_or(Refusal::Limit)?;
                self.rank_set(key, member, score, expiry(now_ms, *ttl_ms), now_ms, made)
            }
            Write::RankEnter { key, member, max, ttl_ms } => {
                if let Some(number) = self.ranked(key, member, now_ms)? {
                    return Ok(number);
                }
                let number = self.next_number(key, *max, now_ms)?;
                self.rank_set(key, member, number, expiry(now_ms, *ttl_ms), now_ms, made)
            }
            Write::RankSet { key, member, score } => self.rank_set(key, member, *score, NEVER, now_ms, made),
            Write::RankRemove { key, member } => self.rank_remove(key, member, now_ms, made),
        }
    }

    /// Adds to a counter; see [`Write::Add`].
    pub(in super::super) fn count<'a>(
        &mut self,
        key: &'a Arc<str>,
        delta: i64,
        max: Option<i64>,
        expires_ms: u64,
        now_ms: u64,
        made: &mut Made<'a>,
    ) -> Result<i64, Refusal> {
        let before = self.counter(key, now_ms).map_err(|_| Refusal::WrongKind(Arc::clone(key)))?;
        let value = before.checked_add(delta).ok_or(Refusal::Limit)?;
        if delta > 0 && max.is_some_and(|max| value > max) {
            return Err(Refusal::Limit);
        }
        made.effects.push(Effect::Count { key, value, expires_ms });
        self.replace(key, Some(Slot { value: Value::Counter(value), expires_ms }), made);
        Ok(value)
    }

    fn replace(&mut self, key: &Arc<str>, slot: Option<Slot>, made: &mut Made<'_>) {
        self.dirty.whole(key);
        let before = match slot {
            Some(slot) => self.keys.insert(Arc::clone(key), slot),
            None => self.keys.remove(key),
        };
        made.undo.push(Undo::Slot(Arc::clone(key), before));
    }

    /// Removes a key whose time has passed, so that a set or ranking begins anew.
    fn clear_expired<'a>(&mut self, key: &'a Arc<str>, now_ms: u64, made: &mut Made<'a>) {
        if self.keys.get(key).is_some_and(|slot| !slot.is_live(now_ms)) {
            made.effects.push(Effect::Delete { key });
            self.replace(key, None, made);
        }
    }

    /// Makes the key if it is absent.
    fn ensure(&mut self, key: &Arc<str>, empty: impl FnOnce() -> Value, made: &mut Made<'_>) {
        if !self.keys.contains_key(key) {
            self.replace(key, Some(Slot { value: empty(), expires_ms: NEVER }), made);
        }
    }

    /// Removes the key if nobody is left in it.
    fn drop_empty(&mut self, key: &Arc<str>, made: &mut Made<'_>) {
        if self.keys.get(key).is_some_and(Slot::is_empty) {
            self.replace(key, None, made);
        }
    }

    fn set_add<'a>(
        &mut self,
        key: &'a Arc<str>,
        member: &'a Arc<str>,
        now_ms: u64,
        made: &mut Made<'a>,
    ) -> Result<i64, Refusal> {
        if self.contains(key, member, now_ms).map_err(|_| Refusal::WrongKind(Arc::clone(key)))? {
            return Ok(0);
        }
        self.clear_expired(key, now_ms, made);
        self.ensure(key, || Value::Set(Default::default()), made);
        self.change_member(key, member, true);
        made.effects.push(Effect::Member { key, member });
        made.undo.push(Undo::Member { key: Arc::clone(key), member: Arc::clone(member), was_there: false });
        Ok(1)
    }

    fn set_remove<'a>(
        &mut self,
        key: &'a Arc<str>,
        member: &'a Arc<str>,
        now_ms: u64,
        made: &mut Made<'a>,
    ) -> Result<i64, Refusal> {
        if !self.contains(key, member, now_ms).map_err(|_| Refusal::WrongKind(Arc::clone(key)))? {
            return Ok(0);
        }
        self.change_member(key, member, false);
        made.effects.push(Effect::NoMember { key, member });
        made.undo.push(Undo::Member { key: Arc::clone(key), member: Arc::clone(member), was_there: true });
        self.drop_empty(key, made);
        Ok(1)
    }

    fn ranked(&self, key: &Arc<str>, member: &str, now_ms: u64) -> Result<Option<i64>, Refusal> {
        let ranking = self.ranking(key, now_ms).map_err(|_| Refusal::WrongKind(Arc::clone(key)))?;
        Ok(ranking.and_then(|ranking| ranking.score(member)))
    }

    /// What the next member of a ranking of numbers gets.
    fn next_number(&self, key: &Arc<str>, max: Option<u32>, now_ms: u64) -> Result<i64, Refusal> {
        let ranking = self.ranking(key, now_ms).map_err(|_| Refusal::WrongKind(Arc::clone(key)))?;
        let count = ranking.map_or(0, Ranking::len);
        let is_full = max.is_some_and(|max| usize::try_from(max).is_ok_and(|max| count >= max));
        if is_full { Err(Refusal::Limit) } else { i64::try_from(count + 1).map_err(|_| Refusal::Limit) }
    }

    fn rank_set<'a>(
        &mut self,
        key: &'a Arc<str>,
        member: &'a Arc<str>,
        score: i64,
        expires_ms: u64,
        now_ms: u64,
        made: &mut Made<'a>,
    ) -> Result<i64, Refusal> {
        self.ranked(key, member, now_ms)?;
        self.clear_expired(key, now_ms, made);
        self.ensure(key, || Value::Ranking(Ranking::default()), made);
        let (before, expires_before_ms) = self.change_score(key, member, Some(score), Some(expires_ms));
        made.effects.push(Effect::Score { key, member, score, expires_ms });
        let (key, member) = (Arc::clone(key), Arc::clone(member));
        made.undo.push(Undo::Score { key, member, before, expires_before_ms });
        Ok(score)
    }

    fn rank_remove<'a>(
        &mut self,
        key: &'a Arc<str>,
        member: &'a Arc<str>,
        now_ms: u64,
        made: &mut Made<'a>,
    ) -> Result<i64, Refusal> {
        if self.ranked(key, member, now_ms)?.is_none() {
            return Ok(0);
        }
        let (before, expires_before_ms) = self.change_score(key, member, None, None);
        made.effects.push(Effect::NoScore { key, member });
        let undo = Undo::Score { key: Arc::clone(key), member: Arc::clone(member), before, expires_before_ms };
        made.undo.push(undo);
        self.drop_empty(key, made);
        Ok(0)
    }

    fn change_member(&mut self, key: &Arc<str>, member: &Arc<str>, is_there: bool) {
        self.dirty.member(key, member);
        let Some(Slot { value: Value::Set(members), .. }) = self.keys.get_mut(key) else { return };
        if is_there {
            members.insert(Arc::clone(member));
        } else {
            members.remove(member);
        }
    }

    /// Returns the score and the time of expiry from before.
    fn change_score(
        &mut self,
        key: &Arc<str>,
        member: &Arc<str>,
        score: Option<i64>,
        expires_ms: Option<u64>,
    ) -> (Option<i64>, u64) {
        self.dirty.member(key, member);
        let Some(Slot { value: Value::Ranking(ranking), expires_ms: expires }) = self.keys.get_mut(key) else {
            return (None, NEVER);
        };
        let expires_before = *expires;
        *expires = expires_ms.unwrap_or(expires_before);
        let before = match score {
            Some(score) => ranking.set(member, score),
            None => ranking.remove(member),
        };
        (before, expires_before)
    }

    /// Takes a step back, last change first.
    pub(in super::super) fn undo(&mut self, undo: Vec<Undo>) {
        for change in undo.into_iter().rev() {
            match change {
                Undo::Slot(key, Some(slot)) => {
                    self.keys.insert(key, slot);
                }
                Undo::Slot(key, None) => {
                    self.keys.remove(&key);
                }
                Undo::Member { key, member, was_there } => self.change_member(&key, &member, was_there),
                Undo::Score { key, member, before, expires_before_ms } => {
                    self.change_score(&key, &member, before, Some(expires_before_ms));
                }
            }
        }
    }

    /// Repeats what the journal says was done. Doing it twice ends in the same state.
    pub(in super::super) fn replay(&mut self, effect: &Effect<'_>) {
        let mut made = Made::default();
        match *effect {
            Effect::Put { key, value, expires_ms } => {
                let value = Value::Bytes(Bytes::copy_from_slice(value.0));
                self.replace(&key.into(), Some(Slot { value, expires_ms }), &mut made);
            }
            Effect::Count { key, value, expires_ms } => {
                self.replace(&key.into(), Some(Slot { value: Value::Counter(value), expires_ms }), &mut made);
            }
            Effect::Delete { key } => self.replace(&key.into(), None, &mut made),
            Effect::Member { key, member } => {
                let key = self.shared(key);
                self.ensure_kind(&key, |value| matches!(value, Value::Set(_)), || Value::Set(Default::default()));
                self.change_member(&key, &member.into(), true);
            }
            Effect::NoMember { key, member } => {
                let key = self.shared(key);
                self.change_member(&key, &member.into(), false);
                self.drop_empty(&key, &mut made);
            }
            Effect::Score { key, member, score, expires_ms } => {
                let key = self.shared(key);
                let empty = || Value::Ranking(Ranking::default());
                self.ensure_kind(&key, |value| matches!(value, Value::Ranking(_)), empty);
                self.change_score(&key, &member.into(), Some(score), Some(expires_ms));
            }
            Effect::NoScore { key, member } => {
                let key = self.shared(key);
                self.change_score(&key, &member.into(), None, None);
                self.drop_empty(&key, &mut made);
            }
        }
    }

    fn shared(&self, key: &str) -> Arc<str> {
        self.keys.get_key_value(key).map_or_else(|| key.into(), |(key, _)| Arc::clone(key))
    }

    /// A checkpoint may be ahead of the place from which the journal is read, so the key may hold what a later step made of it.
    fn ensure_kind(&mut self, key: &Arc<str>, fits: impl Fn(&Value) -> bool, empty: impl FnOnce() -> Value) {
        if !self.keys.get(key).is_some_and(|slot| fits(&slot.value)) {
            self.replace(key, Some(Slot { value: empty(), expires_ms: NEVER }), &mut Made::default());
        }
    }

    /// Puts a key back as a checkpoint has it.
    pub(in super::super) fn load(&mut self, key: Arc<str>, slot: Slot) {
        self.keys.insert(key, slot);
    }

    /// Puts a member of a set or ranking back as a checkpoint has it.
    pub(in super::super) fn load_member(&mut self, key: &str, member: Arc<str>, score: i64) {
        match self.keys.get_mut(key).map(|slot| &mut slot.value) {
            Some(Value::Set(members)) => {
                members.insert(member);
            }
            Some(Value::Ranking(ranking)) => {
                ranking.set(&member, score);
            }
            _ => {}
        }
    }

    /// Puts a key of `once` back as a checkpoint has it.
    pub(in super::super) fn load_once(&mut self, key: Arc<str>, expires_ms: u64) {
        self.once.insert(key, (expires_ms, Position(0)));
    }

    /// Removes what has expired and counts what is left: keys, members, and keys of `once`.
    pub(in super::super) fn sweep(&mut self, now_ms: u64) -> u64 {
        let Self { keys, once, dirty } = self;
        keys.retain(|key, slot| {
            let is_live = slot.is_live(now_ms);
            if !is_live {
                dirty.whole(key);
            }
            is_live
        });
        once.retain(|_, (expires_ms, _)| *expires_ms > now_ms);
        keys.values().map(Slot::entries).sum::<u64>() + once.len() as u64
    }

    /// Whether nothing is in it that a checkpoint would miss.
    pub(in super::super) fn is_idle(&self) -> bool {
        self.keys.is_empty() && self.once.is_empty() && self.dirty.is_clean()
    }

    /// Copies what has changed since the last call.
    pub(in super::super) fn take_dirty(&mut self) -> (Vec<KeyCopy>, Vec<(Arc<str>, u64)>) {
        let Self { keys, once, dirty } = self;
        let copies = dirty.take(|key| keys.get(key));
        let used = dirty.take_once().into_iter();
        let used = used.filter_map(|key| once.get(&key).map(|(expires_ms, _)| (Arc::clone(&key), *expires_ms)));
        (copies, used.collect())
    }

    /// Counts keys as changed again, because a checkpoint of them failed.
    pub(in super::super) fn mark_dirty(&mut self, copies: &[KeyCopy], once: &[(Arc<str>, u64)]) {
        copies.iter().for_each(|copy| self.dirty.whole(&copy.key));
        once.iter().for_each(|(key, _)| self.dirty.once(key));
    }
}

/// The slot that a copy without members describes.
pub(in super::super) fn slot_of(copy: SlotCopy) -> Slot {
    match copy {
        SlotCopy::Bytes(bytes, expires_ms) => Slot { value: Value::Bytes(bytes), expires_ms },
        SlotCopy::Counter(value, expires_ms) => Slot { value: Value::Counter(value), expires_ms },
        SlotCopy::Set => Slot { value: Value::Set(Default::default()), expires_ms: NEVER },
        SlotCopy::Ranking(expires_ms) => Slot { value: Value::Ranking(Ranking::default()), expires_ms },
    }
}
