//! How much waits in the queue: the bound that keeps an outage of the database from filling it without end.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::Shared;

/// How often to look, in times of renewing leases: asking costs the queue some questions for each group, and what is published in between
/// may go beyond the bound.
const LOOK_EVERY: u32 = 5;
/// Looks without an answer after which what was known no longer counts: a part of the queue may be away for longer than the rest is full.
const UNKNOWN_MAX: u32 = 5;

/// Looks now and then whether more waits than may. One task of a relay. While the queue does not answer, what was known
/// stands for some looks.
pub(super) async fn watch(shared: Arc<Shared>, stop: CancellationToken) {
    let _ = stop
        .run_until_cancelled(async {
            let mut unknown = 0_u32;
            loop {
                match shared.relay.queue.backlog().await {
                    Ok(waiting) => {
                        unknown = 0;
                        look(&shared, waiting);
                    }
                    Err(error) => {
                        unknown += 1;
                        tracing::debug!(%error, "it is not known how much waits in the queue");
                    }
                }
                if unknown == UNKNOWN_MAX && shared.is_queue_full.swap(false, Ordering::Relaxed) {
                    tracing::warn!("it is not known how far settling is behind: events are published again");
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
