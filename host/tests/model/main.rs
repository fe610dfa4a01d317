//! The ledger's protocol, explored to its end for small bounds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod client;
mod explore;
mod faults;
mod guard;
mod load;
mod properties;
mod relay;
mod settle;
mod state;
mod world;

use stateright::{Model, Property};

use state::State;
use world::World;

/// A step of anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Client(client::Action),
    Load(load::Action),
    Relay(relay::Action),
    Settle(settle::Action),
    Fault(faults::Action),
}

impl Model for World {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![self.start()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        client::actions(self, state, actions);
        load::actions(self, state, actions);
        relay::actions(self, state, actions);
        settle::actions(self, state, actions);
        faults::actions(state, actions);
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        match action {
            Action::Client(action) => client::apply(self, &mut next, action)?,
            Action::Load(action) => load::apply(self, &mut next, action)?,
            Action::Relay(action) => relay::apply(self, &mut next, action)?,
            Action::Settle(action) => settle::apply(self, &mut next, action)?,
            Action::Fault(action) => faults::apply(self, &mut next, action)?,
        }
        Some(next.canonical())
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all(self)
    }
}

#[test]
fn flush_and_crash() {
    explore::holds(world::flush_and_crash());
}
#[test]
fn two_relays() {
    explore::holds(world::two_relays());
}
#[test]
fn two_settlers() {
    explore::holds(world::two_settlers());
}
#[test]
fn stale_failover() {
    explore::holds(world::stale_failover());
}
#[test]
fn void_and_post() {
    explore::holds(world::void_and_post());
}
#[test]
fn reused() {
    explore::holds(world::reused());
}
#[test]
fn two_loaders() {
    explore::holds(world::two_loaders());
}
#[test]
fn set_aside() {
    explore::holds(world::set_aside());
}
