//! The course of a combo, over counters and timers played by hand.

use std::collections::BTreeMap;

use super::*;

const WINDOW_MS: u32 = 5_000;
const KEPT_MS: u64 = 605_000;

/// A viewer's shard of the cache, the timers and the pushes, over a clock that the test moves.
#[derive(Default)]
struct World {
    now_ms: u64,
    counters: BTreeMap<&'static str, (i64, u64)>,
    written: Option<Open>,
    timer: Option<(u64, Open)>,
    pushed: BTreeMap<String, Sums>,
    pushes: usize,
}

impl World {
    fn counter(&self, key: &str) -> i64 {
        self.counters.get(key).filter(|(_, until)| *until > self.now_ms).map_or(0, |(value, _)| *value)
    }

    fn add(&mut self, key: &'static str, delta: i64, ttl_ms: u64) -> i64 {
        let value = self.counter(key) + delta;
        self.counters.insert(key, (value, self.now_ms + ttl_ms));
        value
    }

    fn push(&mut self, open: &Open, sums: Sums) {
        self.pushes += 1;
        self.pushed.entry(open.first_event_id.clone()).or_insert(sums);
    }

    /// Sends `count` gifts of price 10; returns the rising count and the counters.
    fn hit(&mut self, event_id: &str, count: u32, is_last: bool) -> (i64, Vec<i64>) {
        let amount = i64::from(count) * 10;
        let rising = self.add("rising", i64::from(count), u64::from(WINDOW_MS));
        let counters = vec![rising, self.add("count", i64::from(count), KEPT_MS), self.add("sum", amount, KEPT_MS)];
        self.follow(event_id, count, is_last, false, &counters);
        (rising, counters)
    }

    fn follow(&mut self, event_id: &str, count: u32, is_last: bool, is_replayed: bool, counters: &[i64]) {
        let amount = Amount::new(i64::from(count) * 10);
        let gift_id = Id::new(2002).unwrap();
        let hit = Hit { combo_id: "c1", gift_id, payer: 7, event_id, count, amount, is_last, is_replayed };
        let plan = after_hit(&hit, Place::of(&hit, counters).unwrap(), self.written.as_ref(), WINDOW_MS);
        for (open, sums) in &plan.closings {
            self.push(open, *sums);
        }
        match plan.then {
            Then::Nothing => {}
            Then::Open(open) => self.open(open),
            Then::OpenIfAbsent(open) => {
                if self.counter("rising") > 0 && self.written.is_none() {
                    self.open(open);
                }
            }
            Then::Forget => self.forget(),
        }
    }

    fn open(&mut self, open: Open) {
        self.timer = Some((self.now_ms + u64::from(open.window_ms), open.clone()));
        self.written = Some(open);
    }

    fn forget(&mut self) {
        self.counters.clear();
        self.written = None;
        self.timer = None;
    }

    /// Moves the clock and fires what is due on the way.
    fn wait(&mut self, ms: u64) {
        let end = self.now_ms + ms;
        while let Some((at_ms, open)) = self.timer.take_if(|(at_ms, _)| *at_ms <= end) {
            self.now_ms = at_ms;
            self.fire(&open);
        }
        self.now_ms = end;
    }

    fn fire(&mut self, mine: &Open) {
        let sums = Sums { count: self.counter("count"), amount: self.counter("sum") };
        match on_timer(mine, self.written.as_ref(), sums, self.counter("rising")) {
            Fired::Nothing => {}
            Fired::WaitOn { after_ms } => self.timer = Some((self.now_ms + after_ms, mine.clone())),
            Fired::Close(sums) => {
                self.push(mine, sums);
                self.forget();
            }
        }
    }

    fn closed(&self) -> Vec<(&str, i64, i64)> {
        self.pushed.iter().map(|(first, sums)| (first.as_str(), sums.count, sums.amount)).collect()
    }
}

#[test]
fn the_count_rises_within_the_window_and_the_last_hit_closes_once() {
    let mut world = World::default();
    assert_eq!(world.hit("e1", 1, false).0, 1);
    world.wait(4_999);
    assert_eq!(world.hit("e2", 2, false).0, 3);
    world.wait(4_999);
    assert_eq!(world.hit("e3", 1, true).0, 4);
    world.wait(60_000);
    assert_eq!(world.closed(), [("e1", 4, 40)]);
    assert_eq!(world.pushes, 1);
}

#[test]
fn a_combo_whose_window_runs_out_is_closed_by_its_timer() {
    let mut world = World::default();
    world.hit("e1", 1, false);
    world.wait(3_000);
    world.hit("e2", 1, false);
    world.wait(5_000);
    assert_eq!(world.closed(), [] as [(&str, i64, i64); 0]);
    world.wait(2_500);
    assert_eq!(world.closed(), [("e1", 2, 20)]);
    assert_eq!((world.pushes, world.timer.is_none()), (1, true));
}

#[test]
fn the_next_combo_under_the_same_id_closes_the_one_before_it_and_begins_at_one() {
    let mut world = World::default();
    world.hit("e1", 1, false);
    world.wait(4_000);
    world.hit("e2", 1, false);
    // The window of e2 ends at 9,000; the timer looks at 7,500 and at 10,000.
    world.wait(5_500);
    assert_eq!(world.hit("f1", 3, false).0, 3);
    assert_eq!(world.closed(), [("e1", 2, 20)]);
    world.wait(20_000);
    assert_eq!(world.closed(), [("e1", 2, 20), ("f1", 3, 30)]);
    assert_eq!(world.pushes, 2);
}

#[test]
fn a_combo_of_one_hit_is_closed_at_once() {
    let mut world = World::default();
    world.hit("e1", 5, true);
    assert_eq!(world.closed(), [("e1", 5, 50)]);
    assert!(world.timer.is_none());
}

#[test]
fn repetitions_change_nothing() {
    let mut world = World::default();
    let (_, first) = world.hit("e1", 1, false);
    let (_, last) = world.hit("e2", 1, true);
    world.follow("e1", 1, false, true, &first);
    world.follow("e2", 1, true, true, &last);
    assert_eq!((world.pushes, world.timer.is_none()), (1, true));
    // Nor do they touch a newer combo under the same id.
    world.hit("f1", 7, false);
    world.follow("e2", 1, true, true, &last);
    world.follow("e1", 1, false, true, &first);
    world.wait(20_000);
    assert_eq!(world.closed(), [("e1", 2, 20), ("f1", 7, 70)]);
}

#[test]
fn a_first_hit_whose_follow_up_was_lost_is_made_good_by_its_repetition() {
    let mut world = World::default();
    let (_, counters) = world.hit("e1", 1, false);
    world.written = None;
    world.timer = None;
    world.follow("e1", 1, false, true, &counters);
    world.wait(20_000);
    assert_eq!(world.closed(), [("e1", 1, 10)]);
}

#[test]
fn any_sequence_of_hits_is_closed_completely_and_each_combo_once() {
    use proptest::prelude::*;
    proptest!(|(hits in prop::collection::vec((0_u64..9_000, 1_u32..5, prop::bool::weighted(0.2)), 1..40))| {
        let mut world = World::default();
        let mut sent = 0;
        for (index, (wait_ms, count, is_last)) in hits.into_iter().enumerate() {
            world.wait(wait_ms);
            world.hit(&format!("e{index:02}"), count, is_last);
            sent += i64::from(count);
        }
        world.wait(60_000);
        let told: i64 = world.pushed.values().map(|sums| sums.count).sum();
        prop_assert_eq!(told, sent);
        prop_assert_eq!(world.pushes, world.pushed.len());
        prop_assert!(world.timer.is_none() && world.written.is_none());
    });
}
