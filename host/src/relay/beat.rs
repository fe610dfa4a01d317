//! The moments at which the buckets of a host are read, all of them at the same: their reads share packets, and their events the queue's
//! batches.

use tokio::time::{Duration, Instant};

/// One moment in each `every`.
pub(super) struct Beat {
    started: Instant,
    every: Duration,
}

impl Beat {
    pub fn start(every: Duration) -> Self {
        Self { started: Instant::now(), every }
    }

    /// The next of them; the same moment if there is no time between two.
    pub fn after(&self, moment: Instant) -> Instant {
        let since_last = moment.duration_since(self.started).as_nanos() % self.every.as_nanos().max(1);
        moment + self.every.saturating_sub(Duration::from_nanos(u64::try_from(since_last).unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_within_one_beat_is_told_the_same_moment() {
        let every = Duration::from_millis(20);
        let beat = Beat::start(every);
        let after = |ms| beat.after(beat.started + Duration::from_millis(ms));
        let nth = |n| beat.started + every * n;
        assert_eq!([after(0), after(19), after(20), after(225)], [nth(1), nth(1), nth(2), nth(12)]);
    }

    #[test]
    fn without_time_between_them_nobody_waits() {
        let beat = Beat::start(Duration::ZERO);
        let moment = beat.started + Duration::from_millis(7);
        assert_eq!(beat.after(moment), moment);
    }
}
