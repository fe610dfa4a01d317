//! Handing a batch to whoever consumes it.

use std::time::Duration;

use super::Settle;
use crate::domain::{Event, Posting};
use crate::ledger::{self, Transfer};
use crate::plugin::{self, Verdict};
use crate::ports::db::PostResult;
use crate::ports::queue::Delivery;

/// Whoever consumes a group's events.
pub(super) enum Consumer {
    /// The newest version of a plugin.
    Plugin(String),
    /// The host itself: transfers.
    Transfers,
}

/// The consumer gave no verdicts at all; the batch must be handed to it again after a while.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub(super) struct NotConsumed {
    pub reason: String,
    pub retry_after: Duration,
}

/// How long to wait for a consumer that gave no verdicts and did not say when to come back.
const RETRY_AFTER: Duration = Duration::from_millis(500);

impl Consumer {
    /// One verdict for each event. `attempts` are the numbers of the tries.
    pub async fn consume(
        &self,
        settle: &Settle,
        batch: &[Delivery],
        attempts: &[u32],
    ) -> Result<Vec<Verdict>, NotConsumed> {
        match self {
            Consumer::Plugin(name) => {
                let Some(plugin) = settle.registry.get(name, None) else {
                    let reason = format!("plugin {name} is not installed");
                    return Err(NotConsumed { reason, retry_after: RETRY_AFTER });
                };
                Ok(settle.registry.consume(&plugin, batch, attempts).await?)
            }
            Consumer::Transfers => Ok(post_transfers(settle, batch).await?),
        }
    }
}

impl From<plugin::Error> for NotConsumed {
    fn from(error: plugin::Error) -> Self {
        let retry_after = match &error {
            plugin::Error::Suspended { retry_after, .. } => *retry_after,
            _ => RETRY_AFTER,
        };
        Self { reason: error.to_string(), retry_after }
    }
}

impl From<ledger::Error> for NotConsumed {
    fn from(error: ledger::Error) -> Self {
        Self { reason: error.to_string(), retry_after: RETRY_AFTER }
    }
}

async fn post_transfers(settle: &Settle, batch: &[Delivery]) -> Result<Vec<Verdict>, NotConsumed> {
    let read: Vec<Result<Posting, String>> = batch.iter().map(|delivery| books(&delivery.event)).collect();
    let postings: Vec<Posting> = read.iter().flatten().cloned().collect();
    let mut results = settle.ledger.post(&postings).await?.into_iter();
    let verdicts = read.into_iter().map(|posting| match posting {
        Err(fault) => Verdict::Reject(fault),
        Ok(_) => match results.next() {
            Some(PostResult::Posted | PostResult::Duplicate | PostResult::Voided) => Verdict::Ack,
            Some(PostResult::Conflict) => Verdict::Reject("the event id was posted with other content".into()),
            Some(PostResult::Overflow) => Verdict::Reject("a balance would not fit in 64 bits".into()),
            None => Verdict::RetryAfter(RETRY_AFTER),
        },
    });
    Ok(verdicts.collect())
}

/// The books of a transfer, checked: one that is at fault must not take its neighbours with it.
fn books(event: &Event) -> Result<Posting, String> {
    let posting = Transfer::posting(event).map_err(|fault| fault.to_string())?;
    posting.check().map_err(|fault| fault.to_string())?;
    Ok(posting)
}
