//! Consuming a batch of events. Step 8 of the way of a gift.
//!
//! One poison event must not hold up its neighbours: if the batch as a whole gives no verdicts, each event is tried alone. Which try
//! is the last is the settling's business, not ours. Failures here do not open the circuit of the plugin's routes.

use std::sync::Arc;
use std::time::Duration;

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
    let mut verdicts = Vec::with_capacity(batch.len());
    for (index, delivery) in batch.iter().enumerate() {
        let attempt = attempts.get(index).copied().unwrap_or(1);
        let alone = handle(caller, plugin, std::slice::from_ref(delivery), &[attempt]).await;
        verdicts.extend(verdicts_or_retry(alone, 1)?);
    }
    Ok(verdicts)
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
