//! The database: the settled ledger, and everything an operator decides. Step 9 of the way of a gift.
//!
//! One trait for each part of the house that uses it; an adapter implements them all over one set of tables.

mod deliveries;
mod ledger;
mod plugins;
mod pots;
mod rooms;
mod statements;

use async_trait::async_trait;

pub use deliveries::{DeadLetter, Deliveries, Retry};
pub use ledger::{Difference, KnownEvent, Ledger, PostResult, Posted, PostedEvent, Record, RecordCursor};
pub use plugins::{Plugins, StoredPlugin};
pub use pots::Pots;
pub use rooms::{AuditEntry, BindingRow, RoomChange, RoomRow, Rooms, StreamRow};
pub use statements::{Statements, Step, TransactError, Value};

/// One set of tables that is all of these.
#[async_trait]
pub trait Database: Ledger + Pots + Rooms + Plugins + Deliveries + Statements {
    /// Whether the database answers.
    ///
    /// # Errors
    /// If it does not.
    async fn ping(&self) -> Result<(), Error>;

    /// Waits for what runs and closes every connection. Calls after it are `Unavailable`.
    async fn close(&self);
}

/// Why nothing was read or written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The database does not answer. A write was made entirely or not at all; asking again is safe.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// The database answers and asks to try again: a lock is not to be had, its disk is full, a statement took too long. Nothing was
    /// written.
    #[error("the database asks to try again: {0}")]
    Busy(String),
    /// The database refused for good: a fault in this program or in the data.
    #[error("the database refused: {0}")]
    Refused(String),
}
