//! What must always be so, and what must be possible.

use stateright::Property;

use crate::state::{Cached, Carrying, Fate, Settled, State};
use crate::world::{Durability, World};

/// Balances are what their records say, each event once, and sum to what there was.
pub const MONEY: &str = "money is neither made nor lost";
/// No account can spend what it does not have.
pub const SPENDABLE: &str = "what can be spent is never above the true balance";
/// No balance of a user is ever below zero.
pub const OVERDRAFT: &str = "the books never go below zero";
/// Posted once, or voided once, never both.
pub const ONE_FATE: &str = "an event is posted or voided, and once";
/// Two contents under one event id are never both acknowledged.
pub const ONE_OUTCOME: &str = "an event id has one outcome";
/// Acknowledged events are in the books or on their way there.
pub const NOT_LOST: &str = "no acknowledged event is lost";
/// Once nothing is on its way, the cache is as the database.
pub const AT_REST: &str = "at rest the cache is as the database";
/// Not a promise: shows that the world does something.
pub const SETTLES: &str = "an acknowledged event comes to rest";

/// All of them.
pub fn all(world: &World) -> Vec<Property<World>> {
    let mut properties = vec![
        Property::always(MONEY, money),
        Property::always(SPENDABLE, spendable),
        Property::always(OVERDRAFT, |_, state: &State| state.db.accounts.iter().all(|account| account.balance >= 0)),
        Property::always(ONE_FATE, one_fate),
        Property::always(AT_REST, |world, state| !at_rest(world, state) || as_database(state)),
        Property::sometimes(SETTLES, |world, state| at_rest(world, state) && !state.acknowledged.is_empty()),
    ];
    // A cache that loses its data loses what only the cache had: with `cached` that is the known loss window.
    if world.durability == Durability::Queued || world.flushes + world.failovers == 0 {
        properties.push(Property::always(NOT_LOST, not_lost));
        properties.push(Property::always(ONE_OUTCOME, one_outcome));
    }
    properties
}

/// Nothing is on its way and the bucket answers.
pub fn at_rest(_world: &World, state: &State) -> bool {
    state.bucket.epoch
        && state.bucket.outbox.is_empty()
        && state.queue.iter().all(Vec::is_empty)
        && state.settlers.iter().all(Option::is_none)
        && state.relays.iter().flatten().all(|relay| relay.carrying == Carrying::Nothing)
        && state.db.waiting.is_empty()
        && state.void.is_none()
}

fn as_database(state: &State) -> bool {
    let same = |(account, settled): (&Option<Cached>, Settled)| match account {
        None => true,
        Some(account) => account.holds.is_empty() && account.settled == settled,
    };
    state.bucket.accounts.iter().zip(state.db.accounts).all(same)
}

fn money(world: &World, state: &State) -> bool {
    let mut balances = world.balances;
    for (at, &(number, fate)) in state.db.records.iter().enumerate() {
        let content = world.content(number);
        let is_first = !state.db.records[..at].contains(&(number, fate));
        if fate == Fate::Posted && is_first {
            balances[usize::from(content.payer)] -= content.amount;
            balances[usize::from(content.receiver)] += content.amount;
        }
    }
    let sum: i8 = state.db.accounts.iter().map(|account| account.balance).sum();
    sum == world.balances.iter().sum::<i8>()
        && state.db.accounts.iter().zip(balances).all(|(account, by)| account.balance == by)
}

fn spendable(world: &World, state: &State) -> bool {
    if !state.bucket.epoch && world.has(crate::guard::Guard::Epoch) {
        return true;
    }
    let coming = world.on_the_way(state);
    state.bucket.accounts.iter().zip(state.db.accounts).enumerate().all(|(user, (account, settled))| {
        let Some(account) = account else { return true };
        let own: i8 = coming
            .iter()
            .map(|number| world.content(number))
            .filter(|content| usize::from(content.payer) == user)
            .map(|content| content.amount)
            .sum();
        account.settled.balance - world.amount(account.holds) <= settled.balance - own
    })
}

fn one_fate(world: &World, state: &State) -> bool {
    let keys: Vec<u8> = state.db.records.iter().map(|&(number, _)| world.content(number).key).collect();
    keys.iter().enumerate().all(|(at, key)| !keys[..at].contains(key))
}

fn one_outcome(world: &World, state: &State) -> bool {
    state.acknowledged.iter().all(|number| {
        let of_key = world.of_key(state.acknowledged, world.content(number).key);
        of_key.iter().count() == 1
    })
}

fn not_lost(world: &World, state: &State) -> bool {
    let in_queue = |number: &u8| state.queue.iter().flatten().any(|queued| queued == number);
    let in_outbox = |number: &u8| state.bucket.outbox.iter().any(|(_, entry)| entry == number);
    state.acknowledged.iter().all(|number| {
        world.fate(&state.db, world.content(number).key).is_some()
            || state.db.waiting.has(number)
            || in_queue(&number)
            || in_outbox(&number)
    })
}
