//! What the neighbours notice of a plugin that fails outside its routes, or that floods what all share: nothing.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use greenroom::plugin::{Bounds, Occasion, Plugin, Verdict};
use parking_lot::Mutex;
use serde_json::json;

use crate::{Bench, ask, bench, bench_within, bounds, calls, context, delivery, fine, guest, reason, request};

/// How long the neighbour's calls may take before they fail: `timeout-ms` of its manifest.
const TIMEOUT: Duration = Duration::from_secs(3);
/// How often a guest misbehaves at least.
const ATTACKS_MIN: usize = 30;

/// A plugin that does what it is told, with time enough to do it.
async fn hostile(bench: &Bench) -> Arc<Plugin> {
    let mut manifest = guest::manifest("hostile");
    manifest["limits"] = json!({ "deadline-ms": 5_000, "timeout-ms": 30_000 });
    let component = guest::component(include_str!("hostile.wat"), guest::ALL_IMPORTS, &guest::EXPORTS);
    bench.registry.install(&guest::packed(&component, &manifest)).await.unwrap()
}

/// Misbehaves again and again while a neighbour is called all the time: all of its calls are answered, and far from its time limit.
async fn beside(bench: &Bench, attack: impl AsyncFn()) {
    let neighbour = context(&bench.registry.install(&guest::hostile("neighbour")).await.unwrap());
    let (attacks, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let attacking = async {
        while !over.load(Ordering::SeqCst) {
            attack().await;
            attacks.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
        }
    };
    let calling = async {
        let took = calls(&bench.registry, &neighbour, || attacks.load(Ordering::SeqCst) < ATTACKS_MIN).await;
        over.store(true, Ordering::SeqCst);
        took
    };
    let ((), mut took) = tokio::join!(attacking, calling);
    took.sort_unstable();
    let (p50, p99) = (took[took.len() / 2], took[took.len() * 99 / 100]);
    assert!(p50 < TIMEOUT / 30 && p99 < TIMEOUT / 5, "{p50:?} at the median, {p99:?} at the 99th percentile");
}

#[tokio::test]
async fn a_trap_in_the_consumer_delays_no_neighbour() {
    let bench = bench().await;
    let plugin = hostile(&bench).await;
    let batch = ["a", "t", "a"].map(|payload| delivery(1, payload));
    beside(&bench, async || {
        let verdicts = bench.registry.consume(&plugin, &batch, &[1; 3]).await.unwrap();
        assert!(matches!(verdicts[..], [Verdict::Ack, Verdict::RetryAfter(_), Verdict::Ack]), "{verdicts:?}");
    })
    .await;
}

#[tokio::test]
async fn a_trap_in_the_lifecycle_delays_no_neighbour() {
    let bench = bench().await;
    let plugin = hostile(&bench).await;
    beside(&bench, async || {
        // A room of its own each time, and a call that is answered between two that are not: no circuit opens.
        let room = context(&plugin);
        let trap = bench.registry.lifecycle(&room, Occasion::StreamEnded).await.unwrap_err();
        assert!(reason(trap).contains("unreachable"));
        assert_eq!(bench.registry.lifecycle(&room, Occasion::Enabled).await.unwrap(), Ok(()));
    })
    .await;
}

#[tokio::test]
async fn a_trap_in_a_timer_delays_no_neighbour() {
    let bench = bench().await;
    let plugin = hostile(&bench).await;
    beside(&bench, async || {
        let room = context(&plugin);
        let trap = bench.registry.fire(&room, "key", b"t").await.unwrap_err();
        assert!(reason(trap).contains("unreachable"));
        assert_eq!(bench.registry.fire(&room, "key", b"a").await.unwrap(), Ok(()));
    })
    .await;
}

#[tokio::test]
async fn a_flood_of_pushes_delays_no_neighbour() {
    let bench = bench().await;
    let plugin = hostile(&bench).await;
    beside(&bench, async || assert_eq!(ask(&bench, &plugin, "p").await.unwrap(), fine())).await;
    let pushes = std::mem::take(&mut *bench.house.watched.pushes.lock());
    assert_eq!(pushes.len() % 16, 0, "each call's sixteen, and no more");
    assert!(pushes.len() >= 16 * ATTACKS_MIN);
}

/// Keeps count of what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Written>>);

#[derive(Default)]
struct Written {
    lines: usize,
    longest: usize,
}

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        let mut written = self.0.lock();
        written.lines += 1;
        written.longest = written.longest.max(line.len());
        Ok(line.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_flood_of_giant_log_lines_is_cut_and_delays_no_neighbour() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
    let _logging = tracing::subscriber::set_default(subscriber);
    let bench = bench().await;
    let plugin = hostile(&bench).await;
    let calls = AtomicUsize::new(0);
    beside(&bench, async || {
        assert_eq!(ask(&bench, &plugin, "L").await.unwrap(), fine());
        calls.fetch_add(1, Ordering::SeqCst);
    })
    .await;
    let (written, calls) = (log.0.lock(), calls.into_inner());
    // A hundred lines of each call and one that says how many were left out; the host's own lines are few.
    assert!((101 * calls..101 * calls + 50).contains(&written.lines), "{} lines of {calls} calls", written.lines);
    assert!((4_096..5_000).contains(&written.longest), "{} bytes in one line", written.longest);
}

/// The example plugin as it was built from Rust, in less memory than a long greeting needs. Its code has no `panic!` that a request
/// could reach, but an allocation that fails ends in the same way: the standard library's handler aborts, which in a component that
/// is built with `panic = "abort"` is `unreachable`, and no message gets out.
#[tokio::test]
async fn a_guest_in_rust_that_aborts_ends_one_call_and_delays_no_neighbour() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/plugins/hello.wasm");
    let wasm =
        std::fs::read(&file).unwrap_or_else(|_| panic!("no {}: run `cargo xtask plugins` first", file.display()));
    let memory_bytes_max = 24 * 65_536;
    let bench = bench_within(Bounds { memory_bytes_max, ..bounds() }).await;
    let plugin = bench.registry.install(&wasm).await.unwrap();
    let greet = async |len: usize| {
        let mut room = Arc::into_inner(context(&plugin)).unwrap();
        room.id = len as u64;
        room.config_json = json!({ "greeting": "x".repeat(len) }).to_string().into();
        bench.registry.api(&Arc::new(room), request("{}")).await
    };
    beside(&bench, async || {
        let aborted = reason(greet(150_000).await.unwrap_err());
        assert!(aborted.contains("unreachable") && aborted.contains("refused more than 1572864 bytes"), "{aborted}");
        assert_eq!(greet(5).await.unwrap().unwrap().status, 200, "the next call of the same plugin is answered");
    })
    .await;
}
