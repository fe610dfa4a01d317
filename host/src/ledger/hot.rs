//! Which rooms, payers and receivers have most events now: for operators, in `/metrics`.
//!
//! Counted over a sliding window of [`PANES`] panes with the space-saving algorithm (Metwally, Agrawal, El Abbadi 2005): so many counters,
//! and a key that has none takes over the smallest one with its count, which is remembered as what the key may not have earned. A key
//! with more than a [`COUNTERS`]th of all events always has a counter. Memory is fixed, and so is the time of an event: a look into a map,
//! or a pass over the counters.

use std::collections::HashMap;

use parking_lot::Mutex;

/// Counters of each kind of key.
const COUNTERS: usize = 64;
/// The window is this many panes long, the newest of which is not over yet.
const PANES: usize = 6;
const PANE_MS: u64 = 10_000;
/// Keys that are told.
const TOLD: usize = 10;
/// A key is hot if it surely has a fiftieth of all events of the window, and no fewer than this many.
const HOT_MIN: u64 = 100;
const HOT_SHARE: u64 = 50;

/// One count for each pane.
type Panes = [u64; PANES];

#[derive(Debug, Clone, Copy)]
struct Counter {
    key: i64,
    counted: Panes,
    /// What was taken over from the keys before.
    inherited: Panes,
}

/// The keys of one kind.
#[derive(Debug, Default)]
struct Keys {
    counters: Vec<Counter>,
    places: HashMap<i64, usize>,
    /// Sums of the counters, side by side because the smallest is looked for often.
    sums: Vec<u64>,
    all: Panes,
    /// The number of the newest pane.
    pane: u64,
}

impl Keys {
    fn count(&mut self, key: i64, events: u64, now_ms: u64) {
        self.turn(now_ms);
        let pane = index(self.pane);
        let place = match self.places.get(&key) {
            Some(place) => *place,
            None => self.take(key),
        };
        if let (Some(counter), Some(sum)) = (self.counters.get_mut(place), self.sums.get_mut(place)) {
            add(&mut counter.counted, pane, events);
            *sum = sum.saturating_add(events);
        }
        add(&mut self.all, pane, events);
    }

    /// A counter for a new key: an unused one, or the smallest.
    fn take(&mut self, key: i64) -> usize {
        let place = if self.counters.len() < COUNTERS {
            self.counters.push(Counter { key, counted: [0; PANES], inherited: [0; PANES] });
            self.sums.push(0);
            self.counters.len() - 1
        } else {
            let smallest = self.sums.iter().enumerate().min_by_key(|(_, sum)| **sum).map_or(0, |(place, _)| place);
            if let Some(counter) = self.counters.get_mut(smallest) {
                self.places.remove(&counter.key);
                *counter = Counter { key, counted: counter.counted, inherited: counter.counted };
            }
            smallest
        };
        self.places.insert(key, place);
        place
    }

    /// Empties the panes that are no longer in the window. A clock that goes back counts into the newest pane.
    fn turn(&mut self, now_ms: u64) {
        let now = now_ms / PANE_MS;
        if now <= self.pane {
            return;
        }
        let passed = (now - self.pane).min(PANES as u64);
        for gone in (now + 1 - passed..=now).map(index) {
            clear(&mut self.all, gone);
            for counter in &mut self.counters {
                clear(&mut counter.counted, gone);
                clear(&mut counter.inherited, gone);
            }
        }
        for (sum, counter) in self.sums.iter_mut().zip(&self.counters) {
            *sum = counter.counted.iter().sum();
        }
        self.pane = now;
    }

    /// The hot keys with at least so many events each, most first.
    fn hot(&mut self, now_ms: u64) -> Vec<(i64, u64)> {
        self.turn(now_ms);
        let least = HOT_MIN.max(self.all.iter().sum::<u64>() / HOT_SHARE);
        let earned = |counter: &Counter| {
            let sure = counter.counted.iter().zip(&counter.inherited).map(|(all, before)| all.saturating_sub(*before));
            (counter.key, sure.sum::<u64>())
        };
        let mut hot: Vec<(i64, u64)> = self.counters.iter().map(earned).filter(|(_, sure)| *sure >= least).collect();
        hot.sort_unstable_by_key(|(key, sure)| (std::cmp::Reverse(*sure), *key));
        hot.truncate(TOLD);
        hot
    }
}

fn index(pane: u64) -> usize {
    usize::try_from(pane % PANES as u64).unwrap_or(0)
}

fn add(panes: &mut Panes, pane: usize, events: u64) {
    if let Some(count) = panes.get_mut(pane) {
        *count = count.saturating_add(events);
    }
}

fn clear(panes: &mut Panes, pane: usize) {
    if let Some(count) = panes.get_mut(pane) {
        *count = 0;
    }
}

/// A kind of key that can be hot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// By holds.
    Room,
    /// By holds.
    Payer,
    /// By postings.
    Receiver,
}

impl Kind {
    const ALL: [Kind; 3] = [Kind::Room, Kind::Payer, Kind::Receiver];

    /// As metrics call it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Room => "room",
            Kind::Payer => "payer",
            Kind::Receiver => "receiver",
        }
    }
}

/// The hot keys of this process.
#[derive(Debug, Default)]
pub struct Hot {
    rooms: Mutex<Keys>,
    payers: Mutex<Keys>,
    receivers: Mutex<Keys>,
}

impl Hot {
    /// Counts events of a key, at a time in milliseconds.
    pub fn count(&self, kind: Kind, key: i64, events: u64, now_ms: u64) {
        self.keys(kind).lock().count(key, events, now_ms);
    }

    /// What is hot now: kind, key and the events it has had for sure in the last minute; at most ten of a kind, most first.
    #[must_use]
    pub fn now(&self, now_ms: u64) -> Vec<(Kind, i64, u64)> {
        let of = |kind| self.keys(kind).lock().hot(now_ms).into_iter().map(move |(key, events)| (kind, key, events));
        Kind::ALL.into_iter().flat_map(of).collect()
    }

    fn keys(&self, kind: Kind) -> &Mutex<Keys> {
        match kind {
            Kind::Room => &self.rooms,
            Kind::Payer => &self.payers,
            Kind::Receiver => &self.receivers,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WINDOW_MS: u64 = PANES as u64 * PANE_MS;

    #[test]
    fn a_key_is_hot_for_as_long_as_the_window_has_its_events() {
        let hot = Hot::default();
        for event in 0..1_000 {
            hot.count(Kind::Room, 7, 1, event);
            hot.count(Kind::Room, 1_000 + event as i64, 1, event);
        }
        let now = hot.now(1_000);
        assert_eq!(now, [(Kind::Room, 7, 1_000)]);
        assert_eq!(hot.now(WINDOW_MS - 1).len(), 1);
        assert_eq!(hot.now(WINDOW_MS), []);
    }

    #[test]
    fn nothing_is_hot_where_all_are_alike_or_few() {
        let hot = Hot::default();
        (0..100_000).for_each(|event| hot.count(Kind::Payer, event % 5_000, 1, 0));
        (0..HOT_MIN - 1).for_each(|_| hot.count(Kind::Room, 1, 1, 0));
        assert_eq!(hot.now(0), []);
    }

    #[test]
    fn ten_are_told_the_hottest_first() {
        let hot = Hot::default();
        (1..=20).for_each(|key| hot.count(Kind::Receiver, key, 1_000 + key.unsigned_abs(), 0));
        let keys: Vec<i64> = hot.now(0).into_iter().map(|(_, key, _)| key).collect();
        assert_eq!(keys, (11..=20).rev().collect::<Vec<i64>>());
    }

    proptest! {
        /// However keys come: what is told is never more than what was, and what has more than its share is always there.
        #[test]
        fn counts_are_lower_bounds_and_no_heavy_key_is_missed(keys in prop::collection::vec(0i64..200, 1..4_000)) {
            let mut counted = Keys::default();
            let mut truth: HashMap<i64, u64> = HashMap::new();
            for key in &keys {
                counted.count(*key, 1, 0);
                *truth.entry(*key).or_default() += 1;
            }
            for (key, sure) in counted.hot(0) {
                prop_assert!(sure <= truth[&key]);
            }
            let heavy = truth.iter().filter(|(_, count)| **count > keys.len() as u64 / COUNTERS as u64);
            for (key, count) in heavy {
                let counter = counted.counters[counted.places[key]];
                prop_assert!(counter.counted.iter().sum::<u64>() >= *count);
            }
            prop_assert!(counted.counters.len() <= COUNTERS && counted.places.len() == counted.counters.len());
        }
    }
}
