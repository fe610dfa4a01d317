//! The rate of each user over all processes: one key for each user who makes requests, gone once they no longer count.
//!
//! A step costs one short script on the shared connection. What does not answer in time is not asked for a moment, so that requests wait
//! for it no more than once in that.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::time::{Instant, timeout};

use super::keys::Keys;
use super::reply::{parse, text};
use super::scripts::{Call, RATE_LIMIT};
use super::server::Server;
use crate::domain::UserId;
use crate::ports::rate_limit::RateLimit;

/// How long a request waits for its count.
const ANSWER_MAX: Duration = Duration::from_millis(50);
/// For how long nobody asks after an answer that did not come.
const PAUSE: Duration = Duration::from_secs(1);

/// The rate of each user in Redis. Made by [`super::Redis::rate_limit`].
#[derive(Debug)]
pub struct RedisRateLimit {
    server: Server,
    keys: Arc<Keys>,
    /// From one request to the next, in microseconds.
    each_us: u64,
    /// What may come at once, in the same measure.
    burst_us: u64,
    paused_until: Mutex<Option<Instant>>,
}

impl RedisRateLimit {
    /// So many requests in a period, all of which may come at once.
    pub(super) fn new(server: Server, keys: Arc<Keys>, requests_max: u32, period: Duration) -> Self {
        let requests_max = u64::from(requests_max.max(1));
        let period_us = u64::try_from(period.as_micros()).unwrap_or(u64::MAX);
        let each_us = (period_us / requests_max).max(1);
        let burst_us = each_us.saturating_mul(requests_max);
        Self { server, keys, each_us, burst_us, paused_until: Mutex::default() }
    }

    async fn ask(&self, user: UserId) -> Result<Duration, String> {
        let call = Call::new(&RATE_LIMIT, &[&self.keys.rate(user)]).arg(self.each_us).arg(self.burst_us);
        let asked = self.server.run(call);
        let answer = timeout(ANSWER_MAX, asked).await.map_err(|_| format!("no answer within {ANSWER_MAX:?}"))?;
        parse(&text(answer?)?).map(Duration::from_micros)
    }

    fn is_paused(&self) -> bool {
        self.paused_until.lock().is_some_and(|until| Instant::now() < until)
    }
}

#[async_trait]
impl RateLimit for RedisRateLimit {
    async fn count(&self, user: UserId) -> Option<Duration> {
        if self.is_paused() {
            return None;
        }
        match self.ask(user).await {
            Ok(wait) => Some(wait).filter(|wait| !wait.is_zero()),
            Err(error) => {
                *self.paused_until.lock() = Some(Instant::now() + PAUSE);
                metrics::counter!("greenroom_rate_limit_unknown_total").increment(1);
                tracing::debug!(%error, "the rate of users is this process's own for a moment");
                None
            }
        }
    }
}
