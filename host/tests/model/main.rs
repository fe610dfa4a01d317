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

use explore::{breaks, can_always_rest, holds, stands_still};
use state::State;
use world::{Durability, World};

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
fn every_promise_is_kept_when_the_cache_is_flushed_and_a_process_crashes() {
    holds(world::flush_and_crash());
}

#[test]
fn every_promise_is_kept_when_a_relay_that_was_thought_dead_comes_back() {
    holds(world::two_relays());
}

#[test]
fn every_promise_is_kept_when_two_hosts_settle_the_same_events() {
    holds(world::two_settlers());
}

#[test]
fn every_promise_is_kept_when_a_replica_that_is_behind_takes_over() {
    holds(world::stale_failover());
    holds(World { durability: Durability::Cached, ..world::stale_failover() });
}

#[test]
fn every_promise_is_kept_when_an_event_on_its_way_is_voided() {
    holds(world::void_and_post());
}

#[test]
fn every_promise_is_kept_when_an_event_id_is_used_for_two_things() {
    holds(world::reused());
}

#[test]
fn every_promise_is_kept_when_two_hosts_load_one_account() {
    holds(world::two_loaders());
}

#[test]
fn every_promise_is_kept_when_an_event_is_set_aside_and_the_cache_is_flushed() {
    holds(world::set_aside());
}

#[test]
fn from_every_state_there_is_a_way_to_rest() {
    for world in [world::two_relays(), world::stale_failover(), world::void_and_post(), world::reused()] {
        can_always_rest(world);
    }
}

#[test]
fn every_protection_is_needed() {
    use guard::Guard as G;
    use properties as p;
    breaks(world::two_loaders(), G::LoadLease, p::SPENDABLE);
    breaks(world::two_loaders(), G::ReleaseEndsLoad, p::AT_REST);
    breaks(world::two_relays(), G::RecoveryWaitsForRelay, p::SPENDABLE);
    breaks(world::stale_failover(), G::RecoveryDrainsOutbox, p::SPENDABLE);
    breaks(world::flush_and_crash(), G::RecoveryWaitsForQueue, p::SPENDABLE);
    breaks(world::stale_failover(), G::RecoveryDropsAccounts, p::SPENDABLE);
    breaks(world::void_and_post(), G::HoldsKeepAccount, p::SPENDABLE);
    breaks(world::reused(), G::HoldKeepsOutcome, p::ONE_OUTCOME);
    breaks(world::flush_and_crash(), G::Epoch, p::SPENDABLE);
    breaks(world::stale_failover(), G::EpochNamesServer, p::SPENDABLE);
    breaks(world::stale_failover(), G::EpochNamesServer, p::AT_REST);
    breaks(world::reused(), G::HoldNamesEpoch, p::ONE_OUTCOME);
    breaks(world::reused(), G::Lookup, p::ONE_OUTCOME);
    breaks(world::void_and_post(), G::Gate, p::ONE_FATE);
    breaks(world::two_relays(), G::Gate, p::MONEY);
    breaks(world::void_and_post(), G::Version, p::SPENDABLE);
    breaks(world::two_relays(), G::RelayToken, p::AT_REST);
    breaks(world::two_relays(), G::TokensUnique, p::AT_REST);
    breaks(world::set_aside(), G::LoadBringsWaiting, p::SPENDABLE);
    stands_still(world::stale_failover(), G::RelayReadsFirst);
}

/// The outbox's end tells of a failover too late and not of every one; with an epoch that names its server it tells nothing new.
#[test]
fn an_outbox_that_ends_too_early_tells_nothing_once_the_epoch_names_its_server() {
    holds(world::stale_failover().without(guard::Guard::ShortOutbox));
}
