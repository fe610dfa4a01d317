//! Timers of several processes over one cache.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use greenroom::domain::RoomId;
use greenroom::ports::clock::Clock;
use greenroom::timer::{Timer, Timers};
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
    assert_eq!(rooms(&first.due(100).await.0), all);
    assert_eq!(rooms(&second.due(100).await.0), Vec::<i64>::new());

    // Alive, the first keeps its turn for as long as it likes.
    for _ in 0..10 {
        clock.move_on(1_000);
        assert_eq!(rooms(&first.due(100).await.0), all);
        assert_eq!(rooms(&second.due(100).await.0), Vec::<i64>::new());
    }
    clock.move_on(DEATH_MS);
    let due = second.due(100).await.0;
    assert_eq!(rooms(&due), all);
    for timer in &due {
        second.fired(timer).await.unwrap();
    }
    clock.move_on(DEATH_MS);
    assert_eq!(rooms(&first.due(100).await.0), Vec::<i64>::new());
    drop((first, second));
    house.close().await;
}
