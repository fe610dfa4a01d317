//! When a circuit opens and for how long: a pure value, told what time it is.

use std::time::{Duration, Instant};

use super::{Circuit, Settings};

/// After so long another call is let through to see: a probe that never ends must not keep everybody out.
pub(super) const PROBE_MAX: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
pub(super) struct State {
    failures_in_row: u32,
    failing_since: Option<Instant>,
    /// How often it opened since it last closed.
    opened: u32,
    pub(super) open_until: Option<Instant>,
    /// Since when the one call of a half-open circuit is under way.
    pub(super) probing_since: Option<Instant>,
}

impl State {
    pub(super) fn circuit_at(&self, now: Instant) -> Circuit {
        let Some(until) = self.open_until else { return Circuit::Closed };
        match until.checked_duration_since(now) {
            Some(left) if !left.is_zero() => Circuit::Open(left),
            _ => Circuit::HalfOpen,
        }
    }

    /// Whether a probe is under way that an answer may still come of.
    pub(super) fn is_probed(&self, now: Instant) -> bool {
        self.probing_since.is_some_and(|since| now.saturating_duration_since(since) < PROBE_MAX)
    }

    /// Whether this opened it. While it is open, calls that had been let through before may still fail; they do not prolong it.
    pub(super) fn fail(&mut self, now: Instant, settings: &Settings) -> bool {
        self.failures_in_row = self.failures_in_row.saturating_add(1);
        let since = *self.failing_since.get_or_insert(now);
        let half_open = self.probing_since.take().is_some();
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
