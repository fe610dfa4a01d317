//! The outcomes of the events of a bucket, so that a repetition gets the same answer.
//!
//! Bound: `len_max`; beyond it the oldest goes, but none whose hold is still open. The time of the newest that went tells for which
//! events only the database knows.

use std::collections::{HashMap, VecDeque};

use super::super::queue::log::id_time_ms;
use crate::domain::{AssetType, ContentDigest, Event, EventId, Outcome, UserId};
use crate::ports::cache::Position;

/// How many outcomes with open holds are passed over in one search for one that may go.
const PASSED_MAX: usize = 8;

type Key = (UserId, EventId);

#[derive(Debug)]
pub(super) struct Known {
    pub(super) asset_type: AssetType,
    pub(super) digest: ContentDigest,
    pub(super) outcome: Outcome,
    pub(super) position: Position,
    /// Its own time, or its id's if that is later. Milliseconds since the Unix epoch.
    at_ms: u64,
}

#[derive(Debug, Default)]
pub(super) struct Outcomes {
    known: HashMap<Key, Known>,
    oldest_first: VecDeque<Key>,
    len_max: usize,
}

impl Outcomes {
    pub(super) fn new(len_max: usize) -> Self {
        Self { len_max, ..Self::default() }
    }

    pub(super) fn get(&self, payer: UserId, event_id: &EventId) -> Option<&Known> {
        self.known.get(&(payer, event_id.clone()))
    }

    /// Remembers an event that holds; what is known stays. Returns the time of the newest outcome that had to go.
    pub(super) fn remember(
        &mut self,
        event: &Event,
        position: Position,
        is_open: impl Fn(UserId, AssetType, &EventId) -> bool,
    ) -> Option<u64> {
        let held = event.held.as_ref()?;
        let key = (held.payer.user_id, event.event_id.clone());
        if self.known.contains_key(&key) {
            return None;
        }
        let known = Known {
            asset_type: held.payer.asset_type,
            digest: held.digest,
            outcome: held.outcome.clone(),
            position,
            at_ms: id_time_ms(event),
        };
        self.known.insert(key.clone(), known);
        self.oldest_first.push_back(key);
        self.evict(is_open)
    }

    fn evict(&mut self, is_open: impl Fn(UserId, AssetType, &EventId) -> bool) -> Option<u64> {
        let mut newest = None;
        let mut passed = 0;
        while self.known.len() > self.len_max && passed < PASSED_MAX {
            let key = self.oldest_first.pop_front()?;
            let Some(known) = self.known.get(&key) else { continue };
            if is_open(key.0, known.asset_type, &key.1) {
                passed += 1;
                self.oldest_first.push_back(key);
                continue;
            }
            newest = newest.max(Some(known.at_ms));
            self.known.remove(&key);
        }
        newest
    }
}
