//! Fires the timers that are due.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream;
use tokio_util::sync::CancellationToken;

use super::Rooms;
use crate::timer::{Timer, Timers};

/// How often due timers are looked for.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Timers of one shard that are taken at a time.
const BATCH_MAX: usize = 256;
/// Timers that fire at the same time.
const CONCURRENCY_MAX: usize = 64;

impl Rooms {
    /// Fires timers until it is told to stop; those that are firing then are let finish. One task in a process.
    pub async fn fire_timers(self: Arc<Self>, timers: Arc<Timers>, shutdown: CancellationToken) {
        let mut is_told = false;
        while !shutdown.is_cancelled() {
            let (due, all) = timers.due(BATCH_MAX).await;
            match all {
                Ok(()) => is_told = false,
                Err(error) if !std::mem::replace(&mut is_told, true) => {
                    tracing::warn!(%error, "cannot look for all due timers; will try again");
                }
                Err(_) => {}
            }
            if due.is_empty() {
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    () = tokio::time::sleep(LOOK_EVERY) => continue,
                }
            }
            stream::iter(due).for_each_concurrent(CONCURRENCY_MAX, |timer| self.fire(&timers, timer)).await;
        }
    }

    async fn fire(&self, timers: &Timers, timer: Timer) {
        let done = match self.context(timer.room_id, &timer.plugin).await {
            Ok(Some(context)) => match self.registry.fire(&context, &timer.key, &timer.payload).await {
                Ok(Ok(())) => true,
                Ok(Err(reason)) => put_off(&timer, &reason),
                Err(error) => put_off(&timer, &error.to_string()),
            },
            Ok(None) | Err(super::Error::RoomNotFound(_)) => {
                tracing::error!(plugin = %timer.plugin, room = %timer.room_id, key = %timer.key, "a timer has no plugin");
                put_off(&timer, "its plugin is not bound in the room")
            }
            Err(error) => put_off(&timer, &error.to_string()),
        };
        let written = if done { timers.fired(&timer).await } else { timers.put_off(&timer).await };
        if let Err(error) = written {
            tracing::warn!(plugin = %timer.plugin, room = %timer.room_id, %error, "a timer will fire again");
        }
    }
}

fn put_off(timer: &Timer, reason: &str) -> bool {
    metrics::counter!("greenroom_timer_failures_total").increment(1);
    tracing::warn!(plugin = %timer.plugin, room = %timer.room_id, key = %timer.key, reason, "a timer is put off");
    false
}
