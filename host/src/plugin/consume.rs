//! Consuming a batch of events. Step 8 of the way of a gift.
//!
//! One poison event must not hold up its neighbours: if the batch as a whole gives no verdicts, each event is tried alone. Which try
//! is the last is the settling's business, not ours. Failures here do not open the circuit of the plugin's routes.
//!
//! Bounded in time: once trying alone has taken the time of a batch, the events that were not reached are for later. Each try begins
//! at another place, so that slow poison at the front does not keep the rest from ever being reached.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::plugin::instance::{Input, Output};
use crate::plugin::invoke::Caller;
use crate::plugin::state::Kind;
use crate::plugin::{Error, Plugin, Verdict, answer};
use crate::ports::queue::Delivery;

/// How long an event that failed alone waits at least; later tries wait longer.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// One verdict for each event. Events that were handled in a batch that failed are handled again: consumers are idempotent.
///
/// # Errors
/// If there are no verdicts for a reason that lies in no event: overload, durability, no such export.
pub(crate) async fn consume(
    caller: &Caller<'_>,
    plugin: &Arc<Plugin>,
    batch: &[Delivery],
    attempts: &[u32],
) -> Result<Vec<Verdict>, Error> {
    if batch.is_empty() {
        return Ok(Vec::new());
    }
    match handle(caller, plugin, batch, attempts).await {
        Err(Error::Failed { .. } | Error::Timeout { .. }) if batch.len() > 1 => {}
        other => return verdicts_or_retry(other, batch.len()),
    }
    let mut verdicts = vec![Verdict::RetryAfter(RETRY_AFTER); batch.len()];
    let begun = Instant::now();
    for index in from(attempts.first().copied().unwrap_or(1), batch.len()) {
        if begun.elapsed() >= caller.alone_max {
            tracing::warn!(plugin = plugin.manifest.name, "a batch fails too slowly; the rest of it is for later");
            break;
        }
        let (Some(delivery), Some(verdict)) = (batch.get(index), verdicts.get_mut(index)) else { continue };
        let attempt = attempts.get(index).copied().unwrap_or(1);
        let alone = handle(caller, plugin, std::slice::from_ref(delivery), &[attempt]).await;
        if let Some(given) = verdicts_or_retry(alone, 1)?.pop() {
            *verdict = given;
        }
    }
    Ok(verdicts)
}

/// Every index below `len` once: the first try from the front, each later one from a quarter further on.
fn from(attempt: u32, len: usize) -> impl Iterator<Item = usize> {
    let quarter = attempt.saturating_sub(1) as usize % 4;
    let start = len / 4 * quarter;
    (start..len).chain(0..start)
}

/// A call that failed says: later.
fn verdicts_or_retry(answer: Result<Vec<Verdict>, Error>, len: usize) -> Result<Vec<Verdict>, Error> {
    match answer {
        Err(Error::Failed { .. } | Error::Timeout { .. }) => Ok(vec![Verdict::RetryAfter(RETRY_AFTER); len]),
        other => other,
    }
}

async fn handle(
    caller: &Caller<'_>,
    plugin: &Plugin,
    batch: &[Delivery],
    attempts: &[u32],
) -> Result<Vec<Verdict>, Error> {
    let attempt = |index: usize| attempts.get(index).copied().unwrap_or(1);
    let messages: Vec<_> =
        batch.iter().enumerate().map(|(i, delivery)| answer::message(delivery, attempt(i))).collect();
    let failed = |reason: String| Error::Failed { plugin: plugin.manifest.name.clone(), reason };
    match caller.call(plugin, Kind::Consume(batch.into()), None, Input::Consume(&messages)).await? {
        Output::Verdicts(verdicts) if verdicts.len() == batch.len() => {
            Ok(verdicts.into_iter().map(Verdict::from).collect())
        }
        Output::Verdicts(verdicts) => {
            let reason = format!("{} verdicts for {} messages", verdicts.len(), batch.len());
            tracing::warn!(plugin = plugin.manifest.name, "{reason}");
            Err(failed(reason))
        }
        _ => Err(failed("another export answered than the one called".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_try_begins_elsewhere_and_reaches_every_event() {
        let order = |attempt| from(attempt, 8).collect::<Vec<_>>();
        assert_eq!(order(1), [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(order(2), [2, 3, 4, 5, 6, 7, 0, 1]);
        assert_eq!(order(5), order(1));
        assert_eq!(from(3, 2).collect::<Vec<_>>(), [0, 1]);
    }
}
