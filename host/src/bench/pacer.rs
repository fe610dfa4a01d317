//! The clock of an open loop: hands each request out when it is due, to whichever connection is free.
//!
//! A thread of its own, because the runtime's timers are only exact to a millisecond, which would be in every latency. What
//! is due and not yet taken waits in a queue of at most [`WAITING_LEN_MAX`]; beyond it the pacer waits, and the waiting is
//! still in the latency, as a request keeps the time at which it was due.

use std::collections::VecDeque;
use std::thread::sleep;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::pace::Pace;
use super::plan::{Plan, Request};

/// Requests that are due and that no connection was free for.
const WAITING_LEN_MAX: usize = 1 << 16;
/// How long the pacer sleeps at a time, so that it sees soon that the run was stopped.
const NAP_MAX: Duration = Duration::from_millis(20);

/// Requests that are due.
pub(super) struct Pacer {
    waiting: Mutex<VecDeque<Request>>,
    ready: Semaphore,
}

impl Pacer {
    pub(super) fn new() -> Self {
        Self { waiting: Mutex::new(VecDeque::new()), ready: Semaphore::new(0) }
    }

    /// Waits for the next request that is due; none at the end of the run. Cancel safe.
    pub(super) async fn take(&self) -> Option<Request> {
        self.ready.acquire().await.ok()?.forget();
        self.waiting.lock().pop_front()
    }

    /// Hands requests out until `end`, the end of the plan, or `stop`; then tells all `takers`. Blocks its thread.
    pub(super) fn run(&self, plan: &Mutex<Plan>, pace: Pace, times: Times, stop: &CancellationToken, takers: u32) {
        loop {
            let next = plan.lock().next();
            let Some(request) = next else { break };
            let due = times.due(pace, request);
            if due >= times.end || !self.wait(due, stop) {
                break;
            }
            self.waiting.lock().push_back(request);
            self.ready.add_permits(1);
        }
        // Each taker that finds nothing behind its permit knows that this is the end.
        self.ready.add_permits(usize::try_from(takers).unwrap_or(usize::MAX));
    }

    /// False if the run was stopped.
    fn wait(&self, due: Instant, stop: &CancellationToken) -> bool {
        loop {
            let left = due.saturating_duration_since(Instant::now());
            let full = self.waiting.lock().len() >= WAITING_LEN_MAX;
            if stop.is_cancelled() {
                return false;
            }
            if left.is_zero() && !full {
                return true;
            }
            sleep(if full { NAP_MAX } else { left.min(NAP_MAX) });
        }
    }
}

/// When a run begins and ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub(super) start: Instant,
    pub(super) end: Instant,
}

impl Times {
    /// When a request is due: now, in a closed loop.
    pub(super) fn due(self, pace: Pace, request: Request) -> Instant {
        pace.due(request.slot).map_or_else(Instant::now, |after| self.start + after)
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::Shape;
    use super::super::zipf::Zipf;
    use super::*;

    fn plan(gifts_max: u64) -> Mutex<Plan> {
        let rooms = Zipf::new(1, 1.0);
        let shape = Shape { viewers: 1, rooms, own_rooms: None, combos_permille: 0, duplicates_permille: 0, gifts_max };
        Mutex::new(Plan::new(1, shape))
    }

    fn times() -> Times {
        let start = Instant::now();
        Times { start, end: start + Duration::from_secs(60) }
    }

    #[tokio::test]
    async fn no_request_is_handed_out_before_it_is_due_and_none_is_lost() {
        let (pacer, times) = (std::sync::Arc::new(Pacer::new()), times());
        let runs = std::sync::Arc::clone(&pacer);
        let stop = CancellationToken::new();
        let thread = tokio::task::spawn_blocking(move || runs.run(&plan(100), Pace::Rate(1000), times, &stop, 1));
        let mut taken = 0;
        while let Some(request) = pacer.take().await {
            assert!(Instant::now() >= times.due(Pace::Rate(1000), request));
            taken += 1;
        }
        thread.await.unwrap();
        assert_eq!(taken, 100);
    }

    #[tokio::test]
    async fn a_stopped_run_ends_before_its_plan() {
        let (pacer, stop) = (Pacer::new(), CancellationToken::new());
        stop.cancel();
        pacer.run(&plan(100), Pace::Rate(1), times(), &stop, 1);
        assert_eq!(pacer.take().await, None);
    }
}
