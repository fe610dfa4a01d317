//! What comes from outside: holds (`Cache::hold` behind `Ledger::hold`), voids (`Ledger::void`), and time that passes over what the
//! cache may forget.

use crate::guard::Guard;
use crate::settle::release;
use crate::state::{Fate, State, Void};
use crate::world::{Durability, World};

/// A step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// `Ledger::forgotten`: the database is asked about the event. Apart only where requests may pause.
    Ask(u8),
    /// `Cache::hold`, one atomic step. A repetition and a refusal change nothing.
    Hold(u8),
    /// `Ledger::void` finds the event, by the cache's outcome or the database.
    VoidFind(u8),
    /// `db::Ledger::void`.
    VoidWrite,
    /// `Cache::release` of a void.
    VoidRelease,
    /// The process that voids dies.
    VoidCrash,
    /// The outcome of an event expires, a day later.
    Forget(u8),
    /// A cached account expires or is evicted.
    Evict(u8),
}

/// Everything that might be possible.
pub fn actions(world: &World, state: &State, actions: &mut Vec<crate::Action>) {
    let mut push = |action| actions.push(crate::Action::Client(action));
    for number in 0..world.contents.len() as u8 {
        if world.requests_pause {
            push(Action::Ask(number));
        }
        push(Action::Hold(number));
        if state.left.voids > 0 && state.void.is_none() {
            push(Action::VoidFind(number));
        }
        if world.forgets {
            push(Action::Forget(number));
        }
    }
    if state.void.is_some() {
        push(Action::VoidWrite);
        push(Action::VoidRelease);
        push(Action::VoidCrash);
    }
    if world.evicts {
        for user in world.payers() {
            push(Action::Evict(user));
        }
    }
}

/// Makes a step; none if it cannot be made now.
pub fn apply(world: &World, state: &mut State, action: Action) -> Option<()> {
    match action {
        Action::Ask(number) => ask(world, state, number),
        Action::Hold(number) => hold(world, state, number),
        Action::VoidFind(number) => void_find(world, state, number),
        Action::VoidWrite => void_write(world, state),
        Action::VoidRelease => {
            let void = state.void.filter(|void| void.settled.is_some())?;
            let content = world.content(void.content);
            release(world, state, content.payer, &[void.content], void.settled?);
            state.void = None;
            Some(())
        }
        Action::VoidCrash => {
            state.left.crashes = state.left.crashes.checked_sub(1)?;
            state.void.take().map(drop)
        }
        Action::Forget(number) => forget(world, state, number),
        Action::Evict(user) => {
            let account = state.bucket.accounts[usize::from(user)]?;
            if !account.holds.is_empty() && world.has(Guard::HoldsKeepAccount) {
                return None;
            }
            state.bucket.accounts[usize::from(user)] = None;
            Some(())
        }
    }
}

/// Whether the database says that this event was dealt with long ago.
fn answered_by_database(world: &World, state: &State, number: u8) -> bool {
    world.has(Guard::Lookup) && world.fate(&state.db, world.content(number).key).is_some()
}

fn ask(world: &World, state: &mut State, number: u8) -> Option<()> {
    if state.left.tries[usize::from(number)] == 0
        || state.asking.has(number)
        || answered_by_database(world, state, number)
    {
        return None;
    }
    state.asking = state.asking.with(number);
    Some(())
}

fn hold(world: &World, state: &mut State, number: u8) -> Option<()> {
    let content = world.content(number);
    let asked =
        if world.requests_pause { state.asking.has(number) } else { !answered_by_database(world, state, number) };
    if !asked || !world.of_key(state.bucket.outcomes, content.key).is_empty() {
        return None;
    }
    if !state.bucket.epoch && world.has(Guard::Epoch) {
        return None;
    }
    let tries = &mut state.left.tries[usize::from(number)];
    *tries = tries.checked_sub(1)?;
    let bucket = &mut state.bucket;
    let account = bucket.accounts[usize::from(content.payer)].as_mut()?;
    if account.settled.balance - world.amount(account.holds) < content.amount {
        return None;
    }
    // One hold for each event id: another one under it would take its place.
    account.holds = account.holds.minus(world.of_key(account.holds, content.key)).with(number);
    bucket.outcomes = bucket.outcomes.with(number);
    bucket.last += 1;
    bucket.outbox.push((bucket.last, number));
    state.asking = state.asking.minus(crate::state::Set::of(&[number]));
    if world.durability == Durability::Cached {
        state.acknowledged = state.acknowledged.with(number);
    }
    Some(())
}

fn forget(world: &World, state: &mut State, number: u8) -> Option<()> {
    if !state.bucket.outcomes.has(number) {
        return None;
    }
    let content = world.content(number);
    let open = state.bucket.accounts[usize::from(content.payer)].is_some_and(|account| account.holds.has(number));
    if open && world.has(Guard::HoldKeepsOutcome) {
        return None;
    }
    state.bucket.outcomes = state.bucket.outcomes.minus(crate::state::Set::of(&[number]));
    // A request does not live for a day.
    state.asking = state.asking.minus(world.of_key(state.asking, content.key));
    Some(())
}

fn void_find(world: &World, state: &mut State, number: u8) -> Option<()> {
    let known = world.fate(&state.db, world.content(number).key).is_some_and(|(known, _)| known == number);
    if state.void.is_some() || !(state.bucket.outcomes.has(number) || known) {
        return None;
    }
    state.left.voids = state.left.voids.checked_sub(1)?;
    state.void = Some(Void { content: number, settled: None });
    Some(())
}

fn void_write(world: &World, state: &mut State) -> Option<()> {
    let mut void = state.void.filter(|void| void.settled.is_none())?;
    let content = world.content(void.content);
    if world.fate(&state.db, content.key).is_none() || !world.has(Guard::Gate) {
        state.db.records.push((void.content, Fate::Voided));
        state.db.records.sort_unstable();
    }
    void.settled = Some(state.db.accounts[usize::from(content.payer)]);
    state.void = Some(void);
    Some(())
}
