//! Why the ledger did nothing.

use crate::domain::{Account, Amount, EventId, Overflow};
use crate::ports::{cache, db};

/// Why nothing was done. `Loading`, `Full`, `Unsettled` and `Unavailable` are worth a retry with the same event id.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// Too little.
    #[error("{balance} can be spent, {needed} is needed")]
    Insufficient {
        /// What can be spent.
        balance: Amount,
        /// What was asked for.
        needed: Amount,
    },
    /// There is no such account.
    #[error("there is no account for {0}")]
    NoAccount(Account),
    /// The event is accepted, and its books are not in the database yet.
    #[error("the event {0} is accepted and not settled yet; repeat it with the same event id to learn its outcome")]
    Unsettled(EventId),
    /// What the event had held was given back; it will never be settled.
    #[error("the event {0} was voided: what it held was given back, and it will never be settled")]
    Voided(EventId),
    /// The event id is known with other content.
    #[error("the event id {0} was used for something else")]
    Reused(EventId),
    /// The index of the counter that stood in the way.
    #[error("counter {0} is at its maximum")]
    LimitReached(usize),
    /// The account is being loaded or its bucket recovered.
    #[error("the balance is being loaded")]
    Loading,
    /// Too many events wait to be settled.
    #[error("{0} is full")]
    Full(&'static str),
    /// A backend does not answer; the outcome is not known.
    #[error("unavailable: {0}")]
    Unavailable(String),
    /// A field is wrong.
    #[error("{0}")]
    Invalid(String),
}

impl From<cache::Error> for Error {
    fn from(error: cache::Error) -> Self {
        match error {
            cache::Error::Full(what) => Error::Full(what),
            cache::Error::Unavailable(why) => Error::Unavailable(why),
            cache::Error::Recovering => Error::Loading,
            cache::Error::WrongKind(key) => Error::Invalid(format!("key {key:?} holds another kind of value")),
        }
    }
}

impl From<db::Error> for Error {
    fn from(error: db::Error) -> Self {
        Error::Unavailable(error.to_string())
    }
}

impl From<Overflow> for Error {
    fn from(overflow: Overflow) -> Self {
        Error::Invalid(overflow.to_string())
    }
}
