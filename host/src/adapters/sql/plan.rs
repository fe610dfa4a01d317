//! What a batch does to the accounts, worked out before anything is written. Pure.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::domain::{Account, Amount, Entry, EventTime, Overflow, Posting, UserId};
use crate::ports::cache::Settled;
use crate::ports::db::{KnownEvent, PostResult};

/// Payer and event id: the key of the gate.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::adapters) struct Key {
    event_id: Arc<str>,
    payer: UserId,
}

impl Key {
    /// The key of a posting.
    pub(in crate::adapters) fn of(posting: &Posting) -> Self {
        Self::new(posting.payer, posting.event_id.as_str())
    }

    /// The key of an event.
    pub(in crate::adapters) fn new(payer: UserId, event_id: &str) -> Self {
        Self { payer, event_id: event_id.into() }
    }
}

/// Decides each posting in order: those that are known, or came before in the batch, by what is known of them; the others by
/// `add`.
pub(in crate::adapters) fn decide<'a>(
    batch: &'a [Posting],
    mut known: HashMap<Key, KnownEvent>,
    mut add: impl FnMut(&'a Posting) -> PostResult,
) -> Vec<PostResult> {
    let decide = |posting: &'a Posting| {
        let key = Key::of(posting);
        if let Some(gate) = known.get(&key) {
            return gate.repeated(posting.digest);
        }
        let result = add(posting);
        if result == PostResult::Posted {
            known.insert(key, KnownEvent { digest: posting.digest, voided: false });
        }
        result
    };
    batch.iter().map(decide).collect()
}

/// An account while the batch is worked out.
#[derive(Debug, Clone, Copy)]
pub(in crate::adapters) struct State {
    /// Balance with the batch's entries, version before the batch.
    pub settled: Settled,
    /// Whether the database has a row of it.
    pub stored: bool,
    /// When the newest event that touched it was accepted; none if the batch does not touch it.
    pub touched_at: Option<EventTime>,
}

impl Default for State {
    fn default() -> Self {
        Self { settled: Settled { balance: Amount::ZERO, version: 0 }, stored: false, touched_at: None }
    }
}

/// What is to be written, and what is to be said.
pub(in crate::adapters) struct Plan<'a> {
    /// One for each posting, in order.
    pub results: Vec<PostResult>,
    /// The postings to write, in order.
    pub fresh: Vec<&'a Posting>,
    /// Every account of the batch.
    pub accounts: BTreeMap<Account, State>,
}

impl<'a> Plan<'a> {
    /// Decides each posting in order, against what the database knows and what came before it in the batch.
    pub(in crate::adapters) fn of(
        batch: &'a [Posting],
        known: HashMap<Key, KnownEvent>,
        accounts: BTreeMap<Account, State>,
    ) -> Self {
        let mut plan = Self { results: Vec::new(), fresh: Vec::new(), accounts };
        plan.results = decide(batch, known, |posting| plan.add(posting));
        plan
    }

    /// The accounts as they are after the batch, in ascending order; those that do not exist are left out.
    pub(in crate::adapters) fn settled(&self) -> Vec<(Account, Settled)> {
        let exists = |state: &State| state.stored || state.touched_at.is_some();
        self.accounts
            .iter()
            .filter(|(_, state)| exists(state))
            .map(|(account, state)| (*account, state.after()))
            .collect()
    }

    fn add(&mut self, posting: &'a Posting) -> PostResult {
        if self.apply(&posting.entries).is_err() {
            return PostResult::Overflow;
        }
        for entry in &posting.entries {
            let touched_at = &mut self.accounts.entry(entry.account).or_default().touched_at;
            *touched_at = (*touched_at).max(Some(posting.at_ms));
        }
        self.fresh.push(posting);
        PostResult::Posted
    }

    fn apply(&mut self, entries: &[Entry]) -> Result<(), Overflow> {
        let mut before: Vec<(Account, Amount)> = Vec::with_capacity(entries.len());
        for entry in entries {
            let balance = &mut self.accounts.entry(entry.account).or_default().settled.balance;
            match balance.plus(entry.delta) {
                Ok(sum) => {
                    before.push((entry.account, *balance));
                    *balance = sum;
                }
                Err(overflow) => {
                    self.restore(&before);
                    return Err(overflow);
                }
            }
        }
        Ok(())
    }

    fn restore(&mut self, before: &[(Account, Amount)]) {
        for (account, balance) in before.iter().rev() {
            self.accounts.entry(*account).or_default().settled.balance = *balance;
        }
    }
}

impl State {
    /// Balance and version as they are after the batch.
    pub(in crate::adapters) fn after(&self) -> Settled {
        let step = i64::from(self.touched_at.is_some());
        Settled { version: self.settled.version.saturating_add(step), ..self.settled }
    }
}
