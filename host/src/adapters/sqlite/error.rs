//! Which of SQLite's refusals may be tried again.

use crate::ports::db::Error;

// Primary result codes (https://www.sqlite.org/rescode.html) that speak of the moment rather than of the statement:
// BUSY, LOCKED, NOMEM, INTERRUPT, IOERR, FULL, CANTOPEN, PROTOCOL.
const TRANSIENT: [i32; 8] = [5, 6, 7, 9, 10, 13, 14, 15];
const CONSTRAINT: i32 = 19;

/// Turns the driver's error into the port's.
pub(super) fn of(error: sqlx::Error) -> Error {
    match &error {
        sqlx::Error::Database(_) if TRANSIENT.contains(&primary_code(&error).unwrap_or_default()) => {
            Error::Unavailable(error.to_string())
        }
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => {
            Error::Unavailable(error.to_string())
        }
        _ => Error::Refused(error.to_string()),
    }
}

/// Whether a constraint stands in the way.
pub(super) fn is_constraint(error: &sqlx::Error) -> bool {
    primary_code(error) == Some(CONSTRAINT)
}

fn primary_code(error: &sqlx::Error) -> Option<i32> {
    let extended: i32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(extended & 0xff)
}
