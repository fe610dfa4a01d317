//! Events that could not be consumed at once: waiting for another try, or set aside for an operator.

use async_trait::async_trait;

use super::Error;
use crate::domain::{Account, Event};

/// An event that waits for its next try.
#[derive(Debug, Clone)]
pub struct Retry {
    /// Given by the database; 0 before.
    pub id: i64,
    /// The consumer group.
    pub group: String,
    /// Where it was in the queue.
    pub partition: u32,
    /// Where it was in the queue.
    pub offset: u64,
    /// The number of the next try; 2 or more.
    pub attempt: u32,
    /// When it is due, in milliseconds since the Unix epoch.
    pub due_ms: u64,
    /// Why the last try failed.
    pub reason: String,
    /// The event.
    pub event: Event,
}

/// An event that was set aside. Its hold stays until it is replayed or dropped.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    /// Given by the database; 0 before.
    pub id: i64,
    /// The consumer group.
    pub group: String,
    /// Where it was in the queue.
    pub partition: u32,
    /// Where it was in the queue.
    pub offset: u64,
    /// How often it was tried.
    pub attempts: u32,
    /// Why it was set aside.
    pub reason: String,
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The event.
    pub event: Event,
}

/// Retries and dead letters. (group, partition, offset) is unique in each, so setting an event aside twice is setting it aside once.
#[async_trait]
pub trait Deliveries: Send + Sync {
    /// Sets events aside in one transaction: for another try, or for an operator. A retry of the same place replaces the one that
    /// was there; a dead letter removes the retry.
    async fn set_aside(&self, retries: Vec<Retry>, dead: Vec<DeadLetter>) -> Result<(), Error>;

    /// Retries of a group that are due, oldest first, at most `limit`. They stay until removed or set aside again.
    async fn due(&self, group: &str, now_ms: u64, limit: usize) -> Result<Vec<Retry>, Error>;

    /// Removes retries that were dealt with.
    async fn remove_retries(&self, ids: &[i64]) -> Result<(), Error>;

    /// Every event that waits for a try or an operator, for recovery and reconciliation.
    async fn waiting(&self) -> Result<Vec<Event>, Error>;

    /// Those of them that this account pays for, as they are at one moment. An event that several groups set aside comes several times.
    async fn waiting_of(&self, payer: Account) -> Result<Vec<Event>, Error>;

    /// Dead letters after the given id, oldest first.
    async fn dead_letters(&self, after: i64, limit: usize) -> Result<Vec<DeadLetter>, Error>;

    /// One dead letter.
    async fn dead_letter(&self, id: i64) -> Result<Option<DeadLetter>, Error>;

    /// Dead letters that the queue's readers outside were not told of yet, oldest first, at most `limit`. Each is given to one caller
    /// until `until_ms`; if it is not [published](Deliveries::dead_letters_published) by then, it is given out again.
    async fn unpublished_dead_letters(
        &self,
        now_ms: u64,
        until_ms: u64,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, Error>;

    /// Remembers that these were told.
    async fn dead_letters_published(&self, ids: &[i64]) -> Result<(), Error>;

    /// Turns a dead letter back into a retry that is due now. False if there is none of that id.
    async fn replay(&self, id: i64, now_ms: u64) -> Result<bool, Error>;

    /// Removes a dead letter. False if there is none of that id.
    async fn drop_dead_letter(&self, id: i64) -> Result<bool, Error>;
}
