//! The steps of one bucket that somebody may wait for.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tokio::time::Instant;

use super::Step;
use crate::ports::outbox::EntryId;

/// Lost steps that are remembered for those who still wait for them.
const LOST_MAX: usize = 4_096;

/// Steps by their tickets, which grow.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    open: BTreeMap<u64, Step>,
    /// So that a repetition has the position of the first time, as long as that is worth something.
    by_trace: HashMap<String, u64>,
    by_entry: BTreeMap<EntryId, u64>,
    lost: BTreeSet<u64>,
    /// The last entry of which the relay of this process has said that the queue has it.
    acknowledged: Option<EntryId>,
    /// When the relay of this process has looked into the bucket's outbox last.
    pub(super) read_at: Option<Instant>,
}

impl Waiting {
    /// The ticket of a step that is open already. An open one with the same trace and another entry was lost: the event was held anew.
    pub(super) fn ticket_of(&mut self, step: &Step) -> Option<u64> {
        let ticket = *self.by_trace.get(step.trace.as_ref()?)?;
        if self.open.get(&ticket)?.entry == step.entry {
            return Some(ticket);
        }
        self.close(ticket, true);
        None
    }

    /// Opens a step. True if nobody may be about to acknowledge it: it must be looked for.
    pub(super) fn open(&mut self, ticket: u64, step: Step) -> bool {
        if let Some(trace) = &step.trace {
            self.by_trace.insert(trace.clone(), ticket);
        }
        let is_late = step.entry.is_some() && step.entry <= self.acknowledged;
        if let Some(entry) = &step.entry {
            self.by_entry.insert(entry.clone(), ticket);
        }
        self.open.insert(ticket, step);
        is_late
    }

    /// Whether a step is open; or that it was lost.
    pub(super) fn is_open(&self, ticket: u64) -> Result<bool, String> {
        if self.lost.contains(&ticket) {
            return Err("the bucket has lost the step".into());
        }
        Ok(self.open.contains_key(&ticket))
    }

    /// The first steps that are open.
    pub(super) fn first(&self, count: usize) -> Vec<(u64, Step)> {
        self.open.iter().take(count).map(|(ticket, step)| (*ticket, step.clone())).collect()
    }

    /// The step is safe, or lost.
    pub(super) fn close(&mut self, ticket: u64, is_lost: bool) {
        let Some(step) = self.open.remove(&ticket) else { return };
        if let Some(trace) = &step.trace {
            self.by_trace.remove(trace);
        }
        if let Some(entry) = &step.entry {
            self.by_entry.remove(entry);
        }
        if is_lost {
            self.lost.insert(ticket);
            if self.lost.len() > LOST_MAX {
                self.lost.pop_first();
            }
        }
    }

    /// The queue has exactly these entries. What lies between them may have been lost before it was read.
    pub(super) fn acknowledge(&mut self, entries: &[EntryId]) {
        for entry in entries {
            if let Some(ticket) = self.by_entry.get(entry).copied() {
                self.close(ticket, false);
            }
        }
        self.acknowledged = entries.last().cloned().or(self.acknowledged.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(entry: u64) -> Step {
        Step { bucket: 0, trace: Some(format!("e:{entry}")), entry: Some(EntryId((entry, 0))) }
    }

    #[test]
    fn only_the_entries_that_were_acknowledged_close_their_steps() {
        let mut waiting = Waiting::default();
        assert!((1..=3).all(|number| !waiting.open(number, step(number))));
        waiting.acknowledge(&[EntryId((1, 0)), EntryId((3, 0))]);
        assert_eq!([1, 2, 3].map(|ticket| waiting.is_open(ticket)), [Ok(false), Ok(true), Ok(false)]);
        assert_eq!(waiting.ticket_of(&step(2)), Some(2));
        assert!(waiting.open(4, step(2)), "its acknowledgement may have come before");
        assert!(!waiting.open(5, step(4)));
    }

    #[test]
    fn an_event_that_was_lost_and_held_anew_is_another_step() {
        let mut waiting = Waiting::default();
        assert!(!waiting.open(1, step(1)));
        let anew = Step { entry: Some(EntryId((9, 0))), ..step(1) };
        assert_eq!(waiting.ticket_of(&anew), None);
        assert!(waiting.is_open(1).is_err());
        assert!(!waiting.open(2, anew.clone()));
        assert_eq!(waiting.ticket_of(&anew), Some(2));
    }

    #[test]
    fn a_lost_step_is_told_of_and_the_others_are_not_held_up() {
        let mut waiting = Waiting::default();
        (1..=2).for_each(|number| assert!(!waiting.open(number, step(number))));
        waiting.close(1, true);
        assert!(waiting.is_open(1).is_err());
        assert_eq!(waiting.first(10).len(), 1);
        assert_eq!(waiting.ticket_of(&step(1)), None);
    }
}
