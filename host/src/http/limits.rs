//! Rates: how many requests one user may make, and how many the plugins of one room may get. Each process counts for itself; where
//! there are several, what it lets through of a user is counted over all of them (`ports::rate_limit`). That of a room stays each
//! process's own: it keeps one room from taking all of a process, and over all of them each of a hot room's requests would ask for the
//! same key.
//!
//! A key is remembered only while its requests count; a task of `serve` forgets the others every few seconds.

use std::hash::Hash;
use std::num::NonZeroU32;
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue};
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use super::problem::{Problem, RATE_LIMITED};
use super::settings::Rate;

/// One rate for each key.
pub(super) struct Limit<K: Hash + Eq + Clone> {
    of: &'static str,
    rate: Rate,
    limiter: DefaultKeyedRateLimiter<K>,
    clock: DefaultClock,
}

impl<K: Hash + Eq + Clone> Limit<K> {
    /// `of` names the key in words.
    pub(super) fn new(of: &'static str, rate: Rate) -> Self {
        let burst = NonZeroU32::new(rate.requests_max).unwrap_or(NonZeroU32::MIN);
        let each = rate.period.max(Duration::from_millis(1)) / burst.get();
        let quota = Quota::with_period(each).unwrap_or_else(|| Quota::per_second(burst)).allow_burst(burst);
        Self { of, rate, limiter: RateLimiter::keyed(quota), clock: DefaultClock::default() }
    }

    /// Counts one request.
    ///
    /// # Errors
    /// `rate-limited`, with when to come back.
    pub(super) fn check(&self, key: &K) -> Result<(), Problem> {
        let Err(until) = self.limiter.check_key(key) else { return Ok(()) };
        Err(self.refused(until.wait_time_from(self.clock.now())))
    }

    /// What is told to one request too many.
    pub(super) fn refused(&self, wait: Duration) -> Problem {
        metrics::counter!("greenroom_rate_limited_total", "of" => self.of).increment(1);
        let reset_s = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        let detail = format!("{} requests in {:?} for each {}", self.rate.requests_max, self.rate.period, self.of);
        let header = |name| HeaderName::from_static(name);
        Problem::new(RATE_LIMITED, detail)
            .retry_after(wait)
            .header(header("ratelimit-limit"), self.rate.requests_max.into())
            .header(header("ratelimit-remaining"), HeaderValue::from_static("0"))
            .header(header("ratelimit-reset"), reset_s.max(1).into())
    }

    /// Forgets keys that are as if they had never been seen.
    pub(super) fn forget_idle(&self) {
        self.limiter.retain_recent();
        self.limiter.shrink_to_fit();
    }

    /// How many keys are remembered.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.limiter.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_over_the_rate_is_told_when_to_come_back_and_others_are_not_hurt() {
        let limit = Limit::new("user", Rate { requests_max: 3, period: Duration::from_secs(60) });
        (0..3).for_each(|_| limit.check(&1).unwrap());
        let response = limit.check(&1).unwrap_err().respond("/");
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()["ratelimit-limit"], "3");
        assert_eq!(response.headers()["ratelimit-remaining"], "0");
        let reset: u64 = response.headers()["ratelimit-reset"].to_str().unwrap().parse().unwrap();
        let after: u64 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((1..=20).contains(&reset) && reset == after, "{reset} {after}");
        limit.check(&2).unwrap();
    }

    #[test]
    fn keys_are_forgotten_once_their_requests_no_longer_count() {
        let limit = Limit::new("user", Rate { requests_max: 1_000, period: Duration::from_millis(1) });
        (0..10_000).for_each(|key| limit.check(&key).unwrap());
        let until = std::time::Instant::now() + Duration::from_secs(5);
        while limit.len() > 0 {
            assert!(std::time::Instant::now() < until, "{} keys are still remembered", limit.len());
            limit.forget_idle();
        }
    }
}
