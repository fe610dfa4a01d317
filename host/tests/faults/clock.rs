//! Hosts whose clocks differ, and jump.
//!
//! The program has no way to be told a wrong time, so its clock is set from outside: a library of a few lines in C (`clock.c`, which says why
//! not libfaketime) is preloaded. Only the time of day is touched.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use crate::services::folder;
use crate::world::{Setup, World};

const HOUR_S: i64 = 3_600;
const DAY_S: i64 = 24 * HOUR_S;

/// The library, built once.
static LIBRARY: LazyLock<PathBuf> = LazyLock::new(|| {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/clock.c");
    let library = folder().join("clock.so");
    std::fs::create_dir_all(folder()).unwrap();
    let built = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).args([&library, &source]).status();
    assert!(built.expect("a C compiler is needed").success());
    library
});

/// Where a host reads by how many seconds its clock is wrong.
fn file(host: usize) -> PathBuf {
    folder().join(format!("clock-{host}"))
}

/// Sets a host's clock off, at once. The file is written in place, because the host has it mapped.
fn set(host: usize, offset_s: i64) {
    use std::os::unix::fs::FileExt;
    let file = std::fs::OpenOptions::new().create(true).truncate(false).write(true).open(file(host)).unwrap();
    file.write_all_at(&offset_s.to_ne_bytes(), 0).unwrap();
}

fn environment(host: usize) -> Vec<(String, String)> {
    let keys = [("LD_PRELOAD", &*LIBRARY), ("CLOCK_OFFSET", &file(host))];
    keys.map(|(name, path)| (name.to_owned(), path.display().to_string())).to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_whose_clocks_differ_and_jump_by_days_settle_everything_once() {
    let environments = (0..3).map(environment).collect();
    set(0, 0);
    set(1, HOUR_S);
    set(2, -HOUR_S / 3);
    let mut world = World::open(Setup::new("clock_jumps").host_environment(environments)).await;
    world.load.answered(100).await;
    // Further than the cache remembers outcomes, and back again.
    for (first, second) in [(3 * DAY_S, -3 * DAY_S), (-3 * DAY_S, 3 * DAY_S), (HOUR_S, -HOUR_S)] {
        set(1, first);
        set(2, second);
        world.load.answered(100).await;
    }
    // A new start by a wrong clock, with events on their way that are older or newer than it.
    set(1, -5 * DAY_S);
    world.hosts[1].kill();
    world.hosts[1].start().await;
    world.load.answered(100).await;
    world.finish().await;
}
