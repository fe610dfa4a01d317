//! Which of PostgreSQL's refusals may be tried again, here or by the caller.

use std::sync::Arc;
use std::time::Duration;

use crate::adapters::guard::Guard;
use crate::ports::db::{Error, TransactError};

// SQLSTATE, https://www.postgresql.org/docs/current/errcodes-appendix.html. Classes that speak of the moment rather than of the
// statement: connection, transaction rolled back, resources (disk full, memory, connections), operator, system.
const TRANSIENT_CLASSES: [&str; 5] = ["08", "40", "53", "57", "58"];
// Of those, what a server says that serves nobody: its connection is lost, it takes no more of them, it stops or starts.
const AWAY: [&str; 3] = ["08", "53300", "57P"];
// An object in use, a lock not to be had in time, a server that became a replica, a transaction that was idle too long.
const TRANSIENT: [&str; 5] = ["55006", "55P03", "25006", "25P03", "25P04"];
// A serialization failure, a deadlock, a lock not to be had in time: the same again may well succeed.
const OF_THE_MOMENT: [&str; 3] = ["40001", "40P01", "55P03"];
const OUT_OF_RANGE: &str = "22003";

/// Turns the driver's error into the port's.
pub(super) fn of(error: sqlx::Error) -> Error {
    let words = error.to_string();
    match &error {
        sqlx::Error::Database(_) if is_away(&code(&error)) => Error::Unavailable(words),
        sqlx::Error::Database(_) if is_transient(&code(&error)) => Error::Busy(words),
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::BeginFailed
        | sqlx::Error::WorkerCrashed => Error::Unavailable(words),
        _ => Error::Refused(words),
    }
}

/// Whether a constraint stands in the way.
pub(super) fn is_constraint(error: &sqlx::Error) -> bool {
    code(error).starts_with("23")
}

/// Whether a value is not of its kind: a text that is no number, a number that is too great.
pub(super) fn is_data(error: &sqlx::Error) -> bool {
    code(error).starts_with("22")
}

/// Whether a number does not fit.
pub(super) fn is_overflow(error: &sqlx::Error) -> bool {
    code(error) == OUT_OF_RANGE
}

fn is_away(code: &str) -> bool {
    AWAY.iter().any(|beginning| code.starts_with(beginning))
}

fn is_transient(code: &str) -> bool {
    TRANSIENT.contains(&code) || TRANSIENT_CLASSES.iter().any(|class| code.starts_with(class))
}

fn code(error: &sqlx::Error) -> String {
    error.as_database_error().and_then(|fault| fault.code()).unwrap_or_default().into_owned()
}

/// Tells a server that refuses from one that is not there.
pub(super) trait Refusal {
    /// Whether the server is there.
    fn is_answer(&self) -> bool;
}

impl Refusal for Error {
    fn is_answer(&self) -> bool {
        !matches!(self, Error::Unavailable(_))
    }
}

impl Refusal for TransactError {
    fn is_answer(&self) -> bool {
        match self {
            TransactError::Db(error) => error.is_answer(),
            TransactError::Conflict(_) | TransactError::Invalid(_) | TransactError::UnexpectedRows(_) => true,
        }
    }
}

/// How often a transaction is begun again that others stood in the way of.
pub(super) struct Attempts {
    left: u32,
    pause: Duration,
    guard: Arc<Guard>,
}

// The first pause is some of a batch's own time; each is at most double the one before, at random, so that two that met do not meet
// again.
const PAUSE_FIRST: Duration = Duration::from_millis(10);

impl Attempts {
    /// So many in all, within the budget of all calls.
    pub(super) fn new(attempts: u32, guard: Arc<Guard>) -> Self {
        Self { left: attempts.saturating_sub(1), pause: PAUSE_FIRST, guard }
    }

    /// Waits and says true if the fault is one of the moment and an attempt is left.
    pub(super) async fn again(&mut self, fault: &sqlx::Error) -> bool {
        if self.left == 0 || !OF_THE_MOMENT.contains(&code(fault).as_str()) || !self.guard.may_try_again() {
            return false;
        }
        self.left -= 1;
        tracing::debug!(error = %fault, "beginning a transaction again");
        let share = rand::random_range(50..=150_u32);
        tokio::time::sleep(self.pause * share / 100).await;
        self.pause *= 2;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_refuses_is_told_from_one_that_is_not_there() {
        for code in ["08006", "08P01", "53300", "57P01", "57P02", "57P03"] {
            assert!(is_away(code) && is_transient(code), "{code}");
        }
        for code in ["53100", "53200", "40001", "57014", "55P03", "58030", "25006"] {
            assert!(!is_away(code), "{code}");
        }
    }

    #[test]
    fn what_passes_by_itself_is_told_from_what_does_not() {
        for code in ["53100", "40001", "40P01", "55P03", "57P01", "57014", "08006", "58030", "25006"] {
            assert!(is_transient(code), "{code}");
        }
        for code in ["", "22003", "23505", "42601", "42P01", "42501", "28P01", "3D000", "XX001"] {
            assert!(!is_transient(code), "{code}");
        }
    }
}
