//! How long an event waits before each try.

use std::time::Duration;

/// The waits before the second try, the third, and so on; after the last one an event is a dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ladder(Vec<Duration>);

impl Ladder {
    /// The waits, in order; at least one.
    #[must_use]
    pub fn new(waits: Vec<Duration>) -> Self {
        Self(waits)
    }

    /// How long to wait after a try has failed, at least as long as was asked for; none if there is no further try.
    #[must_use]
    pub fn wait_after(&self, attempt: u32, asked: Duration) -> Option<Duration> {
        let index = usize::try_from(attempt.saturating_sub(1)).unwrap_or(usize::MAX);
        self.0.get(index).map(|wait| asked.max(*wait))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_try_waits_longer_and_the_last_has_none_after_it() {
        let ladder = Ladder::new(vec![Duration::from_secs(1), Duration::from_secs(5)]);
        assert_eq!(ladder.wait_after(1, Duration::ZERO), Some(Duration::from_secs(1)));
        assert_eq!(ladder.wait_after(1, Duration::from_secs(3)), Some(Duration::from_secs(3)));
        assert_eq!(ladder.wait_after(2, Duration::ZERO), Some(Duration::from_secs(5)));
        assert_eq!(ladder.wait_after(3, Duration::ZERO), None);
    }
}
