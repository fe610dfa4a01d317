//! What the services do to us: a flush, a failover to a replica that is behind, and tokens.

use crate::guard::Guard;
use crate::state::{Bucket, Carrying, Set, State};
use crate::world::World;

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The bucket loses everything: a flush, or a restart without its data.
    Flush,
    /// The replica gets nothing any more: this moment is what it has.
    ReplicaStops,
    /// The replica takes over.
    Failover,
}

/// Everything that might be possible.
pub fn actions(state: &State, actions: &mut Vec<crate::Action>) {
    let mut push = |action| actions.push(crate::Action::Fault(action));
    if state.left.flushes > 0 {
        push(Action::Flush);
    }
    if state.left.failovers > 0 && state.replica.is_none() {
        push(Action::ReplicaStops);
    }
    if state.replica.is_some() {
        push(Action::Failover);
    }
}

/// Makes a step; none if it cannot be made now.
pub fn apply(world: &World, state: &mut State, action: Action) -> Option<()> {
    match action {
        Action::Flush => {
            state.left.flushes = state.left.flushes.checked_sub(1)?;
            state.bucket = Bucket::empty();
            epoch_changed(world, state);
        }
        Action::ReplicaStops => {
            state.left.failovers = state.left.failovers.checked_sub(1)?;
            state.replica = Some(Box::new(state.bucket.clone()));
        }
        Action::Failover => {
            state.bucket = *state.replica.take()?;
            if world.has(Guard::EpochNamesServer) {
                state.bucket.epoch = false;
                epoch_changed(world, state);
                for relay in state.relays.iter_mut().flatten() {
                    // What a recovery has seen to was in the other history.
                    if matches!(relay.carrying, Carrying::Recovering(_)) {
                        relay.carrying = Carrying::Nothing;
                    }
                }
            }
        }
    }
    Some(())
}

/// Requests that named another epoch, or none, will be refused.
pub fn epoch_changed(world: &World, state: &mut State) {
    if world.has(Guard::HoldNamesEpoch) {
        state.asking = Set::default();
    }
}

/// A token for a lease: one that nobody has; or, without that protection, the next of a counter that is in the bucket and lost with it.
pub fn token(world: &World, state: &mut State) -> u8 {
    if world.has(Guard::TokensUnique) {
        return state.fresh_token();
    }
    state.bucket.tokens += 1;
    state.bucket.tokens
}
