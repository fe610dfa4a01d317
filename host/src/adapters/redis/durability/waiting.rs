//! The steps of one bucket that somebody may wait for.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Step;
use crate::ports::outbox::EntryId;

/// Steps that ended badly and are remembered for those who still wait for them.
const ENDED_MAX: usize = 4_096;
/// A step that is open for so long is waited for by nobody: longer than any call waits.
const OPEN_MAX: Duration = Duration::from_secs(60);

/// A relay that has not looked into a bucket's outbox for so long does not carry it.
const READ_EVERY_MAX: Duration = Duration::from_secs(1);

/// How a step ended of which nobody may be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// The bucket has lost it.
    Lost,
    /// Whether it is safe is not known, and is not looked for any more, unless the step is asked for anew.
    Unknown(Arc<str>),
}

/// A step that is waited for, perhaps.
#[derive(Debug)]
struct Open {
    step: Step,
    since: Instant,
}

/// Steps by their tickets, which grow.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    open: BTreeMap<u64, Open>,
    /// So that a repetition has the position of the first time, as long as that is worth something.
    by_trace: HashMap<String, u64>,
    by_entry: BTreeMap<EntryId, u64>,
    ended: BTreeMap<u64, End>,
    /// How steps ended up to this one is not remembered any more.
    forgotten: u64,
    /// The last entry of which the relay of this process has said that the queue has it.
    acknowledged: Option<EntryId>,
    /// When the relay of this process has looked into the bucket's outbox last.
    pub(super) read_at: Option<Instant>,
}

impl Waiting {
    /// Whether it is this process that relays the bucket.
    pub(super) fn is_relayed_here(&self) -> bool {
        self.read_at.is_some_and(|at| at.elapsed() < READ_EVERY_MAX)
    }

    /// The ticket of a step that is open already. An open one with the same trace and another entry was lost: the event was held anew.
    pub(super) fn ticket_of(&mut self, step: &Step) -> Option<u64> {
        let ticket = *self.by_trace.get(step.trace.as_ref()?)?;
        if self.open.get(&ticket)?.step.entry == step.entry {
            return Some(ticket);
        }
        self.close(ticket, Some(End::Lost));
        None
    }

    /// Opens a step. True if nobody may be about to acknowledge it: it must be looked for.
    pub(super) fn open(&mut self, ticket: u64, step: Step) -> bool {
        self.open_at(ticket, step, Instant::now())
    }

    fn open_at(&mut self, ticket: u64, step: Step, now: Instant) -> bool {
        if let Some(trace) = &step.trace {
            self.by_trace.insert(trace.clone(), ticket);
        }
        let is_late = step.entry.is_some() && step.entry <= self.acknowledged;
        if let Some(entry) = &step.entry {
            self.by_entry.insert(entry.clone(), ticket);
        }
        self.open.insert(ticket, Open { step, since: now });
        let is_old = |open: &Open| now.saturating_duration_since(open.since) > OPEN_MAX;
        while let Some(oldest) = self.open.iter().next().filter(|(_, open)| is_old(open)).map(|(ticket, _)| *ticket) {
            self.close(oldest, Some(End::Unknown("it was not waited for".into())));
        }
        is_late
    }

    /// Whether a step is open; or that it was lost.
    pub(super) fn is_open(&self, ticket: u64) -> Result<bool, String> {
        match self.ended.get(&ticket) {
            Some(End::Lost) => Err("the bucket has lost the step".into()),
            Some(End::Unknown(reason)) => Err(reason.to_string()),
            None if self.open.contains_key(&ticket) => Ok(true),
            None if ticket <= self.forgotten => Err("it is not known any more how the step ended".into()),
            None => Ok(false),
        }
    }

    /// The first steps that are open.
    pub(super) fn first(&self, count: usize) -> Vec<(u64, Step)> {
        self.open.iter().take(count).map(|(ticket, open)| (*ticket, open.step.clone())).collect()
    }

    /// The step is safe, or ended badly.
    pub(super) fn close(&mut self, ticket: u64, end: Option<End>) {
        let Some(Open { step, .. }) = self.open.remove(&ticket) else { return };
        if let Some(trace) = &step.trace {
            self.by_trace.remove(trace);
        }
        if let Some(entry) = &step.entry {
            self.by_entry.remove(entry);
        }
        if let Some(end) = end {
            self.ended.insert(ticket, end);
        }
        while self.ended.len() > ENDED_MAX {
            // Whoever has not looked by now is told that it is not known: no step may seem safe that is not.
            self.forgotten = self.ended.pop_first().map_or(self.forgotten, |(ticket, _)| ticket.max(self.forgotten));
        }
    }

    /// The queue has exactly these entries. What lies between them may have been lost before it was read.
    pub(super) fn acknowledge(&mut self, entries: &[EntryId]) {
        for entry in entries {
            if let Some(ticket) = self.by_entry.get(entry).copied() {
                self.close(ticket, None);
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
        waiting.close(1, Some(End::Lost));
        assert!(waiting.is_open(1).is_err());
        assert_eq!(waiting.first(10).len(), 1);
        assert_eq!(waiting.ticket_of(&step(1)), None);
    }

    #[test]
    fn a_step_of_which_nothing_is_known_may_be_asked_for_anew() {
        let mut waiting = Waiting::default();
        assert!(!waiting.open(1, step(1)));
        waiting.close(1, Some(End::Unknown("0 of 1 replicas".into())));
        assert_eq!(waiting.is_open(1), Err("0 of 1 replicas".into()));
        assert_eq!(waiting.ticket_of(&step(1)), None, "a repetition is another wait");
        assert!(!waiting.open(2, step(1)));
        waiting.close(2, None);
        assert_eq!(waiting.is_open(2), Ok(false));
    }

    #[test]
    fn a_bad_end_that_is_forgotten_never_becomes_a_good_one() {
        let mut waiting = Waiting::default();
        let many = ENDED_MAX as u64 + 10;
        for ticket in 1..=many {
            waiting.open(ticket, step(ticket));
            waiting.close(ticket, Some(End::Lost));
        }
        assert!((1..=many).all(|ticket| waiting.is_open(ticket).is_err()));
        assert_eq!(waiting.ended.len(), ENDED_MAX);
    }

    #[test]
    fn steps_that_nobody_waits_for_are_not_kept_for_ever() {
        let (mut waiting, begun) = (Waiting::default(), Instant::now());
        for number in 1..=1_000 {
            waiting.open_at(number, Step { entry: None, ..step(number) }, begun + Duration::from_secs(number));
        }
        assert!(waiting.open.len() <= 62, "{} are open", waiting.open.len());
        assert_eq!(waiting.by_trace.len(), waiting.open.len());
        assert!(waiting.is_open(1).is_err() && waiting.is_open(1_000) == Ok(true));
    }
}
