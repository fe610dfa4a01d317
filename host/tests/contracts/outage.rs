//! What the guard of every backend has to do, whatever the backend is: behind a network that swallows everything, calls are refused at
//! once after a while, and they succeed again after another.

use std::time::{Duration, Instant};

use greenroom::adapters::guard::Guard;
use greenroom::breaker::Circuit;
use greenroom::telemetry::Metrics;

use crate::proxy::Proxy;

/// Many time-outs.
const PATIENCE: Duration = Duration::from_secs(60);
const CALLS: u32 = 2_000;

/// Waits until a call succeeds: on a busy machine not each does in its time.
async fn works<E: std::fmt::Display>(call: &impl AsyncFn() -> Result<(), E>) {
    let begun = Instant::now();
    while let Err(error) = call().await {
        assert!(begun.elapsed() < PATIENCE, "it does not work: {error}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// `call` is one whose time-out is a third of a second or longer.
pub(crate) async fn is_borne<E: std::fmt::Display>(
    guard: &Guard,
    proxy: &Proxy,
    call: impl AsyncFn() -> Result<(), E>,
) {
    let metrics = Metrics::install().unwrap();
    works(&call).await;
    proxy.drop_all();
    let begun = Instant::now();
    while !matches!(guard.breaker().circuit(), Circuit::Open(_)) {
        assert!(call().await.is_err(), "nothing is behind the network");
        assert!(begun.elapsed() < PATIENCE, "the circuit never opened");
    }
    let (begun, rejected) = (Instant::now(), guard.breaker().rejected());
    for _ in 0..CALLS {
        assert!(call().await.is_err(), "nothing is behind the network");
    }
    let (took, rejected) = (begun.elapsed(), guard.breaker().rejected() - rejected);
    assert!(rejected > u64::from(CALLS) * 9 / 10, "only {rejected} were refused at once");
    assert!(took < CALLS * Duration::from_millis(300) / 10, "{CALLS} calls took {took:?}");
    proxy.pass();
    let begun = Instant::now();
    works(&call).await;
    println!("{}: works again {:?} after the network did", guard.backend(), begun.elapsed());
    assert_eq!(guard.breaker().circuit(), Circuit::Closed);
    let text = metrics.render();
    for name in ["circuit", "failures_total", "rejected_total"] {
        let series = format!("greenroom_backend_{name}{{backend=\"{}\"}}", guard.backend());
        assert!(text.contains(&series), "{series} is not among the metrics");
    }
}
