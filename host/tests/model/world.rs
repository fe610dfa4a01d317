//! The configurations: who pays whom, how many of each process, and how many faults. Each is explored to its end.

use crate::guard::{Guard, Guards};
use crate::state::{
    Bucket, CONTENTS, Cached, Carrying, Db, Fate, Left, PARTITIONS, PROCESSES, Set, Settled, State, USERS,
};

/// A request: an event's key with what it says. Two contents of one key are a reuse of the event id.
#[derive(Clone, Copy, Debug)]
pub struct Content {
    pub key: u8,
    pub payer: u8,
    pub receiver: u8,
    pub amount: i8,
}

/// When a client is told that its event is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Once the cache has it: what the cache loses may be lost.
    Cached,
    /// Once the queue has it.
    Queued,
}

/// A configuration.
#[derive(Clone, Debug)]
pub struct World {
    pub name: &'static str,
    pub guards: Guards,
    pub durability: Durability,
    pub contents: &'static [Content],
    pub balances: [i8; USERS],
    /// Whether the accounts are cached at the beginning.
    pub cached: bool,
    pub relays: usize,
    pub settlers: usize,
    pub loaders: usize,
    pub batch_max: usize,
    /// How often each content is tried.
    pub tries: u8,
    pub flushes: u8,
    pub failovers: u8,
    /// Of relays, settlers and voids.
    pub crashes: u8,
    /// Relays that pause until their lease has expired.
    pub pauses: u8,
    /// Events that the consumer sets aside instead of posting them.
    pub asides: u8,
    pub voids: u8,
    /// Whether accounts that are not needed may be dropped from the cache at any time.
    pub evicts: bool,
    /// Whether outcomes expire.
    pub forgets: bool,
    /// Whether a request may pause between asking the database and holding.
    pub requests_pause: bool,
}

const fn content(key: u8, payer: u8, receiver: u8, amount: i8) -> Content {
    Content { key, payer, receiver, amount }
}

/// Two gifts of which only one can be paid, and one back.
const TWO_AND_BACK: &[Content] = &[content(0, 0, 1, 1), content(1, 0, 1, 1), content(2, 1, 0, 1)];
/// Two gifts of which only one can be paid.
const TWO: &[Content] = &[content(0, 0, 1, 1), content(1, 0, 1, 1)];
/// One event id with two contents, the second dearer.
const REUSED: &[Content] = &[content(0, 0, 1, 1), content(0, 0, 1, 2)];

const QUIET: World = World {
    name: "",
    guards: Guards::ALL,
    durability: Durability::Cached,
    contents: TWO,
    balances: [1, 0],
    cached: false,
    relays: 1,
    settlers: 1,
    loaders: 1,
    batch_max: 1,
    tries: 1,
    flushes: 0,
    failovers: 0,
    crashes: 0,
    pauses: 0,
    asides: 0,
    voids: 0,
    evicts: false,
    forgets: false,
    requests_pause: false,
};

/// One host; the cache is flushed once, and one process crashes once.
pub fn flush_and_crash() -> World {
    World {
        name: "flush and crash",
        durability: Durability::Queued,
        contents: TWO_AND_BACK,
        flushes: 1,
        crashes: 1,
        evicts: true,
        ..QUIET
    }
}

/// Two hosts relay the same bucket: one pauses, loses its lease, and comes back; the cache is flushed meanwhile.
pub fn two_relays() -> World {
    World {
        name: "two relays",
        durability: Durability::Queued,
        balances: [2, 0],
        cached: true,
        relays: 2,
        pauses: 1,
        crashes: 1,
        flushes: 1,
        ..QUIET
    }
}

/// Two hosts settle: a rebalance lets both have the same events, and one of them comes late.
pub fn two_settlers() -> World {
    World {
        name: "two settlers",
        contents: TWO_AND_BACK,
        cached: true,
        settlers: 2,
        batch_max: 2,
        evicts: true,
        ..QUIET
    }
}

/// The master of the bucket is lost and a replica takes over that has any moment of the past.
pub fn stale_failover() -> World {
    World {
        name: "stale failover",
        durability: Durability::Queued,
        cached: true,
        relays: 2,
        pauses: 2,
        crashes: 1,
        failovers: 1,
        ..QUIET
    }
}

/// A flush, and then a replica takes over that has not heard of it.
pub fn flush_undone() -> World {
    World { name: "flush undone", flushes: 1, pauses: 0, crashes: 0, tries: 1, ..stale_failover() }
}

/// An operator voids while the event is on its way, and a void or a settler crashes.
pub fn void_and_post() -> World {
    World { name: "void and post", cached: true, crashes: 1, voids: 2, evicts: true, forgets: true, ..QUIET }
}

/// One event id is used for two things, with a flush between them.
pub fn reused() -> World {
    World {
        name: "reused event id",
        durability: Durability::Queued,
        contents: REUSED,
        balances: [2, 0],
        flushes: 1,
        crashes: 1,
        voids: 1,
        forgets: true,
        requests_pause: true,
        ..QUIET
    }
}

/// Two hosts load the same account while events are settled and accounts are dropped.
pub fn two_loaders() -> World {
    World { name: "two loaders", contents: TWO_AND_BACK, loaders: 2, evicts: true, forgets: true, ..QUIET }
}

/// The consumer sets an event aside; the cache is flushed while it waits.
pub fn set_aside() -> World {
    World {
        name: "set aside",
        durability: Durability::Queued,
        flushes: 1,
        crashes: 1,
        asides: 1,
        voids: 1,
        evicts: true,
        ..QUIET
    }
}

impl World {
    /// This configuration without one protection.
    pub fn without(mut self, guard: Guard) -> Self {
        self.guards = self.guards.without(guard);
        self
    }

    /// Whether a protection is there.
    pub fn has(&self, guard: Guard) -> bool {
        self.guards.has(guard)
    }

    /// Whether a user pays for anything here. Others are never cached.
    pub fn pays(&self, user: u8) -> bool {
        self.contents.iter().any(|content| content.payer == user)
    }

    /// The users who pay.
    pub fn payers(&self) -> impl Iterator<Item = u8> {
        (0..USERS as u8).filter(|&user| self.pays(user))
    }

    /// A content by its number.
    pub fn content(&self, number: u8) -> Content {
        self.contents[usize::from(number)]
    }

    /// The contents of one event among these.
    pub fn of_key(&self, set: Set, key: u8) -> Set {
        set.iter().filter(|&number| self.content(number).key == key).fold(Set::default(), Set::with)
    }

    /// The sum of what these reserve.
    pub fn amount(&self, set: Set) -> i8 {
        set.iter().map(|number| self.content(number).amount).sum()
    }

    /// What the database knows of an event.
    pub fn fate(&self, db: &Db, key: u8) -> Option<(u8, Fate)> {
        db.records.iter().copied().find(|&(number, _)| self.content(number).key == key)
    }

    /// The beginning.
    pub fn start(&self) -> State {
        let settled = self.balances.map(|balance| Settled { balance, version: 0 });
        let mut accounts = [None; USERS];
        for user in self.payers().filter(|_| self.cached) {
            let user = usize::from(user);
            accounts[user] = Some(Cached { settled: settled[user], holds: Set::default() });
        }
        let mut tries = [0; CONTENTS];
        tries[..self.contents.len()].fill(self.tries);
        State {
            db: Db { accounts: settled, records: Vec::new(), waiting: Set::default() },
            bucket: Bucket { epoch: true, accounts, ..Bucket::empty() },
            replica: None,
            queue: [const { Vec::new() }; PARTITIONS],
            relays: [None; PROCESSES],
            settlers: [const { None }; PROCESSES],
            loads: [None; PROCESSES],
            void: None,
            asking: Set::default(),
            acknowledged: Set::default(),
            left: Left {
                tries,
                flushes: self.flushes,
                failovers: self.failovers,
                crashes: self.crashes,
                pauses: self.pauses,
                asides: self.asides,
                voids: self.voids,
            },
        }
    }

    /// Contents that the database may yet post: in the outbox, in somebody's hands, in the queue or set aside, and not known there.
    pub fn on_the_way(&self, state: &State) -> Set {
        let mut set = state.db.waiting;
        for &(_, number) in &state.bucket.outbox {
            set = set.with(number);
        }
        for relay in state.relays.iter().flatten() {
            if let Carrying::InHand(_, number) = relay.carrying {
                set = set.with(number);
            }
        }
        for number in state.queue.iter().chain(state.settlers.iter().flatten().map(|batch| &batch.contents)).flatten() {
            set = set.with(*number);
        }
        set.iter()
            .filter(|&number| self.fate(&state.db, self.content(number).key).is_none())
            .fold(Set::default(), Set::with)
    }
}
