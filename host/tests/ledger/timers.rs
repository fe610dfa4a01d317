//! Timers of several processes over one cache.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use greenroom::domain::RoomId;
use greenroom::ports::clock::Clock;
use greenroom::timer::{Ended, Firing, SHARDS, Timer, Timers};
use tempfile::TempDir;

use crate::house::House;

/// More than a lease lasts.
const DEATH_MS: u64 = 6_000;

struct Hand(AtomicU64);

impl Hand {
    fn move_on(&self, ms: u64) {
        self.0.fetch_add(ms, Ordering::Relaxed);
    }
}

impl Clock for Hand {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What is due in every shard and of this process, as one that begins to fire finds it.
async fn due(timers: &Timers) -> Vec<Timer> {
    let mut due = Vec::new();
    for shard in 0..SHARDS {
        due.extend(timers.take(shard, &mut Firing::default()).await.unwrap().timers);
    }
    due
}

async fn end(timers: &Timers, timer: Timer, is_done: bool) {
    let shard = timer.room_id.0.unsigned_abs() % SHARDS;
    timers.end(shard, vec![Ended { timer, is_done }], &mut Firing::default()).await.unwrap();
}

fn rooms(due: &[Timer]) -> Vec<i64> {
    let mut rooms: Vec<i64> = due.iter().map(|timer| timer.room_id.0).collect();
    rooms.sort_unstable();
    rooms
}

#[tokio::test]
async fn of_two_processes_one_fires_a_timer_and_the_other_when_that_one_is_dead() {
    let dir = TempDir::new().unwrap();
    let house = House::open(&dir).await;
    let clock = Arc::new(Hand(AtomicU64::new(1_000_000)));
    let process = |name| Timers::shared(house.embedded.cache.clone(), clock.clone(), name);
    let (first, second) = (process("first"), process("second"));
    let all: Vec<i64> = (1..=40).collect();
    for room in &all {
        first.set(&"test".into(), RoomId(*room), "end", 100, b"x").await.unwrap();
    }
    clock.move_on(200);
    assert_eq!(rooms(&due(&first).await), all);
    assert_eq!(rooms(&due(&second).await), Vec::<i64>::new());

    // Alive, the first keeps its turn for as long as it likes.
    for _ in 0..10 {
        clock.move_on(1_000);
        assert_eq!(rooms(&due(&first).await), all);
        assert_eq!(rooms(&due(&second).await), Vec::<i64>::new());
    }
    clock.move_on(DEATH_MS);
    let taken = due(&second).await;
    assert_eq!(rooms(&taken), all);
    for timer in taken {
        end(&second, timer, true).await;
    }
    clock.move_on(DEATH_MS);
    assert_eq!(rooms(&due(&first).await), Vec::<i64>::new());
    drop((first, second));
    house.close().await;
}

#[tokio::test]
async fn an_ensured_timer_keeps_the_sooner_one_but_never_one_that_is_firing() {
    let dir = TempDir::new().unwrap();
    let house = House::open(&dir).await;
    let clock = Arc::new(Hand(AtomicU64::new(1_000_000)));
    let timers = Timers::new(house.embedded.cache.clone(), clock.clone());
    let ensure = async |after_ms, payload: &[u8]| {
        timers.ensure(&"test".into(), RoomId(7), "tally", after_ms, payload).await.unwrap();
    };
    ensure(500, b"first").await;
    clock.move_on(100);
    ensure(500, b"later").await;
    clock.move_on(399);
    assert_eq!(due(&timers).await, []);
    clock.move_on(1);
    ensure(500, b"due, but nobody has begun").await;
    let taken = due(&timers).await;
    assert_eq!(taken.iter().map(|timer| &timer.payload[..]).collect::<Vec<_>>(), [b"first"]);

    // What is voted now may be too late for the firing that has begun.
    ensure(500, b"second").await;
    ensure(900, b"later").await;
    end(&timers, taken.into_iter().next().unwrap(), true).await;
    clock.move_on(500);
    let taken = due(&timers).await;
    assert_eq!(taken.iter().map(|timer| &timer.payload[..]).collect::<Vec<_>>(), [b"second"]);
    ensure(100, b"sooner").await;
    clock.move_on(100);
    assert_eq!(due(&timers).await.len(), 1);
    house.close().await;
}

#[tokio::test]
async fn a_timer_that_fails_is_put_off_and_one_that_was_set_anew_stays() {
    let dir = TempDir::new().unwrap();
    let house = House::open(&dir).await;
    let clock = Arc::new(Hand(AtomicU64::new(1_000_000)));
    let timers = Timers::new(house.embedded.cache.clone(), clock.clone());
    let set = async |after_ms| {
        timers.set(&"test".into(), RoomId(7), "end", after_ms, b"x").await.unwrap();
    };
    set(0).await;
    for wait_ms in [1_000, 2_000, 4_000] {
        let timer = due(&timers).await.pop().unwrap();
        end(&timers, timer, false).await;
        clock.move_on(wait_ms - 1);
        assert_eq!(due(&timers).await, [], "{wait_ms}");
        clock.move_on(1);
    }
    let timer = due(&timers).await.pop().unwrap();
    set(0).await;
    end(&timers, timer, true).await;
    assert_eq!(due(&timers).await.len(), 1, "set anew while it was firing");
    house.close().await;
}

#[tokio::test]
async fn as_many_are_taken_as_there_is_room_for_and_when_the_next_is_due_is_told() {
    let dir = TempDir::new().unwrap();
    let house = House::open(&dir).await;
    let clock = Arc::new(Hand(AtomicU64::new(1_000_000)));
    let timers = Timers::new(house.embedded.cache.clone(), clock.clone());
    let (plugins, room) = (["one", "other"].map(Arc::<str>::from), RoomId(7));
    let set = async |numbers: std::ops::Range<u64>| {
        for number in numbers {
            for plugin in &plugins {
                timers.set(plugin, room, &format!("timer-{number}"), 100 + number, b"x").await.unwrap();
            }
        }
    };
    let take = async || timers.take(room.0.unsigned_abs() % SHARDS, &mut Firing::default()).await.unwrap();
    timers.set(&plugins[0], room, "later", 5_000, b"x").await.unwrap();
    set(0..9).await;
    clock.move_on(1_000);
    let taken = take().await;
    assert_eq!((taken.timers.len(), taken.next_ms), (18, Some(1_005_000)));
    // Each plugin has 32 places.
    set(9..200).await;
    clock.move_on(1_000);
    let taken = take().await;
    assert_eq!((taken.timers.len(), taken.next_ms), (64, None));
    // What is being fired is not taken again.
    let mut firing = Firing::default();
    let mut look = async || timers.take(room.0.unsigned_abs() % SHARDS, &mut firing).await.unwrap();
    assert_eq!(look().await.timers.len(), 64);
    assert_eq!(look().await.timers.len(), 0);
    drop(timers);
    house.close().await;
}
