//! Relays and recovery: the outbox port (`host/src/ports/outbox.rs`) and `Queue::publish`. A host may pause between any two steps and
//! come back with a lease that is another's by then.

use crate::guard::Guard;
use crate::state::{Carrying, Relay, State, USERS};
use crate::world::{Durability, World};

/// A step of the process of that number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// `Outbox::lease`.
    Lease(u8),
    /// `Outbox::read` of one entry; or the finding that the outbox ends before what was read.
    Read(u8),
    /// `Queue::publish`, acknowledged.
    Publish(u8),
    /// `Outbox::remove`.
    Remove(u8),
    /// The lease is another's and the relay notices it, or its delivery time-out has passed: it stops.
    Stop(u8),
    /// The process dies.
    Crash(u8),
    /// The bucket's lease expires.
    Expire,
    /// A recovery begins: the queue's ends are taken.
    RecoveryBegin(u8),
    /// `Outbox::set_epoch`.
    RecoveryEnd(u8),
}

/// Everything that might be possible.
pub fn actions(world: &World, state: &State, actions: &mut Vec<crate::Action>) {
    let mut push = |action| actions.push(crate::Action::Relay(action));
    // Free processes are alike, and come first: one of them is enough.
    if state.bucket.relaying == 0 && state.relays.iter().flatten().count() < world.relays {
        push(Action::Lease(0));
    }
    for (process, relay) in state.relays.iter().enumerate() {
        let Some(relay) = relay else { continue };
        let process = process as u8;
        match relay.carrying {
            Carrying::Nothing => {
                push(Action::Read(process));
                push(Action::RecoveryBegin(process));
            }
            Carrying::InHand(..) => push(Action::Publish(process)),
            Carrying::Published(_) => push(Action::Remove(process)),
            Carrying::Recovering(_) => push(Action::RecoveryEnd(process)),
        }
        push(Action::Stop(process));
        push(Action::Crash(process));
    }
    push(Action::Expire);
}

/// Makes a step; none if it cannot be made now.
pub fn apply(world: &World, state: &mut State, action: Action) -> Option<()> {
    match action {
        Action::Lease(process) => {
            let token = crate::faults::token(world, state);
            state.bucket.relaying = token;
            state.relays[usize::from(process)] = Some(Relay { token, read: 0, carrying: Carrying::Nothing });
            Some(())
        }
        Action::Read(process) => read(world, state, usize::from(process)),
        Action::Publish(process) => publish(world, state, usize::from(process)),
        Action::Remove(process) => remove(world, state, usize::from(process)),
        Action::Stop(process) => {
            let relay = state.relays[usize::from(process)]?;
            if relay.token == state.bucket.relaying {
                return None;
            }
            state.relays[usize::from(process)] = None;
            Some(())
        }
        Action::Crash(process) => {
            state.left.crashes = state.left.crashes.checked_sub(1)?;
            state.relays[usize::from(process)].take().map(drop)
        }
        Action::Expire => expire(state),
        Action::RecoveryBegin(process) => begin(world, state, usize::from(process)),
        Action::RecoveryEnd(process) => end(world, state, usize::from(process)),
    }
}

/// A lease that nobody remembers expires for sure; one whose holder pauses, so often as the world says: each may publish once more.
fn expire(state: &mut State) -> Option<()> {
    let lease = state.bucket.relaying;
    if state.relays.iter().flatten().any(|relay| relay.token == lease) {
        state.left.pauses = state.left.pauses.checked_sub(1)?;
    }
    state.bucket.relaying = 0;
    (lease != 0).then_some(())
}

fn read(world: &World, state: &mut State, process: usize) -> Option<()> {
    let relay = state.relays[process].as_mut()?;
    if state.bucket.last < relay.read && world.has(Guard::ShortOutbox) {
        state.bucket.epoch = false;
        relay.read = 0;
        return Some(());
    }
    // What was read before was removed; what is there again has come back and must be published again.
    let after = if world.has(Guard::RelayReadsFirst) { 0 } else { relay.read };
    let &(entry, number) = state.bucket.outbox.iter().find(|&&(entry, _)| entry > after)?;
    relay.read = entry;
    relay.carrying = Carrying::InHand(entry, number);
    Some(())
}

fn publish(world: &World, state: &mut State, process: usize) -> Option<()> {
    let relay = state.relays[process].as_mut()?;
    let Carrying::InHand(entry, number) = relay.carrying else { return None };
    relay.carrying = Carrying::Published(entry);
    state.queue[usize::from(world.content(number).payer)].push(number);
    if world.durability == Durability::Queued {
        state.acknowledged = state.acknowledged.with(number);
    }
    Some(())
}

fn remove(world: &World, state: &mut State, process: usize) -> Option<()> {
    let relay = state.relays[process].as_mut()?;
    let Carrying::Published(entry) = relay.carrying else { return None };
    if relay.token != state.bucket.relaying && world.has(Guard::RelayToken) {
        state.relays[process] = None;
        return Some(());
    }
    relay.carrying = Carrying::Nothing;
    state.bucket.outbox.retain(|&(kept, _)| kept > entry);
    if world.failovers == 0 {
        // Only a bucket that can go back in time needs to know how far a relay had read.
        relay.read = 0;
    }
    Some(())
}

fn begin(world: &World, state: &mut State, process: usize) -> Option<()> {
    let valid = state.relays[process]?.token == state.bucket.relaying;
    let in_hands = |relay: &Relay| matches!(relay.carrying, Carrying::InHand(..));
    let waits = state.relays.iter().flatten().any(in_hands) && world.has(Guard::RecoveryWaitsForRelay);
    let drains = !state.bucket.outbox.is_empty() && world.has(Guard::RecoveryDrainsOutbox);
    if state.bucket.epoch || !valid || waits || drains {
        return None;
    }
    let mut ends = [0; USERS];
    for (end, partition) in ends.iter_mut().zip(&state.queue) {
        *end = partition.len() as u8;
    }
    state.relays[process].as_mut()?.carrying = Carrying::Recovering(ends);
    Some(())
}

fn end(world: &World, state: &mut State, process: usize) -> Option<()> {
    let relay = state.relays[process].as_mut()?;
    let Carrying::Recovering(ends) = relay.carrying else { return None };
    if relay.token != state.bucket.relaying
        || (ends.iter().any(|&end| end > 0) && world.has(Guard::RecoveryWaitsForQueue))
    {
        return None;
    }
    relay.carrying = Carrying::Nothing;
    state.bucket.epoch = true;
    crate::faults::epoch_changed(world, state);
    if world.has(Guard::RecoveryDropsAccounts) {
        state.bucket.accounts = [None; USERS];
        state.bucket.loading = [0; USERS];
    }
    Some(())
}
