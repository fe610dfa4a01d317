//! Hosts whose clocks differ, and jump.
//!
//! The clocks are set with libfaketime, which Debian packages: the program itself has no way to be told a wrong time. Only the time of day is
//! touched; the monotonic clock, by which leases and time-outs are measured, cannot be set on a real machine either.

use std::path::PathBuf;

use greenroom_services::faketime;

use crate::services::folder;
use crate::world::{Setup, World};

/// Where a host reads by how much its clock is wrong, once a second.
fn file(host: usize) -> PathBuf {
    folder().join(format!("clock-{host}"))
}

/// Sets a host's clock off by `offset`, such as "-2d".
fn set(host: usize, offset: &str) {
    let new = file(host).with_extension("new");
    std::fs::write(&new, offset).unwrap();
    std::fs::rename(new, file(host)).unwrap();
}

fn environment(host: usize) -> Vec<(String, String)> {
    let keys = [
        ("LD_PRELOAD", faketime().unwrap().display().to_string()),
        ("FAKETIME_TIMESTAMP_FILE", file(host).display().to_string()),
        ("FAKETIME_CACHE_DURATION", "1".to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
    ];
    keys.map(|(name, value)| (name.to_owned(), value)).to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_whose_clocks_differ_and_jump_by_days_settle_everything_once() {
    std::fs::create_dir_all(folder()).unwrap();
    set(1, "+50m");
    set(2, "-20m");
    let environments = vec![Vec::new(), environment(1), environment(2)];
    let mut world = World::open(Setup::new("clock_jumps").host_environment(environments)).await;
    world.load.answered(150).await;
    // Further than outcomes are remembered by the cache, and back again.
    for (first, second) in [("+3d", "-3d"), ("-3d", "+3d"), ("+1h", "-1h")] {
        set(1, first);
        set(2, second);
        tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
        world.load.answered(100).await;
    }
    // A new start by a wrong clock, while what was set aside or held is older or newer than it.
    set(1, "-5d");
    world.hosts[1].kill();
    world.hosts[1].start().await;
    world.load.answered(100).await;
    world.finish().await;
}
