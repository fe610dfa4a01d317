//! Circuit breakers: whoever gives no answer is left alone for a while, and those who ask meanwhile are told so at once.
//!
//! One per (room, plugin), one per plugin, and one for each backend of the distributed mode. They count calls that gave no answer: traps
//! and time-outs of plugins, connections and time-outs of backends; not refusals, and not calls that never got there. A half-open
//! circuit lets one call through at a time. The embedded backends have none.

use std::fmt::Display;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

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

#[derive(Debug, Default)]
struct State {
    failures_in_row: u32,
    failing_since: Option<Instant>,
    /// How often it opened since it last closed.
    opened: u32,
    open_until: Option<Instant>,
    /// Whether the one call of a half-open circuit is under way.
    probing: bool,
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
        let probe = if self.troubled.load(Ordering::Acquire) { self.enter_troubled(now())? } else { false };
        self.calls.fetch_add(1, Ordering::Relaxed);
        Ok(Pass { breaker: self, probe, since: self.settings.patience.map(|_| now()), is_told: false })
    }

    /// Whether it is a probe.
    fn enter_troubled(&self, now: Instant) -> Result<bool, Duration> {
        let mut state = self.state.lock();
        let left = match state.circuit_at(now) {
            Circuit::Closed => return Ok(false),
            Circuit::HalfOpen if !state.probing => {
                state.probing = true;
                drop(state);
                self.measure(Circuit::HalfOpen);
                return Ok(true);
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

impl State {
    fn circuit_at(&self, now: Instant) -> Circuit {
        let Some(until) = self.open_until else { return Circuit::Closed };
        match until.checked_duration_since(now) {
            Some(left) if !left.is_zero() => Circuit::Open(left),
            _ => Circuit::HalfOpen,
        }
    }

    /// Whether this opened it. While it is open, calls that had been let through before may still fail; they do not prolong it.
    fn fail(&mut self, now: Instant, settings: &Settings) -> bool {
        self.failures_in_row = self.failures_in_row.saturating_add(1);
        let since = *self.failing_since.get_or_insert(now);
        let half_open = std::mem::take(&mut self.probing);
        let goes_on = self.failures_in_row >= settings.failures_max
            && now.saturating_duration_since(since) >= settings.failing_min;
        let opens = half_open || (self.open_until.is_none() && goes_on);
        if opens {
            let backoff = settings.backoff_min.saturating_mul(1 << self.opened.min(16)).min(settings.backoff_max);
            let share = 100 - rand::random_range(0..=settings.jitter_percent.min(100));
            self.opened = self.opened.saturating_add(1);
            self.open_until = now.checked_add(backoff.saturating_mul(share) / 100);
        }
        opens
    }
}

/// A call that was let through. Dropped without a word, it says nothing, unless its caller had waited for longer than the patience.
pub(crate) struct Pass<'a> {
    breaker: &'a Breaker,
    probe: bool,
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
        if self.probe {
            self.breaker.state.lock().probing = false;
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        self.dropped_at(Instant::now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKEND: Settings = Settings {
        failures_max: 3,
        failing_min: Duration::from_millis(500),
        backoff_min: Duration::from_millis(100),
        backoff_max: Duration::from_secs(1),
        jitter_percent: 50,
        patience: Some(Duration::from_secs(1)),
    };

    fn fail(breaker: &Breaker, now: Instant) {
        breaker.enter_at(|| now).unwrap_or_else(|_| panic!("it is open")).failed_at(now, &"away");
    }

    fn opened(breaker: &Breaker, now: Instant) {
        (0..breaker.settings.failures_max).for_each(|_| fail(breaker, now));
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_lets_one_call_through_after_a_second() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        opened(&breaker, now);
        assert_eq!(breaker.enter_at(|| now).err(), Some(Settings::PLUGIN.backoff_min));
        let later = now + Settings::PLUGIN.backoff_min;
        let probe = breaker.enter_at(|| later).unwrap_or_else(|_| panic!("half-open"));
        assert!(breaker.enter_at(|| later).is_err(), "only one call goes through a half-open circuit");
        probe.succeeded();
        assert!(breaker.enter_at(|| later).is_ok());
        assert_eq!((breaker.calls(), breaker.failures(), breaker.rejected()), (7, 5, 2));
    }

    #[test]
    fn its_backoff_doubles_to_thirty_seconds() {
        let (breaker, mut now) = (Breaker::default(), Instant::now());
        opened(&breaker, now);
        for seconds in [1, 2, 4, 8, 16, 30, 30] {
            let wait = breaker.enter_at(|| now).err().expect("open");
            assert_eq!(wait, Duration::from_secs(seconds));
            now += wait;
            fail(&breaker, now);
        }
    }

    #[test]
    fn a_success_between_failures_keeps_it_closed() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        for _ in 0..20 {
            fail(&breaker, now);
            breaker.enter_at(|| now).unwrap_or_else(|_| panic!("closed")).succeeded();
        }
        assert!(breaker.open_for().is_none());
    }

    #[test]
    fn a_probe_that_says_nothing_lets_the_next_one_through() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        opened(&breaker, now);
        let later = now + Settings::PLUGIN.backoff_min;
        drop(breaker.enter_at(|| later));
        assert!(breaker.enter_at(|| later).is_ok());
    }

    #[test]
    fn many_failures_at_one_moment_open_nothing_until_they_go_on() {
        let (breaker, now) = (Breaker::of_backend("test", BACKEND), Instant::now());
        (0..100).for_each(|_| fail(&breaker, now));
        assert_eq!(breaker.circuit(), Circuit::Closed);
        fail(&breaker, now + BACKEND.failing_min);
        assert_eq!(breaker.state.lock().circuit_at(now + BACKEND.failing_min).name(), "open");
    }

    #[test]
    fn it_is_open_for_less_than_its_backoff_at_random_but_never_for_less_than_half() {
        let now = Instant::now();
        let waits: std::collections::BTreeSet<Duration> = (0..200)
            .map(|_| {
                let breaker = Breaker::new(BACKEND);
                fail(&breaker, now - BACKEND.failing_min);
                (1..BACKEND.failures_max).for_each(|_| fail(&breaker, now));
                breaker.enter_at(|| now).err().expect("open")
            })
            .collect();
        assert!(waits.len() > 5, "{waits:?}");
        assert!(waits.iter().all(|wait| (Duration::from_millis(50)..=Duration::from_millis(100)).contains(wait)));
    }

    #[test]
    fn a_call_that_was_given_up_late_has_failed_and_one_that_was_given_up_soon_says_nothing() {
        let (breaker, now) = (Breaker::new(BACKEND), Instant::now());
        for (waited, failures) in [(Duration::from_millis(999), 0), (Duration::from_secs(1), 1)] {
            let mut pass = breaker.enter_at(|| now).unwrap_or_else(|_| panic!("closed"));
            pass.dropped_at(|| now + waited);
            pass.is_told = true;
            assert_eq!(breaker.failures(), failures);
        }
    }
}
