//! Loads: `Ledger::load` over `Cache::lease`, `db::Deliveries::waiting_of`, `db::Ledger::account` and `Cache::fill`. A host may pause
//! between any two of them.

use crate::guard::Guard;
use crate::state::{Cached, Load, Set, State};
use crate::world::World;

/// A step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// `Cache::lease`, by the process of that number for a user.
    Lease(u8, u8),
    /// `db::Deliveries::waiting_of`, without what the database knows the fate of.
    ReadWaiting(u8),
    /// `db::Ledger::account`. Where nothing is ever set aside, with the step before.
    Read(u8),
    /// `Cache::fill`.
    Fill(u8),
    /// The lease on a user's account expires.
    Expire(u8),
}

/// Everything that might be possible.
pub fn actions(world: &World, state: &State, actions: &mut Vec<crate::Action>) {
    let mut push = |action| actions.push(crate::Action::Load(action));
    // Free processes are alike, and come first: one of them is enough.
    if state.loads.iter().flatten().count() < world.loaders {
        for user in world.payers() {
            push(Action::Lease(0, user));
        }
    }
    for (process, load) in state.loads.iter().enumerate() {
        match load {
            None => {}
            Some(load) => match (load.waiting, load.settled) {
                (Some(_), Some(_)) => push(Action::Fill(process as u8)),
                (waiting, settled) => {
                    let waiting_first = world.has(Guard::LoadReadsWaitingFirst);
                    let waiting_now = if waiting_first { waiting.is_none() } else { settled.is_some() };
                    if waiting_now && world.asides > 0 {
                        push(Action::ReadWaiting(process as u8));
                    } else {
                        push(Action::Read(process as u8));
                    }
                }
            },
        }
    }
    for user in world.payers() {
        // With one loader only a lease that nobody remembers has to expire.
        let token = state.bucket.loading[usize::from(user)];
        if world.loaders > 1 || state.loads.iter().flatten().all(|load| load.token != token) {
            push(Action::Expire(user));
        }
    }
}

/// Makes a step; none if it cannot be made now.
pub fn apply(world: &World, state: &mut State, action: Action) -> Option<()> {
    match action {
        Action::Lease(process, user) => {
            let at = usize::from(user);
            if state.bucket.accounts[at].is_some() || state.bucket.loading[at] != 0 {
                return None;
            }
            let token = crate::faults::token(world, state);
            state.bucket.loading[at] = token;
            state.loads[usize::from(process)] = Some(Load { user, token, waiting: None, settled: None });
            Some(())
        }
        Action::ReadWaiting(process) => {
            let load = state.loads[usize::from(process)].as_mut()?;
            load.waiting = Some(waiting(world, state.db.waiting, &state.db, load.user));
            Some(())
        }
        Action::Read(process) => {
            let load = state.loads[usize::from(process)].as_mut()?;
            load.settled = Some(state.db.accounts[usize::from(load.user)]);
            if world.asides == 0 {
                load.waiting = Some(Set::default());
            }
            Some(())
        }
        Action::Fill(process) => {
            let load = state.loads[usize::from(process)].take()?;
            fill(world, state, load)
        }
        Action::Expire(user) => {
            let lease = &mut state.bucket.loading[usize::from(user)];
            (std::mem::take(lease) != 0).then_some(())
        }
    }
}

/// The payer's events that were set aside and that nobody has posted or voided since.
fn waiting(world: &World, waiting: Set, db: &crate::state::Db, payer: u8) -> Set {
    let open = |&number: &u8| {
        let content = world.content(number);
        content.payer == payer && world.fate(db, content.key).is_none()
    };
    waiting.iter().filter(open).fold(Set::default(), Set::with)
}

fn fill(world: &World, state: &mut State, load: Load) -> Option<()> {
    let at = usize::from(load.user);
    let (settled, waiting) = (load.settled?, load.waiting?);
    let valid = state.bucket.loading[at] == load.token || !world.has(Guard::LoadLease);
    if valid && state.bucket.accounts[at].is_none() {
        let holds = if world.has(Guard::LoadBringsWaiting) { waiting } else { Set::default() };
        state.bucket.accounts[at] = Some(Cached { settled, holds });
        state.bucket.loading[at] = 0;
    }
    Some(())
}
