//! The ledger's protocol as a model, explored to its end for small bounds.
//!
//! What is modelled: hold, relay, settle, release, load, void and the recovery of a bucket, each cut into the steps between which a host
//! may die or pause, as the ports cut them; and what the services do to us: a flush, a failover to a replica that is behind, leases that
//! expire, events delivered twice and partitions read in any order. What is not: plugins, counters, commits without money, credits,
//! and the services' own inner lives.
//!
//! - [`guard`]: the protections, each with what it stands for in the protocol; any of them can be taken away.
//! - [`state`]: what there is at one moment. [`world`]: the configurations.
//! - [`client`], [`load`], [`relay`], [`settle`], [`faults`]: the steps. `actions` says what might be possible, `apply` makes a step.
//! - [`properties`]: the promises. [`explore`]: running it.
//!
//! A model proves nothing about code; it says which rules the code must keep. The bounds are small, but each fault known of such
//! protocols needs less: the ways to those that the protections prevent have 5 to 24 steps.
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

use explore::{breaks, can_always_rest, holds, keeps, stands_still};
use state::State;
use world::{Durability, World};

/// A step of anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A hold or a void, or time that passes.
    Client(client::Action),
    /// An account is loaded.
    Load(load::Action),
    /// The outbox is carried to the queue, or the bucket recovers.
    Relay(relay::Action),
    /// The queue is settled.
    Settle(settle::Action),
    /// A service fails.
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
    holds(World { flushes: 0, failovers: 1, ..world::reused() });
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
    breaks(world::two_loaders(), Some(G::LoadLease), p::SPENDABLE);
    breaks(world::two_loaders(), Some(G::ReleaseEndsLoad), p::AT_REST);
    breaks(world::two_relays(), Some(G::RecoveryWaitsForRelay), p::SPENDABLE);
    breaks(world::stale_failover(), Some(G::RecoveryDrainsOutbox), p::SPENDABLE);
    breaks(world::flush_and_crash(), Some(G::RecoveryWaitsForQueue), p::SPENDABLE);
    breaks(world::stale_failover(), Some(G::RecoveryDropsAccounts), p::SPENDABLE);
    breaks(world::void_and_post(), Some(G::HoldsKeepAccount), p::SPENDABLE);
    breaks(world::reused(), Some(G::HoldKeepsOutcome), p::ONE_OUTCOME);
    breaks(world::flush_and_crash(), Some(G::Epoch), p::SPENDABLE);
    breaks(world::stale_failover(), Some(G::EpochNamesServer), p::SPENDABLE);
    breaks(world::stale_failover(), Some(G::EpochNamesServer), p::AT_REST);
    breaks(world::reused(), Some(G::HoldNamesEpoch), p::ONE_OUTCOME);
    breaks(world::reused(), Some(G::Lookup), p::ONE_OUTCOME);
    breaks(world::void_and_post(), Some(G::Gate), p::ONE_FATE);
    breaks(world::two_relays(), Some(G::Gate), p::MONEY);
    breaks(world::void_and_post(), Some(G::Version), p::SPENDABLE);
    breaks(world::two_relays(), Some(G::RelayToken), p::AT_REST);
    breaks(world::two_relays(), Some(G::TokensUnique), p::AT_REST);
    breaks(world::set_aside(), Some(G::LoadBringsWaiting), p::SPENDABLE);
    breaks(world::set_aside(), Some(G::LoadReadsWaitingFirst), p::SPENDABLE);
    stands_still(world::stale_failover(), G::RelayReadsFirst);
}

/// The outbox's end tells of a failover too late and not of every one; with an epoch that names its server it tells nothing new.
#[test]
fn an_outbox_that_ends_too_early_tells_nothing_once_the_epoch_names_its_server() {
    holds(world::stale_failover().without(guard::Guard::ShortOutbox));
}

/// Two faults at once, and a limit that is known: the flush took an event that nobody had published, and a replica that never heard of
/// the flush brings it back beside what was spent since. Both are acknowledged and both are posted; the account goes below zero, which
/// is reported, and cannot spend until it is positive again. Money is still neither made nor lost.
#[test]
fn a_replica_that_undoes_a_flush_can_take_an_account_below_zero() {
    breaks(world::flush_undone(), None, properties::OVERDRAFT);
    keeps(
        world::flush_undone(),
        &[
            properties::MONEY,
            properties::SPENDABLE,
            properties::ONE_FATE,
            properties::NOT_LOST,
            properties::ONE_OUTCOME,
        ],
    );
}
