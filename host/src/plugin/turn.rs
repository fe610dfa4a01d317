//! How long a call has been running without a break. While it waits for a backend it does not run.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// When an instance's call was last given a thread. Guest code runs only while the call's future is polled.
pub(crate) struct Turn {
    base: Instant,
    /// When the poll began, in nanoseconds after `base`.
    since_ns: AtomicU64,
}

impl Turn {
    pub(crate) fn new() -> Self {
        Self { base: Instant::now(), since_ns: AtomicU64::new(0) }
    }

    /// Runs a call to its end, noting each of its turns.
    pub(crate) async fn of<F: Future>(&self, call: F) -> F::Output {
        let mut call = pin!(call);
        poll_fn(|context| {
            self.since_ns.store(self.now_ns(), Ordering::Relaxed);
            call.as_mut().poll(context)
        })
        .await
    }

    /// Since the turn began.
    pub(crate) fn lasted(&self) -> Duration {
        Duration::from_nanos(self.now_ns().saturating_sub(self.since_ns.load(Ordering::Relaxed)))
    }

    fn now_ns(&self) -> u64 {
        u64::try_from(self.base.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_wait_begins_another_turn() {
        let turn = Turn::new();
        let call = async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            let after_the_wait = turn.lasted();
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_millis(20) {}
            (after_the_wait, turn.lasted())
        };
        let (after_the_wait, after_running) = turn.of(call).await;
        assert!(after_the_wait < Duration::from_secs(2), "{after_the_wait:?}");
        assert!(after_running >= Duration::from_millis(20), "{after_running:?}");
    }
}
