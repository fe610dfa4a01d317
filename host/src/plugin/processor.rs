//! How long a call has been on a processor. While it waits for a backend, no time passes for it.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What is there while the call is not on a processor.
const AWAY: u64 = u64::MAX;

/// The time of an instance's call. Guest code runs only while the call's future is polled.
pub(crate) struct ProcessorTime {
    base: Instant,
    /// Of the polls that are over, in nanoseconds.
    before_ns: AtomicU64,
    /// When the poll that is under way began, after `base`.
    since_ns: AtomicU64,
}

impl ProcessorTime {
    pub(crate) fn new() -> Self {
        Self { base: Instant::now(), before_ns: AtomicU64::new(0), since_ns: AtomicU64::new(AWAY) }
    }

    /// Runs a call to its end, and counts from 0.
    pub(crate) async fn of<F: Future>(&self, call: F) -> F::Output {
        self.before_ns.store(0, Ordering::Relaxed);
        let mut call = pin!(call);
        poll_fn(|context| {
            self.since_ns.store(self.now_ns(), Ordering::Relaxed);
            let polled = call.as_mut().poll(context);
            self.before_ns.store(self.spent_ns(), Ordering::Relaxed);
            self.since_ns.store(AWAY, Ordering::Relaxed);
            polled
        })
        .await
    }

    /// Since the call began.
    pub(crate) fn spent(&self) -> Duration {
        Duration::from_nanos(self.spent_ns())
    }

    fn spent_ns(&self) -> u64 {
        let before = self.before_ns.load(Ordering::Relaxed);
        match self.since_ns.load(Ordering::Relaxed) {
            AWAY => before,
            since => before.saturating_add(self.now_ns().saturating_sub(since)),
        }
    }

    fn now_ns(&self) -> u64 {
        u64::try_from(self.base.elapsed().as_nanos()).unwrap_or(AWAY - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_waits_is_not_on_a_processor_and_what_runs_is() {
        let time = ProcessorTime::new();
        let run = || {
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_millis(20) {}
        };
        let call = async {
            run();
            tokio::time::sleep(Duration::from_secs(2)).await;
            run();
            time.spent()
        };
        let spent = time.of(call).await;
        assert!(spent >= Duration::from_millis(40), "{spent:?}");
        assert!(spent < Duration::from_secs(2), "{spent:?}");
        assert!(time.spent() >= spent);
        time.of(async {}).await;
        assert!(time.spent() < Duration::from_millis(40), "the next call counts from 0: {:?}", time.spent());
    }
}
