//! What every call to a backend of the distributed mode passes through: the backend's circuit, and its budget of second tries.
//!
//! Each adapter has one place where its calls leave the process; there it enters the guard and says afterwards whether there was an
//! answer. The embedded backends have no guard.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use tower::retry::budget::{Budget, TpsBudget};

use crate::breaker::{self, Breaker, Pass};

/// When a backend counts as away, and how often it may be asked again.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Calls in a row without an answer that open the circuit, 1 or more.
    pub failures_max: u32,
    /// How long the circuit stays open at most before one call is let through to see.
    pub open_max: Duration,
    /// Second tries within this process, as a share of all calls in percent; ten a second are allowed in any case. 0 to 100.
    pub retry_percent: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { failures_max: 5, open_max: Duration::from_secs(1), retry_percent: 20 }
    }
}

/// Less than half a second of silence is no outage: a server that restarts is not worth the requests that would be refused.
const FAILING_MIN: Duration = Duration::from_millis(500);
/// How long a circuit is open at first.
const OPEN_MIN: Duration = Duration::from_millis(100);
const JITTER_PERCENT: u32 = 50;
/// A call without an answer for so long counts as failed although its caller gave it up.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a call counts for the budget of second tries.
const BUDGET_TTL: Duration = Duration::from_secs(10);
/// Second tries that are allowed in each second of it, however few calls there are.
const RETRIES_PER_SECOND: u32 = 10;

/// The guard of one backend. Shared by all its connections.
pub struct Guard {
    backend: &'static str,
    breaker: Arc<Breaker>,
    budget: TpsBudget,
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guard").field("backend", &self.backend).field("breaker", &self.breaker).finish_non_exhaustive()
    }
}

impl Guard {
    /// The guard of the backend with this name, which logs and metrics bear.
    #[must_use]
    pub fn new(backend: &'static str, settings: Settings) -> Arc<Self> {
        let circuit = breaker::Settings {
            failures_max: settings.failures_max.max(1),
            failing_min: FAILING_MIN,
            backoff_min: OPEN_MIN,
            backoff_max: settings.open_max.max(OPEN_MIN),
            jitter_percent: JITTER_PERCENT,
            patience: Some(PATIENCE),
        };
        #[expect(
            clippy::float_arithmetic,
            clippy::cast_precision_loss,
            reason = "the budget's crate asks for a fraction"
        )]
        let share = settings.retry_percent.min(100) as f32 / 100.0;
        Arc::new(Self {
            backend,
            breaker: Arc::new(Breaker::of_backend(backend, circuit)),
            budget: TpsBudget::new(BUDGET_TTL, RETRIES_PER_SECOND, share),
        })
    }

    /// The backend's name.
    #[must_use]
    pub fn backend(&self) -> &'static str {
        self.backend
    }

    /// The circuit, to look at.
    #[must_use]
    pub fn breaker(&self) -> &Arc<Breaker> {
        &self.breaker
    }

    /// Lets a call through.
    pub(super) fn enter(&self) -> Result<Pass<'_>, Open> {
        let pass = self.breaker.enter().map_err(|left| Open { backend: self.backend, left })?;
        self.budget.deposit();
        Ok(pass)
    }

    /// Whether a call may be tried a second time; if so, that is counted.
    pub(super) fn may_try_again(&self) -> bool {
        let granted = self.budget.withdraw();
        let outcome = if granted { "granted" } else { "refused" };
        metrics::counter!("greenroom_backend_retries_total", "backend" => self.backend, "outcome" => outcome)
            .increment(1);
        granted
    }

    /// Makes a call that is bounded in time by itself. What its errors say of the backend is asked of `says`.
    pub(super) async fn judge<T, E: Display>(
        &self,
        call: impl Future<Output = Result<T, E>>,
        says: impl FnOnce(&E) -> Says,
    ) -> Result<T, Fault<E>> {
        let pass = self.enter()?;
        let result = call.await;
        match result.as_ref().map_err(says) {
            Ok(_) | Err(Says::There) => pass.succeeded(),
            Err(Says::Away) => {
                if let Err(error) = &result {
                    pass.failed(error);
                }
            }
            Err(Says::Nothing) => pass.says_nothing(),
        }
        result.map_err(Fault::Call)
    }

    /// Makes a call of at most so long. An error that `is_answer` shows that the backend is there; any other, that it is not.
    pub(super) async fn call<T, E: Display>(
        &self,
        limit: Duration,
        call: impl Future<Output = Result<T, E>>,
        is_answer: impl FnOnce(&E) -> bool,
    ) -> Result<T, Fault<E>> {
        let call = async {
            match tokio::time::timeout(limit, call).await {
                Ok(answer) => answer.map_err(Fault::Call),
                Err(_) => Err(Fault::Late(limit)),
            }
        };
        let says = |fault: &Fault<E>| {
            let is_there = match fault {
                Fault::Call(error) => is_answer(error),
                Fault::Open(_) | Fault::Late(_) => false,
            };
            if is_there { Says::There } else { Says::Away }
        };
        self.judge(call, says).await.map_err(Fault::flat)
    }
}

/// What an error says of the backend that was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Says {
    /// It is there, and has refused.
    There,
    /// It gave no answer.
    Away,
    /// Nothing: the error came from this process.
    Nothing,
}

/// The circuit is open.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the circuit of {backend} is open for {left:?}")]
pub(super) struct Open {
    backend: &'static str,
    left: Duration,
}

/// Why a guarded call has no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault<E> {
    /// It was not made.
    #[error(transparent)]
    Open(#[from] Open),
    /// It took too long.
    #[error("no answer within {0:?}")]
    Late(Duration),
    /// Its own.
    #[error("{0}")]
    Call(E),
}

impl<E> Fault<Fault<E>> {
    fn flat(self) -> Fault<E> {
        match self {
            Self::Open(open) => Fault::Open(open),
            Self::Late(limit) => Fault::Late(limit),
            Self::Call(fault) => fault,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::breaker::Circuit;

    #[tokio::test]
    async fn second_tries_are_bounded_to_a_share_of_the_calls() {
        let granted = |guard: &Guard| (0..10_000).filter(|_| guard.may_try_again()).count();
        let settings = Settings { retry_percent: 20, ..Settings::default() };
        let idle = Guard::new("test", settings);
        assert_eq!(granted(&idle), 100, "what is allowed in any case");
        let busy = Guard::new("test", settings);
        (0..1_000).for_each(|_| busy.enter().unwrap().succeeded());
        assert_eq!(granted(&busy), 100 + 200);
    }

    #[tokio::test]
    async fn a_call_that_takes_too_long_has_failed_and_an_answer_that_refuses_has_not() {
        let guard = Guard::new("test", Settings::default());
        let late = guard.call(Duration::from_millis(1), std::future::pending::<Result<(), &str>>(), |_| true).await;
        assert!(matches!(late, Err(Fault::Late(_))));
        assert_eq!(guard.breaker().failures(), 1);
        let refused = guard.call(Duration::from_secs(60), async { Err::<(), _>("no") }, |_| true).await;
        assert!(matches!(refused, Err(Fault::Call("no"))));
        let away = guard.call(Duration::from_secs(60), async { Err::<(), _>("away") }, |_| false).await;
        assert!(away.is_err());
        assert_eq!(guard.breaker().failures(), 2);
    }

    /// Such as a full buffer of this process: it says nothing of who would have been called.
    #[tokio::test]
    async fn an_error_that_says_nothing_neither_opens_nor_closes_the_circuit() {
        let settings = Settings { failures_max: 2, open_max: OPEN_MIN, ..Settings::default() };
        let guard = Guard::new("test", settings);
        let full = async |guard: &Guard| guard.judge(async { Err::<(), _>("full") }, |_| Says::Nothing).await;
        for _ in 0..100 {
            assert!(matches!(full(&guard).await, Err(Fault::Call("full"))));
        }
        assert_eq!((guard.breaker().failures(), guard.breaker().circuit()), (0, Circuit::Closed));
        while guard.breaker().open_for().is_none() {
            let _ = guard.judge(async { Err::<(), _>("away") }, |_| Says::Away).await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        while guard.breaker().open_for().is_some() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // The one probe of a half-open circuit says nothing, so the next one is let through, and the circuit is as it was.
        assert!(matches!(full(&guard).await, Err(Fault::Call("full"))));
        assert!(matches!(full(&guard).await, Err(Fault::Call("full"))));
        assert_eq!(guard.breaker().circuit(), Circuit::HalfOpen);
        assert!(guard.judge(async { Ok::<_, &str>(()) }, |_| Says::Away).await.is_ok());
        assert_eq!(guard.breaker().circuit(), Circuit::Closed);
    }
}
