//! Settling: `Consumer::poll`, `Ledger::post` (the database's transaction, then one release for each account) and
//! `Consumer::commit`. Two settlers may have the same events: a rebalance, or a delivery after a crash.

use crate::guard::Guard;
use crate::state::{Batch, Carrying, Fate, Set, Settled, Settling, Source, State, USERS};
use crate::world::World;

/// A step of the process of that number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// `Consumer::poll`: so many from a partition.
    Take { process: u8, partition: u8, count: u8 },
    /// `Deliveries::due`: an event that was set aside is tried again.
    Retry(u8, u8),
    /// `db::Ledger::post`, one transaction.
    Post(u8),
    /// `Deliveries::set_aside` instead, for a batch of one.
    SetAside(u8),
    /// `Cache::release` of an account.
    Release(u8, u8),
    /// `Consumer::commit` or `Deliveries::remove_retries`.
    Commit(u8),
    /// The process dies.
    Crash(u8),
}

/// Everything that might be possible.
pub fn actions(world: &World, state: &State, actions: &mut Vec<crate::Action>) {
    let mut push = |action| actions.push(crate::Action::Settle(action));
    // Free processes are alike, and come first: one of them is enough.
    if state.settlers.iter().flatten().count() < world.settlers {
        for (partition, waiting) in state.queue.iter().enumerate() {
            for count in 1..=waiting.len().min(world.batch_max) {
                push(Action::Take { process: 0, partition: partition as u8, count: count as u8 });
            }
        }
        for number in state.db.waiting.iter() {
            push(Action::Retry(0, number));
        }
    }
    for (process, batch) in state.settlers.iter().enumerate() {
        let Some(batch) = batch else { continue };
        let process = process as u8;
        match batch.settling {
            Settling::Taken => {
                push(Action::Post(process));
                push(Action::SetAside(process));
            }
            Settling::Releasing { left, .. } => match left.iter().position(|&left| left) {
                Some(user) => push(Action::Release(process, user as u8)),
                None => push(Action::Commit(process)),
            },
        }
        push(Action::Crash(process));
    }
}

/// Makes a step; none if it cannot be made now.
pub fn apply(world: &World, state: &mut State, action: Action) -> Option<()> {
    match action {
        Action::Take { process, partition, count } => {
            let contents = state.queue[usize::from(partition)].iter().copied().take(usize::from(count)).collect();
            let source = Source::Queue { partition, count };
            state.settlers[usize::from(process)] = Some(Batch { source, contents, settling: Settling::Taken });
            // What one settler has taken nobody else touches: nothing can come between, unless it is set aside.
            if world.settlers == 1 && state.left.asides == 0 {
                return post(world, state, usize::from(process));
            }
            Some(())
        }
        Action::Retry(process, number) => {
            let batch = Batch { source: Source::Waiting, contents: vec![number], settling: Settling::Taken };
            state.settlers[usize::from(process)] = Some(batch);
            Some(())
        }
        Action::Post(process) => post(world, state, usize::from(process)),
        Action::SetAside(process) => set_aside(state, usize::from(process)),
        Action::Release(process, user) => {
            let batch = state.settlers[usize::from(process)].as_mut()?;
            let Settling::Releasing { left, settled } = &mut batch.settling else { return None };
            left[usize::from(user)] = false;
            let (settled, contents) = (settled[usize::from(user)], batch.contents.clone());
            let last = left.iter().all(|left| !left);
            release(world, state, user, &contents, settled);
            if world.settlers == 1 && last { commit(state, usize::from(process)) } else { Some(()) }
        }
        Action::Commit(process) => commit(state, usize::from(process)),
        Action::Crash(process) => {
            state.left.crashes = state.left.crashes.checked_sub(1)?;
            state.settlers[usize::from(process)].take().map(drop)
        }
    }
}

/// What is new is posted, each touched account changes once, and every account of the batch is released, for duplicates, voided
/// events and conflicts too.
fn post(world: &World, state: &mut State, process: usize) -> Option<()> {
    let batch = state.settlers[process].as_mut()?;
    let db = &mut state.db;
    let mut deltas = [None; USERS];
    let mut left = [false; USERS];
    for &number in &batch.contents {
        let content = world.content(number);
        for user in [content.payer, content.receiver] {
            // An account that never pays is never cached here: its release does nothing.
            left[usize::from(user)] = world.pays(user);
        }
        if world.fate(db, content.key).is_some() && world.has(Guard::Gate) {
            continue;
        }
        db.records.push((number, Fate::Posted));
        *deltas[usize::from(content.payer)].get_or_insert(0) -= content.amount;
        *deltas[usize::from(content.receiver)].get_or_insert(0) += content.amount;
    }
    db.records.sort_unstable();
    for (account, delta) in db.accounts.iter_mut().zip(deltas) {
        if let Some(delta) = delta {
            *account = Settled { balance: account.balance + delta, version: account.version + 1 };
        }
    }
    batch.settling = Settling::Releasing { left, settled: db.accounts };
    Some(())
}

fn set_aside(state: &mut State, process: usize) -> Option<()> {
    let batch = state.settlers[process].as_mut()?;
    let (Source::Queue { .. }, [number]) = (batch.source, batch.contents.as_slice()) else { return None };
    state.left.asides = state.left.asides.checked_sub(1)?;
    state.db.waiting = state.db.waiting.with(*number);
    batch.settling = Settling::Releasing { left: [false; USERS], settled: state.db.accounts };
    Some(())
}

/// `Cache::release`: removes the open holds of the payer's events among these and takes a newer balance; or ends a load.
pub fn release(world: &World, state: &mut State, user: u8, contents: &[u8], settled: Settled) {
    let Some(account) = state.bucket.accounts[usize::from(user)].as_mut() else {
        if world.has(Guard::ReleaseEndsLoad) {
            state.bucket.loading[usize::from(user)] = 0;
        }
        return;
    };
    for &number in contents {
        account.holds = account.holds.minus(world.of_key(account.holds, world.content(number).key));
    }
    if settled.version > account.settled.version || !world.has(Guard::Version) {
        account.settled = settled;
    }
}

/// Passes the batch's offsets; a batch that another settler has passed already passes nothing. A recovery sees it.
fn commit(state: &mut State, process: usize) -> Option<()> {
    let batch = state.settlers[process].take()?;
    let Source::Queue { partition, count } = batch.source else {
        state.db.waiting = state.db.waiting.minus(Set::of(&batch.contents));
        return Some(());
    };
    state.queue[usize::from(partition)].drain(..usize::from(count));
    for other in state.settlers.iter_mut().flatten() {
        if let Source::Queue { partition: at, count: theirs } = &mut other.source
            && *at == partition
        {
            *theirs = theirs.saturating_sub(count);
        }
    }
    for relay in state.relays.iter_mut().flatten() {
        if let Carrying::Recovering(ends) = &mut relay.carrying {
            let end = &mut ends[usize::from(partition)];
            *end = end.saturating_sub(count);
        }
    }
    Some(())
}
