//! Faults of a single Redis.

use std::time::Duration;

use crate::load::Plan;
use crate::world::{Setup, World};

/// An operator's time to notice.
const AWAY: Duration = Duration::from_secs(2);
/// Enough for a gift of each viewer.
const IN_HAND: Duration = Duration::from_millis(500);
/// As long as Kafka answers, an event reaches it within this.
const CARRIED_WITHIN_MS: u64 = 1_000;

#[tokio::test(flavor = "multi_thread")]
async fn redis_that_is_killed_and_comes_back_with_its_data_loses_nothing() {
    let mut world = World::open(Setup::new("redis_killed")).await;
    world.load.answered(200).await;
    world.services.redis().kill().unwrap();
    tokio::time::sleep(AWAY).await;
    world.services.redis().restart().unwrap();
    world.load.answered(200).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_that_is_killed_and_comes_back_empty_loses_nothing_that_was_answered() {
    let mut world = World::open(Setup::new("redis_wiped")).await;
    world.load.answered(200).await;
    world.services.redis().wipe().unwrap();
    world.services.redis().restart().unwrap();
    world.load.answered(200).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_somebody_flushes_loses_nothing_that_was_answered() {
    let mut world = World::open(Setup::new("redis_flushed")).await;
    world.load.answered(200).await;
    // Relays have events in their hands when the cache forgets them, and publish them afterwards.
    world.services.kafka().pause_node(0).unwrap();
    tokio::time::sleep(IN_HAND).await;
    world.services.redis().redis(0, &["FLUSHALL"]).unwrap();
    world.services.kafka().resume().unwrap();
    world.load.answered(200).await;
    world.finish().await;
}

/// The loss window of `cached`, as a figure: what was answered and had not reached Kafka when the data of Redis was gone. Kafka is silent
/// for a while, so that there is something to lose; it is no longer than that, and what a relay had in its hands before.
#[tokio::test(flavor = "multi_thread")]
async fn with_cached_a_redis_that_comes_back_empty_loses_only_what_kafka_did_not_have() {
    let mut world = World::open(cached("cached_redis_wiped")).await;
    world.load.answered(300).await;
    let silent_at = world.now_ms();
    world.services.kafka().pause_node(0).unwrap();
    world.load.answered(100).await;
    world.services.redis().wipe().unwrap();
    let wiped_at = world.now_ms();
    world.services.kafka().resume().unwrap();
    world.services.redis().restart().unwrap();
    world.load.answered(100).await;
    let outcome = world.finish_with_losses().await;
    let (Some(first), Some(last)) = (outcome.lost.first(), outcome.lost.last()) else {
        panic!("nothing was lost, so this shows nothing")
    };
    println!(
        "durability cached, data of Redis gone after Kafka was silent for {} ms: {} of {} answered gifts are gone, all answered within {} ms, \
         from {} ms before the loss on",
        wiped_at - silent_at,
        outcome.lost.len(),
        outcome.answered,
        last - first,
        wiped_at - first
    );
    assert!((silent_at.saturating_sub(CARRIED_WITHIN_MS)..=wiped_at).contains(first), "{:?}", outcome.lost);
    assert!(*last <= wiped_at + CARRIED_WITHIN_MS, "{:?}", outcome.lost);
}

/// A process that is killed takes nothing with it that it gave to the kernel: `everysec` loses its second with the machine.
#[tokio::test(flavor = "multi_thread")]
async fn with_cached_a_redis_that_comes_back_with_its_data_loses_nothing() {
    let mut world = World::open(cached("cached_redis_killed")).await;
    world.load.answered(300).await;
    world.services.kafka().pause_node(0).unwrap();
    world.load.answered(50).await;
    world.services.redis().kill().unwrap();
    world.services.kafka().resume().unwrap();
    world.services.redis().restart().unwrap();
    world.load.answered(100).await;
    let outcome = world.finish_with_losses().await;
    println!("durability cached, Redis killed and its data kept: {} of {} gone", outcome.lost.len(), outcome.answered);
    assert!(outcome.lost.is_empty(), "{:?}", outcome.lost);
}

/// Nobody asks again for what may be lost, so that it is seen to be.
fn cached(scenario: &'static str) -> Setup {
    let plan = Plan { repeats: false, gives_up: false, ..Plan::default() };
    Setup::new(scenario).durability("cached").plan(plan)
}
