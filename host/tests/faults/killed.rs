//! Hosts that are killed and silent, once and again.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::world::{Setup, World};

/// Kills at random moments.
const KILLS: usize = 6;

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_killed_and_comes_back_loses_nothing() {
    let mut world = World::open(Setup::new("host_killed")).await;
    world.load.answered(200).await;
    world.hosts[0].kill();
    world.load.answered(200).await;
    world.hosts[0].start().await;
    world.load.answered(200).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_hosts_that_are_killed_at_once_lose_nothing() {
    let mut world = World::open(Setup::new("all_hosts_killed")).await;
    for _ in 0..2 {
        world.load.answered(200).await;
        world.hosts.iter_mut().for_each(crate::hosts::Host::kill);
        futures::future::join_all(world.hosts.iter_mut().map(crate::hosts::Host::start)).await;
    }
    world.load.answered(200).await;
    world.finish().await;
}

/// Among these moments are those between publishing and removing, and between the database's commit and that of the offsets: what was
/// published is published again, what was settled is delivered again.
#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_are_killed_at_random_moments_again_and_again_settle_everything_once() {
    let mut world = World::open(Setup::new("random_kills")).await;
    let mut random = StdRng::seed_from_u64(rand::random());
    for kill in 0..KILLS {
        world.load.answered(random.random_range(10..60)).await;
        let host = kill % world.hosts.len();
        world.hosts[host].kill();
        world.hosts[host].start().await;
    }
    world.finish().await;
}

/// A host that was silent for longer than its leases last believes that it still holds them.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_silent_for_longer_than_its_leases_does_no_harm() {
    let world = World::open(Setup::new("host_paused")).await;
    world.load.answered(200).await;
    world.hosts[0].pause();
    tokio::time::sleep(Duration::from_secs(7)).await;
    world.hosts[0].resume();
    world.load.answered(200).await;
    world.finish().await;
}
