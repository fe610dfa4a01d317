//! What one connection has measured; all of them added up are the run's figures.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::plan::Gift;

/// The longest time that is told apart, in microseconds.
const TIME_MAX_US: u64 = 120_000_000;
/// Gifts whose outcome is not known, that one connection remembers to ask for again.
const UNCLEAR_LEN_MAX: usize = 100_000;

/// Counts and times in microseconds.
pub(super) struct Tally {
    /// From when the request was due to its answer.
    pub(super) latency: Histogram<u64>,
    /// From when the request was due to when it was sent: the generator's own delay, or a busy connection's.
    pub(super) late: Histogram<u64>,
    pub(super) answers: u64,
    pub(super) replays: u64,
    pub(super) errors: BTreeMap<String, u64>,
    pub(super) unclear: Vec<Gift>,
    /// Unclear gifts beyond what can be remembered.
    pub(super) forgotten: u64,
}

impl Tally {
    pub(super) fn new() -> Self {
        Self {
            latency: histogram(),
            late: histogram(),
            answers: 0,
            replays: 0,
            errors: BTreeMap::new(),
            unclear: Vec::new(),
            forgotten: 0,
        }
    }

    pub(super) fn answered(&mut self, late: Duration, latency: Duration) {
        self.answers += 1;
        self.late.saturating_record(micros(late));
        self.latency.saturating_record(micros(latency));
    }

    pub(super) fn error(&mut self, code: String) {
        *self.errors.entry(code).or_default() += 1;
    }

    pub(super) fn remember(&mut self, gift: Gift) {
        if self.unclear.len() < UNCLEAR_LEN_MAX {
            self.unclear.push(gift);
        } else {
            self.forgotten += 1;
        }
    }

    /// Adds the other's counts and times; both histograms have the same bounds, so all of them fit.
    pub(super) fn add(&mut self, other: &Tally) {
        let fits = self.latency.add(&other.latency).is_ok() && self.late.add(&other.late).is_ok();
        debug_assert!(fits, "histograms of the same bounds");
        self.answers += other.answers;
        self.replays += other.replays;
        self.forgotten += other.forgotten;
        self.unclear.extend_from_slice(&other.unclear);
        for (code, count) in &other.errors {
            *self.errors.entry(code.clone()).or_default() += count;
        }
    }

    pub(super) fn error_count(&self) -> u64 {
        self.errors.values().sum()
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Three significant digits up to [`TIME_MAX_US`]; a longer time counts as that.
fn histogram() -> Histogram<u64> {
    #[expect(clippy::expect_used, reason = "constant bounds, which the tests try")]
    Histogram::new_with_max(TIME_MAX_US, 3).expect("constant bounds are valid")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tallies_add_up_and_a_very_long_time_counts_as_the_longest() {
        let (mut sum, mut other) = (Tally::new(), Tally::new());
        sum.answered(Duration::ZERO, Duration::from_micros(100));
        other.answered(Duration::ZERO, Duration::from_secs(1000));
        other.error("40004".into());
        sum.add(&other);
        assert_eq!((sum.answers, sum.error_count(), sum.latency.len()), (2, 1, 2));
        assert!(sum.latency.max() >= TIME_MAX_US);
    }
}
