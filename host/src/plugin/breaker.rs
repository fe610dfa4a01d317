//! Circuit breakers: one per (room, plugin), and one per plugin.
//!
//! They count calls that gave no answer: traps and time-outs, not problems, and not calls that never reached an instance.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

const BACKOFF_MIN: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// Failures in a row that open a circuit.
const FAILURES_MAX: u32 = 5;

/// Opens after failures in a row, lets one call through after a backoff of 1 to 30 s, closes when that one succeeds.
#[derive(Debug)]
pub struct Breaker {
    calls: AtomicU64,
    failures: AtomicU64,
    /// Whether `state` is worth a look: keeps a healthy circuit free of locks.
    troubled: AtomicBool,
    failures_max: u32,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    failures_in_row: u32,
    /// How often it opened since it last closed.
    opened: u32,
    open_until: Option<Instant>,
    /// Whether the one call of a half-open circuit is under way.
    probing: bool,
}

impl Default for Breaker {
    fn default() -> Self {
        Self::after(FAILURES_MAX)
    }
}

impl Breaker {
    /// One that opens after so many failures in a row.
    #[must_use]
    pub fn after(failures_max: u32) -> Self {
        Self {
            calls: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            troubled: AtomicBool::new(false),
            failures_max,
            state: Mutex::default(),
        }
    }

    /// How long the circuit stays open; none if it is closed or half-open.
    #[must_use]
    pub fn open_for(&self) -> Option<Duration> {
        if !self.troubled.load(Ordering::Acquire) {
            return None;
        }
        open_for(&self.state.lock(), Instant::now())
    }

    /// Calls since the breaker was made.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Calls among them that gave no answer.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Lets a call through, or says how long the circuit stays open.
    pub(crate) fn enter(&self) -> Result<Pass<'_>, Duration> {
        self.enter_at(Instant::now)
    }

    fn enter_at(&self, now: impl FnOnce() -> Instant) -> Result<Pass<'_>, Duration> {
        let mut probe = false;
        if self.troubled.load(Ordering::Acquire) {
            let mut state = self.state.lock();
            if let Some(left) = open_for(&state, now()) {
                return Err(left);
            }
            if state.open_until.is_some() {
                if state.probing {
                    return Err(BACKOFF_MIN);
                }
                state.probing = true;
                probe = true;
            }
        }
        self.calls.fetch_add(1, Ordering::Relaxed);
        Ok(Pass { breaker: self, probe })
    }

    fn succeeded(&self) {
        if self.troubled.load(Ordering::Acquire) {
            let mut state = self.state.lock();
            *state = State::default();
            self.troubled.store(false, Ordering::Release);
        }
    }

    fn failed_at(&self, now: Instant) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let mut state = self.state.lock();
        self.troubled.store(true, Ordering::Release);
        state.failures_in_row = state.failures_in_row.saturating_add(1);
        // While it is open, calls that had been let through before may still fail; they do not prolong it.
        let half_open = std::mem::take(&mut state.probing);
        if half_open || (state.open_until.is_none() && state.failures_in_row >= self.failures_max) {
            let backoff = BACKOFF_MIN.saturating_mul(1 << state.opened.min(5)).min(BACKOFF_MAX);
            state.opened = state.opened.saturating_add(1);
            state.open_until = now.checked_add(backoff);
        }
    }
}

fn open_for(state: &State, now: Instant) -> Option<Duration> {
    state.open_until?.checked_duration_since(now).filter(|left| !left.is_zero())
}

/// A call that was let through. Dropped without a word, the call says nothing about the plugin.
pub(crate) struct Pass<'a> {
    breaker: &'a Breaker,
    probe: bool,
}

impl Pass<'_> {
    /// The call was answered.
    pub(crate) fn succeeded(mut self) {
        self.probe = false;
        self.breaker.succeeded();
    }

    /// The call gave no answer.
    pub(crate) fn failed(self) {
        self.failed_at(Instant::now());
    }

    fn failed_at(mut self, now: Instant) {
        self.probe = false;
        self.breaker.failed_at(now);
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if self.probe {
            self.breaker.state.lock().probing = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(breaker: &Breaker, now: Instant) {
        for _ in 0..FAILURES_MAX {
            breaker.enter_at(|| now).unwrap_or_else(|_| panic!("closed")).failed_at(now);
        }
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_lets_one_call_through_after_a_second() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        opened(&breaker, now);
        assert_eq!(breaker.enter_at(|| now).err(), Some(BACKOFF_MIN));
        let later = now + BACKOFF_MIN;
        let probe = breaker.enter_at(|| later).unwrap_or_else(|_| panic!("half-open"));
        assert!(breaker.enter_at(|| later).is_err(), "only one call goes through a half-open circuit");
        probe.succeeded();
        assert!(breaker.enter_at(|| later).is_ok());
        assert_eq!((breaker.calls(), breaker.failures()), (7, 5));
    }

    #[test]
    fn its_backoff_doubles_to_thirty_seconds() {
        let (breaker, mut now) = (Breaker::default(), Instant::now());
        opened(&breaker, now);
        for seconds in [1, 2, 4, 8, 16, 30, 30] {
            let wait = breaker.enter_at(|| now).err().expect("open");
            assert_eq!(wait, Duration::from_secs(seconds));
            now += wait;
            breaker.enter_at(|| now).unwrap_or_else(|_| panic!("half-open")).failed_at(now);
        }
    }

    #[test]
    fn a_success_between_failures_keeps_it_closed() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        for _ in 0..20 {
            breaker.enter_at(|| now).unwrap_or_else(|_| panic!("closed")).failed_at(now);
            breaker.enter_at(|| now).unwrap_or_else(|_| panic!("closed")).succeeded();
        }
        assert!(breaker.open_for().is_none());
    }

    #[test]
    fn a_probe_that_says_nothing_lets_the_next_one_through() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        opened(&breaker, now);
        let later = now + BACKOFF_MIN;
        drop(breaker.enter_at(|| later));
        assert!(breaker.enter_at(|| later).is_ok());
    }
}
