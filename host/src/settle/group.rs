//! One consumer group's batches: consumed, and what could not be is set aside; and the tries that are due.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::Settle;
use super::consume::Consumer;
use crate::plugin::Verdict;
use crate::ports::db::{self, DeadLetter, Retry};
use crate::ports::queue::Delivery;

/// Events of one batch, as the interface of plugins promises.
pub(super) const BATCH_MAX: usize = 1_000;
/// Bytes of a dead letter's reason; what is longer is cut.
const REASON_BYTES_MAX: usize = 1_000;
/// How long to wait after a backend did not answer.
pub(super) const BACKEND_WAIT: Duration = Duration::from_millis(500);

/// A group, and who consumes its events.
pub(super) struct Group {
    pub settle: Arc<Settle>,
    pub name: String,
    pub consumer: Consumer,
}

/// An event with the number of its try.
struct Tried {
    delivery: Delivery,
    attempt: u32,
}

/// A batch that was dealt with: what waits and what is dead.
#[derive(Default)]
struct SetAside {
    retries: Vec<Retry>,
    dead: Vec<DeadLetter>,
}

impl Group {
    /// Whether a batch was dealt with before the worker was told to stop.
    pub async fn settle_batch(&self, batch: Vec<Delivery>, shutdown: &CancellationToken) -> bool {
        let tried = batch.into_iter().map(|delivery| Tried { delivery, attempt: 1 });
        let (readable, unreadable): (Vec<Tried>, Vec<Tried>) = tried.partition(|tried| tried.delivery.fault.is_none());
        let aside =
            if readable.is_empty() { Some(SetAside::default()) } else { self.consume(&readable, shutdown).await };
        let Some(mut aside) = aside else { return false };
        aside.dead.extend(unreadable.iter().map(|tried| {
            let fault = tried.delivery.fault.clone().unwrap_or_default();
            self.dead_letter(tried, format!("it cannot be read: {fault}"))
        }));
        loop {
            match self.set_aside(&aside).await {
                Ok(()) => return true,
                Err(error) if shutdown.is_cancelled() => {
                    tracing::warn!(group = %self.name, %error, "stopping with a batch that will be delivered again");
                    return false;
                }
                Err(error) => {
                    tracing::warn!(group = %self.name, %error, "cannot set events aside");
                    pause(BACKEND_WAIT, shutdown).await;
                }
            }
        }
    }

    /// Tries again what is due.
    pub async fn try_again(&self, shutdown: &CancellationToken) -> Result<(), db::Error> {
        let now_ms = self.settle.clock.now_ms();
        let due = self.settle.deliveries.due(&self.name, now_ms, BATCH_MAX).await?;
        if due.is_empty() {
            return Ok(());
        }
        let ids: Vec<((u32, u64), i64)> = due.iter().map(|retry| ((retry.partition, retry.offset), retry.id)).collect();
        let tried: Vec<Tried> = due
            .into_iter()
            .map(|retry| Tried {
                delivery: Delivery {
                    partition: retry.partition,
                    offset: retry.offset,
                    event: Arc::new(retry.event),
                    fault: None,
                },
                attempt: retry.attempt,
            })
            .collect();
        let Some(aside) = self.consume(&tried, shutdown).await else { return Ok(()) };
        self.set_aside(&aside).await?;
        let again: Vec<(u32, u64)> = aside.retries.iter().map(|retry| (retry.partition, retry.offset)).collect();
        let done: Vec<i64> = ids.into_iter().filter(|(place, _)| !again.contains(place)).map(|(_, id)| id).collect();
        self.settle.deliveries.remove_retries(&done).await
    }

    /// Hands a batch to the consumer until it gives verdicts; none if it is told to stop first.
    async fn consume(&self, tried: &[Tried], shutdown: &CancellationToken) -> Option<SetAside> {
        let batch: Vec<Delivery> = tried.iter().map(|tried| tried.delivery.clone()).collect();
        let attempts: Vec<u32> = tried.iter().map(|tried| tried.attempt).collect();
        let mut is_told = false;
        loop {
            let begun = Instant::now();
            match self.consumer.consume(&self.settle, &batch, &attempts).await {
                Ok(verdicts) => {
                    metrics::counter!("greenroom_settle_events_total", "group" => self.name.clone())
                        .increment(batch.len() as u64);
                    metrics::histogram!("greenroom_settle_batch_seconds", "group" => self.name.clone())
                        .record(begun.elapsed().as_secs_f64());
                    return Some(self.sort(tried, verdicts));
                }
                Err(error) => {
                    if std::mem::replace(&mut is_told, true) {
                        tracing::debug!(group = %self.name, %error, "a batch was not consumed yet");
                    } else {
                        tracing::warn!(group = %self.name, %error, events = batch.len(), "a batch was not consumed; will try again");
                    }
                    pause(error.retry_after, shutdown).await;
                    if shutdown.is_cancelled() {
                        return None;
                    }
                }
            }
        }
    }

    /// What is to be set aside, by the verdicts.
    fn sort(&self, tried: &[Tried], verdicts: Vec<Verdict>) -> SetAside {
        let mut aside = SetAside::default();
        for (tried, verdict) in tried.iter().zip(verdicts) {
            match verdict {
                Verdict::Ack => {}
                Verdict::Reject(reason) => aside.dead.push(self.dead_letter(tried, reason)),
                Verdict::RetryAfter(asked) => match self.settle.ladder.wait_after(tried.attempt, asked) {
                    Some(wait) => aside.retries.push(self.retry(tried, wait)),
                    None => aside.dead.push(self.dead_letter(tried, "it failed at every try".into())),
                },
            }
        }
        aside
    }

    async fn set_aside(&self, aside: &SetAside) -> Result<(), db::Error> {
        if aside.retries.is_empty() && aside.dead.is_empty() {
            return Ok(());
        }
        for dead in &aside.dead {
            metrics::counter!("greenroom_dead_letters_total", "group" => self.name.clone()).increment(1);
            tracing::error!(group = %self.name, event_id = %dead.event.event_id, reason = %dead.reason, "a dead letter");
        }
        self.settle.deliveries.set_aside(aside.retries.clone(), aside.dead.clone()).await
    }

    fn retry(&self, tried: &Tried, wait: Duration) -> Retry {
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        Retry {
            id: 0,
            group: self.name.clone(),
            partition: tried.delivery.partition,
            offset: tried.delivery.offset,
            attempt: tried.attempt.saturating_add(1),
            due_ms: self.settle.clock.now_ms().saturating_add(wait_ms),
            reason: "the consumer asked for another try".into(),
            event: (*tried.delivery.event).clone(),
        }
    }

    fn dead_letter(&self, tried: &Tried, mut reason: String) -> DeadLetter {
        reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
        DeadLetter {
            id: 0,
            group: self.name.clone(),
            partition: tried.delivery.partition,
            offset: tried.delivery.offset,
            attempts: tried.attempt,
            reason,
            at_ms: self.settle.clock.now_ms(),
            event: (*tried.delivery.event).clone(),
        }
    }
}

/// Waits, but not beyond the word to stop.
pub(super) async fn pause(wait: Duration, shutdown: &CancellationToken) {
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = tokio::time::sleep(wait) => {}
    }
}
