//! Telling readers of the queue outside of dead letters.
//!
//! The table has a dead letter before the offset of its event is committed, and with it the duty to tell of it. This task does that duty,
//! beside the workers: a topic that cannot be written to holds no partition up, and what it could not be told is told later, at least
//! once. Only a letter that an operator replays or drops before it could be told is not told of.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Settle;

/// How often letters are looked for.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// The longest wait after failures.
const LOOK_EVERY_MAX: Duration = Duration::from_secs(30);
/// Letters of one look.
const LETTERS_MAX: usize = 100;
/// How long another host leaves letters to this one. Longer than a publish takes.
const OURS_FOR: Duration = Duration::from_secs(60);

/// Tells until it is told to stop. One task in a process.
pub(super) async fn run(settle: &Settle, shutdown: CancellationToken) {
    let (mut wait, mut is_told) = (LOOK_EVERY, false);
    while shutdown.run_until_cancelled(tokio::time::sleep(wait)).await.is_some() {
        wait = match some(settle).await {
            Ok(()) => {
                is_told = false;
                LOOK_EVERY
            }
            Err(error) => {
                if !std::mem::replace(&mut is_told, true) {
                    tracing::warn!(%error, "dead letters cannot be told of now; the table has them");
                }
                (wait * 2).min(LOOK_EVERY_MAX)
            }
        };
    }
}

async fn some(settle: &Settle) -> Result<(), String> {
    let now_ms = settle.clock.now_ms();
    let until_ms = now_ms.saturating_add(u64::try_from(OURS_FOR.as_millis()).unwrap_or(u64::MAX));
    let letters = settle
        .deliveries
        .unpublished_dead_letters(now_ms, until_ms, LETTERS_MAX)
        .await
        .map_err(|error| error.to_string())?;
    if letters.is_empty() {
        return Ok(());
    }
    settle.queue.tell_dead(&letters).await.map_err(|error| error.to_string())?;
    let ids: Vec<i64> = letters.iter().map(|letter| letter.id).collect();
    settle.deliveries.dead_letters_published(&ids).await.map_err(|error| error.to_string())
}
