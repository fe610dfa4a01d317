//! How much waits in the queue: the bound that keeps an outage of the database from filling it without end.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::Shared;

/// How often to look, in times of renewing leases: asking costs the queue some questions for each group, and what is published in between
/// may go beyond the bound.
const LOOK_EVERY: u32 = 5;

/// Looks now and then whether more waits than may. One task of a relay. While the queue does not answer, what was known stands.
pub(super) async fn watch(shared: Arc<Shared>, stop: CancellationToken) {
    let _ = stop
        .run_until_cancelled(async {
            loop {
                match shared.relay.queue.lag().await {
                    Ok(lag) => look(&shared, lag.values().fold(0, |sum: u64, each| sum.saturating_add(*each))),
                    Err(error) => tracing::debug!(%error, "it is not known how much waits in the queue"),
                }
                sleep(shared.relay.settings.renew_every * LOOK_EVERY).await;
            }
        })
        .await;
}

fn look(shared: &Shared, waiting: u64) {
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a floating-point number")]
    metrics::gauge!("greenroom_queue_waiting").set(waiting as f64);
    let is_full = waiting >= shared.relay.settings.queue_len_max;
    if shared.is_queue_full.swap(is_full, Ordering::Relaxed) == is_full {
        return;
    }
    if is_full {
        tracing::error!(waiting, "settling is too far behind: nothing is published until it has caught up");
    } else {
        tracing::info!(waiting, "settling has caught up: events are published again");
    }
}
