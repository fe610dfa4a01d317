//! Circuit breakers: whoever gives no answer is left alone for a while, and those who ask meanwhile are told so at once.
//!
//! One per (room, plugin), one per plugin, and one for each backend of the distributed mode. They count calls that gave no answer: traps
//! and time-outs of plugins, connections and time-outs of backends; not refusals, and not calls that never got there. A half-open
//! circuit lets one call through at a time.

mod state;
#[cfg(test)]
mod tests;

use std::fmt::Display;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use state::State;

/// When a circuit opens, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Failures in a row that open it, 1 or more.
    pub failures_max: u32,
    /// They must have gone on for so long. Where calls go to several servers and one of them is away, the others' answers keep the
    /// circuit closed.
    pub failing_min: Duration,
    /// How long it is open at first; twice as long after each failed probe.
    pub backoff_min: Duration,
    /// How long it is open at most.
    pub backoff_max: Duration,
    /// By how many percent the time may be shorter, at random, so that processes do not come back all at once; 0 to 100.
    pub jitter_percent: u32,
    /// A call that its caller gave up after so long has failed; one that was given up sooner says nothing. None: it never does.
    pub patience: Option<Duration>,
}

impl Settings {
    /// For what runs in this process: five failures open it, for 1 to 30 s.
    pub const PLUGIN: Self = Self {
        failures_max: 5,
        failing_min: Duration::ZERO,
        backoff_min: Duration::from_secs(1),
        backoff_max: Duration::from_secs(30),
        jitter_percent: 0,
        patience: None,
    };
}

/// What a circuit does with the next call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Circuit {
    /// Lets it through.
    Closed,
    /// Refuses it for so long.
    Open(Duration),
    /// Lets one through, to see.
    HalfOpen,
}

impl Circuit {
    /// As operators know it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open(_) => "open",
            Self::HalfOpen => "half-open",
        }
    }
}

/// A circuit with its counts. Cheap while nothing fails: no lock, and no look at the clock unless it has `patience`.
#[derive(Debug)]
pub struct Breaker {
    settings: Settings,
    /// The backend, if it is one: then changes are logged and measured.
    backend: Option<&'static str>,
    calls: AtomicU64,
    failures: AtomicU64,
    rejected: AtomicU64,
    /// Whether `state` is worth a look.
    troubled: AtomicBool,
    state: Mutex<State>,
}

impl Default for Breaker {
    fn default() -> Self {
        Self::new(Settings::PLUGIN)
    }
}

impl Breaker {
    /// One whose changes nobody is told of.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            backend: None,
            calls: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            troubled: AtomicBool::new(false),
            state: Mutex::default(),
        }
    }

    /// One of a backend: the log tells once when it opens and once when it closes, the metrics tell its state.
    #[must_use]
    pub fn of_backend(backend: &'static str, settings: Settings) -> Self {
        let breaker = Self { backend: Some(backend), ..Self::new(settings) };
        breaker.measure(Circuit::Closed);
        breaker
    }

    /// What it would do with a call now.
    #[must_use]
    pub fn circuit(&self) -> Circuit {
        if !self.troubled.load(Ordering::Acquire) {
            return Circuit::Closed;
        }
        self.state.lock().circuit_at(Instant::now())
    }

    /// How long the circuit stays open; none if it is closed or half-open.
    #[must_use]
    pub fn open_for(&self) -> Option<Duration> {
        match self.circuit() {
            Circuit::Open(left) => Some(left),
            Circuit::Closed | Circuit::HalfOpen => None,
        }
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

    /// Calls beside them that were not let through.
    #[must_use]
    pub fn rejected(&self) -> u64 {
        self.rejected.load(Ordering::Relaxed)
    }

    /// Lets a call through, or says how long the circuit stays open.
    pub(crate) fn enter(&self) -> Result<Pass<'_>, Duration> {
        self.enter_at(Instant::now)
    }

    fn enter_at(&self, now: impl Fn() -> Instant) -> Result<Pass<'_>, Duration> {
        let probe = if self.troubled.load(Ordering::Acquire) { self.enter_troubled(now())? } else { None };
        self.calls.fetch_add(1, Ordering::Relaxed);
        Ok(Pass { breaker: self, probe, since: self.settings.patience.map(|_| now()), is_told: false })
    }

    /// Since when it is under way, if it is a probe.
    fn enter_troubled(&self, now: Instant) -> Result<Option<Instant>, Duration> {
        let mut state = self.state.lock();
        let left = match state.circuit_at(now) {
            Circuit::Closed => return Ok(None),
            Circuit::HalfOpen if !state.is_probed(now) => {
                state.probing_since = Some(now);
                drop(state);
                self.measure(Circuit::HalfOpen);
                return Ok(Some(now));
            }
            Circuit::HalfOpen => self.settings.backoff_min,
            Circuit::Open(left) => left,
        };
        drop(state);
        self.rejected.fetch_add(1, Ordering::Relaxed);
        if let Some(backend) = self.backend {
            metrics::counter!("greenroom_backend_rejected_total", "backend" => backend).increment(1);
        }
        Err(left)
    }

    fn succeeded(&self) {
        if !self.troubled.load(Ordering::Acquire) {
            return;
        }
        let mut state = self.state.lock();
        let before = std::mem::take(&mut *state);
        self.troubled.store(false, Ordering::Release);
        if let (Some(_), Some(backend)) = (before.open_until, self.backend) {
            drop(state);
            self.measure(Circuit::Closed);
            let rejected = self.rejected();
            tracing::info!(backend, rejected, "a backend answers again: its circuit is closed");
        }
    }

    fn failed_at(&self, now: Instant, reason: &dyn Display) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let mut state = self.state.lock();
        self.troubled.store(true, Ordering::Release);
        let was_closed = state.open_until.is_none();
        let is_open = state.fail(now, &self.settings);
        drop(state);
        let Some(backend) = self.backend else { return };
        metrics::counter!("greenroom_backend_failures_total", "backend" => backend).increment(1);
        if is_open {
            self.measure(Circuit::Open(self.settings.backoff_min));
        }
        if is_open && was_closed {
            tracing::warn!(backend, %reason, "a backend does not answer: its circuit is open, and calls are refused at once");
        }
    }

    /// 0 for closed, 1 for half-open, 2 for open.
    fn measure(&self, circuit: Circuit) {
        let Some(backend) = self.backend else { return };
        let state = match circuit {
            Circuit::Closed => 0,
            Circuit::HalfOpen => 1,
            Circuit::Open(_) => 2,
        };
        metrics::gauge!("greenroom_backend_circuit", "backend" => backend).set(f64::from(state));
    }
}

/// A call that was let through. Dropped without a word, it says nothing, unless its caller had waited for longer than the patience.
pub(crate) struct Pass<'a> {
    breaker: &'a Breaker,
    probe: Option<Instant>,
    since: Option<Instant>,
    is_told: bool,
}

impl Pass<'_> {
    /// The call was answered, be it with a refusal.
    pub(crate) fn succeeded(mut self) {
        self.is_told = true;
        self.breaker.succeeded();
    }

    /// The call gave no answer.
    pub(crate) fn failed(self, reason: impl Display) {
        self.failed_at(Instant::now(), &reason);
    }

    /// The call ended in a way that says nothing of who was called, however long it took.
    pub(crate) fn says_nothing(mut self) {
        self.is_told = true;
        self.make_way();
    }

    /// The next call may be the probe.
    fn make_way(&self) {
        if self.probe.is_some() {
            let mut state = self.breaker.state.lock();
            // One that took too long may have been replaced by another.
            if state.probing_since == self.probe {
                state.probing_since = None;
            }
        }
    }

    fn failed_at(mut self, now: Instant, reason: &dyn Display) {
        self.is_told = true;
        self.breaker.failed_at(now, reason);
    }

    fn dropped_at(&mut self, now: impl FnOnce() -> Instant) {
        if self.is_told {
            return;
        }
        if let Some((since, patience)) = self.since.zip(self.breaker.settings.patience) {
            let now = now();
            if now.saturating_duration_since(since) >= patience {
                return self.breaker.failed_at(now, &"nobody waits any longer for an answer");
            }
        }
        self.make_way();
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        self.dropped_at(Instant::now);
    }
}
