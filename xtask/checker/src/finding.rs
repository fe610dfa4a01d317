//! What can be wrong with a history.

use std::fmt;

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// The history is none: why, and where.
    Malformed {
        /// Place of the operation.
        index: u64,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Something that has to be read is missing.
    Incomplete(&'static str),
    /// The balances of a read do not sum up to those of the first one.
    Total {
        /// Place of the read.
        index: u64,
        /// By the first read.
        expected: i128,
        /// By this one.
        found: i128,
    },
    /// An account that is not the system's is below zero.
    Negative {
        /// Place of the read.
        index: u64,
        /// Whose.
        account: i64,
        /// Its balance.
        balance: i64,
    },
    /// A balance lies outside what the transfers until then allow.
    OutOfBounds {
        /// Place of the read.
        index: u64,
        /// Whose.
        account: i64,
        /// What was read.
        found: i64,
        /// The least that it can be.
        least: i128,
        /// The most that it can be.
        most: i128,
    },
    /// A transfer was answered, and is neither in the books nor set aside.
    Lost {
        /// Its id.
        id: String,
        /// When it was answered, in nanoseconds since the history began.
        answered_at: u64,
    },
    /// A transfer is in the books more than once, or both there and set aside.
    Twice(String),
    /// A transfer that was refused is in the books.
    Refused(String),
    /// The books have a transfer that nobody asked for.
    Unknown(String),
    /// The books have a transfer otherwise than it was asked for.
    Altered {
        /// Its id.
        id: String,
        /// What is wrong.
        why: &'static str,
    },
    /// The last read is not the first one and all lines of the books.
    Books {
        /// Whose balance.
        account: i64,
        /// By the books.
        expected: i128,
        /// By the last read.
        found: i128,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed { index, why } => write!(out, "operation {index}: {why}"),
            Self::Incomplete(what) => write!(out, "the history has no {what}"),
            Self::Total { index, expected, found } => {
                write!(out, "read {index}: all accounts together have {found}, not {expected}")
            }
            Self::Negative { index, account, balance } => write!(out, "read {index}: account {account} has {balance}"),
            Self::OutOfBounds { index, account, found, least, most } => {
                write!(out, "read {index}: account {account} has {found}, and can have {least} to {most}")
            }
            Self::Lost { id, answered_at } => write!(out, "transfer {id}, answered at {answered_at} ns, is lost"),
            Self::Twice(id) => write!(out, "transfer {id} was done twice"),
            Self::Refused(id) => write!(out, "transfer {id} was refused, and yet was done"),
            Self::Unknown(id) => write!(out, "nobody asked for transfer {id}"),
            Self::Altered { id, why } => write!(out, "transfer {id} is not what was asked for: {why}"),
            Self::Books { account, expected, found } => {
                write!(out, "account {account} ends with {found}, but its lines say {expected}")
            }
        }
    }
}
