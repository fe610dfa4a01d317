//! The accounts of a bucket: settled balance, open holds, leases, and users that are known not to exist.
//!
//! An account with open holds never goes. Without, it expires some time after its last use, and when there are more than `len_max`,
//! one that was not used lately makes room. After a restart an account may have open holds but no settled balance: it counts as
//! absent until it is filled.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use crate::domain::{Account, Amount, EventId};
use crate::ports::cache::{CachedAccount, Lease, Settled};

/// How many accounts are looked at in one search for one that may go.
const LOOKED_AT_MAX: usize = 16;

/// How long things live.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Lifetimes {
    pub(in super::super) account: Duration,
    pub(in super::super) absent: Duration,
    pub(in super::super) lease: Duration,
}

#[derive(Debug, Default)]
struct State {
    settled: Option<Settled>,
    held: Amount,
    open: HashMap<EventId, Amount>,
    used_at: Option<Instant>,
    /// Since the search for one that may go last came by.
    used_again: bool,
}

/// What is known of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lookup {
    Cached(CachedAccount),
    Unknown,
    DoesNotExist,
}

#[derive(Debug)]
pub(super) struct Accounts {
    states: HashMap<Account, State>,
    by_age: VecDeque<Account>,
    absent: HashMap<Account, Instant>,
    leases: HashMap<Account, (Lease, Instant)>,
    len_max: usize,
    lifetimes: Lifetimes,
}

impl State {
    fn cached(&self) -> Option<CachedAccount> {
        self.settled.map(|settled| CachedAccount { settled, held: self.held })
    }

    fn is_expired(&self, account: Account, now: Instant, lifetime: Duration) -> bool {
        // Accounts that were loaded together do not expire together: up to a quarter later, by the account's own number.
        let jitter = lifetime / 4 * (account.user_id.0.unsigned_abs() % 64) as u32 / 64;
        self.open.is_empty() && self.used_at.is_none_or(|used| now.duration_since(used) > lifetime + jitter)
    }
}

impl Accounts {
    pub(super) fn new(len_max: usize, lifetimes: Lifetimes) -> Self {
        Self {
            states: HashMap::new(),
            by_age: VecDeque::new(),
            absent: HashMap::new(),
            leases: HashMap::new(),
            len_max,
            lifetimes,
        }
    }

    pub(super) fn look(&mut self, account: Account) -> Lookup {
        let now = Instant::now();
        if let Some(state) = self.states.get_mut(&account) {
            if state.is_expired(account, now, self.lifetimes.account) {
                // The sweep removes what is left of it.
                state.settled = None;
            } else if let Some(cached) = state.cached() {
                state.used_at = Some(now);
                state.used_again = true;
                return Lookup::Cached(cached);
            }
        }
        match self.absent.get(&account) {
            Some(until) if *until > now => Lookup::DoesNotExist,
            _ => Lookup::Unknown,
        }
    }

    /// Every cached account; looking here does not count as a use.
    pub(super) fn all(&self) -> impl Iterator<Item = (Account, CachedAccount)> {
        self.states.iter().filter_map(|(account, state)| Some((*account, state.cached()?)))
    }

    pub(super) fn open_holds(&self, account: Account) -> Vec<(EventId, Amount)> {
        let Some(state) = self.states.get(&account) else { return Vec::new() };
        state.open.iter().map(|(event_id, amount)| (event_id.clone(), *amount)).collect()
    }

    pub(super) fn is_open(&self, account: Account, event_id: &EventId) -> bool {
        self.states.get(&account).is_some_and(|state| state.open.contains_key(event_id))
    }

    /// Records an open hold; one that is there already stays as it is.
    pub(super) fn open(&mut self, account: Account, event_id: EventId, amount: Amount) {
        let is_new = !self.states.contains_key(&account);
        let state = self.states.entry(account).or_default();
        if state.open.contains_key(&event_id) {
            return;
        }
        // An account whose holds pass 64 bits could not have been made by holds: each was covered by a balance of 64 bits.
        state.held = state.held.plus(amount).unwrap_or(Amount(i64::MAX));
        state.open.insert(event_id, amount);
        if is_new {
            self.by_age.push_back(account);
        }
    }

    pub(super) fn lease(&mut self, account: Account, lease: Lease) -> Option<Lease> {
        if matches!(self.look(account), Lookup::Cached(_)) {
            return None;
        }
        let now = Instant::now();
        if self.leases.get(&account).is_some_and(|(_, until)| *until > now) {
            return None;
        }
        self.leases.insert(account, (lease, now + self.lifetimes.lease));
        Some(lease)
    }

    pub(super) fn fill(&mut self, account: Account, lease: Lease, settled: Option<Settled>) -> bool {
        let now = Instant::now();
        let is_mine = self.leases.get(&account).is_some_and(|(held, until)| *held == lease && *until > now);
        if !is_mine || matches!(self.look(account), Lookup::Cached(_)) {
            return false;
        }
        self.leases.remove(&account);
        let Some(settled) = settled else {
            self.absent.insert(account, now + self.lifetimes.absent);
            return true;
        };
        self.absent.remove(&account);
        let is_new = !self.states.contains_key(&account);
        let state = self.states.entry(account).or_default();
        state.settled = Some(settled);
        state.used_at = Some(now);
        if is_new {
            self.by_age.push_back(account);
            self.make_room();
        }
        true
    }

    pub(super) fn release(&mut self, account: Account, events: &[EventId], settled: Option<Settled>) {
        let Some(state) = self.states.get_mut(&account) else {
            self.start_over(account);
            return;
        };
        for event_id in events {
            if let Some(amount) = state.open.remove(event_id) {
                state.held = state.held.minus(amount).unwrap_or(Amount::ZERO);
            }
        }
        let Some(cached) = &mut state.settled else {
            // Not filled since the restart, or expired: as good as absent.
            self.start_over(account);
            return;
        };
        if let Some(newer) = settled.filter(|settled| settled.version > cached.version) {
            *cached = newer;
        }
        state.used_at = Some(Instant::now());
    }

    /// A load under way has read the database too early; and a user that did not exist may exist now.
    fn start_over(&mut self, account: Account) {
        self.leases.remove(&account);
        self.absent.remove(&account);
    }

    fn make_room(&mut self) {
        let mut looked_at = 0;
        while self.states.len() > self.len_max && looked_at < LOOKED_AT_MAX {
            looked_at += 1;
            let Some(account) = self.by_age.pop_front() else { return };
            let Some(state) = self.states.get_mut(&account) else { continue };
            if state.open.is_empty() && !state.used_again {
                self.states.remove(&account);
            } else {
                state.used_again = false;
                self.by_age.push_back(account);
            }
        }
    }

    /// Removes what has expired.
    pub(super) fn sweep(&mut self) {
        let now = Instant::now();
        let lifetime = self.lifetimes.account;
        self.states.retain(|account, state| !state.is_expired(*account, now, lifetime));
        let states = &self.states;
        self.by_age.retain(|account| states.contains_key(account));
        self.absent.retain(|_, until| *until > now);
        self.leases.retain(|_, (_, until)| *until > now);
    }
}
