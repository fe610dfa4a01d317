//! Refusals and failures, as the client is told them. The numbers are those of the host's table.

use crate::cache;
use crate::db;
use crate::ledger;
use crate::money::Overflow;
use crate::room;
use crate::timer;
use crate::{Problem, mq};

/// When a client is asked to come back after a short disturbance: long enough for a cache load, short for a person.
const RETRY_SOON_MS: u32 = 200;
/// The same for what does not answer.
const RETRY_LATER_MS: u32 = 2_000;

impl Problem {
    /// A problem of the plugin's own, or one of the host's without a constructor here.
    #[must_use]
    pub fn new(status: u16, code: u32, slug: &str, detail: impl Into<String>) -> Self {
        Self { status, code, slug: slug.into(), detail: detail.into(), extra: String::new(), retry_after_ms: None }
    }

    /// With a JSON object for programs.
    #[must_use]
    pub fn with_extra(mut self, extra: &serde_json::Value) -> Self {
        self.extra = extra.to_string();
        self
    }

    /// With the time after which the client may try again.
    #[must_use]
    pub fn retry_after_ms(mut self, after_ms: u32) -> Self {
        self.retry_after_ms = Some(after_ms);
        self
    }

    /// 400: the request is at fault; say what and where.
    #[must_use]
    pub fn invalid(detail: impl Into<String>) -> Self {
        Self::new(400, 10006, "invalid-request", detail)
    }

    /// 429: come back later.
    #[must_use]
    pub fn rate_limited(detail: impl Into<String>, after_ms: u32) -> Self {
        Self::new(429, 10007, "rate-limited", detail).retry_after_ms(after_ms)
    }

    /// 503: something behind the plugin is full. Repeating the request with the same event id is safe.
    #[must_use]
    pub fn overloaded(detail: impl Into<String>) -> Self {
        Self::new(503, 40004, "overloaded", detail).retry_after_ms(RETRY_SOON_MS)
    }

    /// 503: something behind the plugin does not answer, and what became of the request is not known. Repeating it with the same event
    /// id finds out.
    #[must_use]
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(503, 30002, "backend-unavailable", detail).retry_after_ms(RETRY_LATER_MS)
    }

    /// 502: the plugin or its installation is at fault, and a retry will not help.
    #[must_use]
    pub fn failed(detail: impl Into<String>) -> Self {
        Self::new(502, 40001, "plugin-failed", detail)
    }
}

impl From<ledger::Error> for Problem {
    fn from(error: ledger::Error) -> Self {
        use ledger::Error as E;
        match error {
            E::InsufficientBalance(shortage) => Self::new(402, 20001, "insufficient-balance", "the balance is too low")
                .with_extra(&serde_json::json!({
                    "balance": shortage.balance.to_string(),
                    "needed": shortage.needed.to_string(),
                })),
            E::AccountNotFound => {
                Self::new(404, 20002, "account-not-found", "the caller has no account of this asset type")
            }
            E::EventIdReused => {
                Self::new(422, 20003, "event-id-reused", "this event id was used for something else; make a new one")
            }
            E::LimitReached(index) => Self::rate_limited(format!("limit {index} is reached"), 1_000),
            E::BalanceLoading => Self::new(503, 20004, "balance-loading", "the balance is being loaded; try again")
                .retry_after_ms(RETRY_SOON_MS),
            E::Overloaded => Self::overloaded("too many events wait to be settled; try again"),
            E::Unavailable(why) => Self::unavailable(format!("the outcome is not known: {why}; repeat the event id")),
            E::NotGranted(grant) => Self::failed(format!("the plugin lacks the grant {grant}")),
            E::Invalid(what) => Self::invalid(what),
            E::Other(what) => Self::failed(what),
        }
    }
}

impl From<db::Error> for Problem {
    fn from(error: db::Error) -> Self {
        match error {
            db::Error::Unavailable(why) => Self::unavailable(why),
            other => Self::failed(format!("database: {other}")),
        }
    }
}

impl From<cache::Error> for Problem {
    fn from(error: cache::Error) -> Self {
        match error {
            cache::Error::Overloaded => Self::overloaded("the cache is full; try again"),
            cache::Error::Unavailable(why) => Self::unavailable(why),
            other => Self::failed(format!("cache: {other}")),
        }
    }
}

impl From<room::Error> for Problem {
    fn from(error: room::Error) -> Self {
        match error {
            room::Error::Unavailable(why) => Self::unavailable(why),
            other => Self::failed(format!("push: {other}")),
        }
    }
}

impl From<timer::Error> for Problem {
    fn from(error: timer::Error) -> Self {
        match error {
            timer::Error::Unavailable(why) => Self::unavailable(why),
            timer::Error::LimitReached => Self::overloaded("the room has too many timers; try again"),
            other => Self::failed(format!("timer: {other}")),
        }
    }
}

impl From<mq::Error> for Problem {
    fn from(error: mq::Error) -> Self {
        match error {
            mq::Error::Overloaded => Self::overloaded("the queue is full; try again"),
            mq::Error::Unavailable(why) => Self::unavailable(why),
            other => Self::failed(format!("queue: {other}")),
        }
    }
}

impl From<Overflow> for Problem {
    fn from(overflow: Overflow) -> Self {
        Self::invalid(overflow.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortage_says_what_there_is_and_what_is_needed() {
        let problem = Problem::from(ledger::Error::InsufficientBalance(ledger::Shortage { balance: 3, needed: 10 }));
        assert_eq!((problem.status, problem.code, problem.slug.as_str()), (402, 20001, "insufficient-balance"));
        assert_eq!(problem.extra, r#"{"balance":"3","needed":"10"}"#);
    }

    #[test]
    fn only_what_is_worth_a_retry_says_when_to_come_back() {
        let worth = [ledger::Error::BalanceLoading, ledger::Error::Overloaded, ledger::Error::Unavailable("x".into())];
        for error in worth {
            assert!(Problem::from(error).retry_after_ms.is_some());
        }
        let away = Problem::from(cache::Error::Unavailable("the cache does not answer".into()));
        assert_eq!((away.status, away.code, away.slug.as_str()), (503, 30002, "backend-unavailable"));
        for error in [ledger::Error::AccountNotFound, ledger::Error::EventIdReused, ledger::Error::Invalid("x".into())]
        {
            assert!(Problem::from(error).retry_after_ms.is_none());
        }
    }
}
