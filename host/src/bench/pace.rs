//! When each request is due.
//!
//! In an open loop a request is due at its place in the schedule, whether or not earlier ones were answered: a server that
//! stalls does not slow the questions down, and its stall is in every latency that it delayed.

use std::time::Duration;

/// How requests follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// Open loop: so many a second.
    Rate(u32),
    /// Closed loop: each connection asks again as soon as it is answered.
    Unlimited,
}

impl Pace {
    /// How long after the start the request at `slot` is due; none in a closed loop.
    pub(super) fn due(self, slot: u64) -> Option<Duration> {
        match self {
            Pace::Rate(per_second) => {
                let nanos = u128::from(slot) * 1_000_000_000 / u128::from(per_second.max(1));
                Some(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
            }
            Pace::Unlimited => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_loop_spreads_its_requests_evenly_and_does_not_drift() {
        let pace = Pace::Rate(3);
        assert_eq!(pace.due(0), Some(Duration::ZERO));
        assert_eq!(pace.due(1), Some(Duration::from_nanos(333_333_333)));
        assert_eq!(pace.due(3_000_000), Some(Duration::from_secs(1_000_000)));
    }

    #[test]
    fn a_closed_loop_has_no_schedule() {
        assert_eq!(Pace::Unlimited.due(17), None);
    }
}
