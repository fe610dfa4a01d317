//! Fires the timers that are due.
//!
//! Each shard of timers has a task, and each timer that fires has one of its own, so that guests run on every processor and one that
//! hangs holds up nobody. What fires at the same time is bounded for each shard and plugin ([`Firing`]). The next look is when the next
//! timer is due, when one has ended, or after [`LOOK_EVERY`]: another process may have set one.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Rooms;
use crate::timer::{Ended, Firing, SHARDS, Taken, Timer, Timers};

/// How long a look waits at most for the next one.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The wait before the next look when it could not be written down what has fired.
const END_FAILED_WAIT: Duration = Duration::from_secs(1);

impl Rooms {
    /// Fires timers until it is told to stop; those that are firing then are let finish. One task in a process.
    pub async fn fire_timers(self: Arc<Self>, timers: Arc<Timers>, shutdown: CancellationToken) {
        let mut shards = JoinSet::new();
        for index in 0..SHARDS {
            let shard = Shard { rooms: self.clone(), timers: timers.clone(), index, is_told: false };
            shards.spawn(shard.run(shutdown.clone()));
        }
        while shards.join_next().await.is_some() {}
    }

    /// Whether the plugin agreed that its timer has fired.
    async fn fire(&self, timer: &Timer) -> bool {
        match self.context(timer.room_id, &timer.plugin).await {
            Ok(Some(context)) => match self.registry.fire(&context, &timer.key, &timer.payload).await {
                Ok(Ok(())) => true,
                Ok(Err(reason)) => failed(timer, &reason),
                Err(error) => failed(timer, &error.to_string()),
            },
            Ok(None) | Err(super::Error::RoomNotFound(_)) => {
                tracing::error!(plugin = %timer.plugin, room = %timer.room_id, key = %timer.key, "a timer has no plugin");
                failed(timer, "its plugin is not bound in the room")
            }
            Err(error) => failed(timer, &error.to_string()),
        }
    }
}

/// The timers of one shard.
struct Shard {
    rooms: Arc<Rooms>,
    timers: Arc<Timers>,
    index: u64,
    /// Whether it was said that the cache does not answer.
    is_told: bool,
}

impl Shard {
    async fn run(mut self, shutdown: CancellationToken) {
        let mut firing = Firing::default();
        let mut tasks = JoinSet::new();
        while !shutdown.is_cancelled() {
            let taken = match self.timers.take(self.index, &mut firing).await {
                Ok(taken) => {
                    self.is_told = false;
                    taken
                }
                Err(error) => self.tell(&error),
            };
            let pause = self.pause(&taken);
            self.start(taken.timers, &mut tasks);
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
                ended = next(&mut tasks) => self.end(ended, &mut tasks, &mut firing).await,
            }
        }
        while let Some(ended) = tasks.join_next().await {
            self.end(ended.into_iter().collect(), &mut tasks, &mut firing).await;
        }
    }

    fn start(&self, timers: Vec<Timer>, tasks: &mut JoinSet<Ended>) {
        for timer in timers {
            let rooms = self.rooms.clone();
            tasks.spawn(async move {
                // Its place must be given back whatever happens.
                let fired = AssertUnwindSafe(rooms.fire(&timer)).catch_unwind().await;
                let is_done = fired.unwrap_or_else(|_| failed(&timer, "firing it panicked"));
                Ended { timer, is_done }
            });
        }
    }

    /// Until the next timer is due.
    fn pause(&self, taken: &Taken) -> Duration {
        let until = |due_ms: u64| Duration::from_millis(due_ms.saturating_sub(self.rooms.clock.now_ms()));
        taken.next_ms.map_or(LOOK_EVERY, |due_ms| until(due_ms).min(LOOK_EVERY))
    }

    /// Writes down what has ended, and with it whatever else has by now.
    async fn end(&self, mut ended: Vec<Ended>, tasks: &mut JoinSet<Ended>, firing: &mut Firing) {
        while let Some(more) = tasks.try_join_next() {
            ended.extend(more);
        }
        if ended.is_empty() {
            return;
        }
        metrics::counter!("greenroom_timers_fired_total")
            .increment(ended.iter().filter(|ended| ended.is_done).count() as u64);
        if let Err(error) = self.timers.end(self.index, ended, firing).await {
            tracing::warn!(%error, "timers will fire again");
            // They are due at once.
            tokio::time::sleep(END_FAILED_WAIT).await;
        }
    }

    fn tell(&mut self, error: &crate::ports::cache::Error) -> Taken {
        if !std::mem::replace(&mut self.is_told, true) {
            tracing::warn!(%error, "cannot look for due timers; will try again");
        }
        Taken::default()
    }
}

/// A timer that has ended; waits for ever while none fires.
async fn next(tasks: &mut JoinSet<Ended>) -> Vec<Ended> {
    match tasks.join_next().await {
        Some(ended) => ended.into_iter().collect(),
        None => std::future::pending().await,
    }
}

fn failed(timer: &Timer, reason: &str) -> bool {
    metrics::counter!("greenroom_timer_failures_total").increment(1);
    tracing::warn!(plugin = %timer.plugin, room = %timer.room_id, key = %timer.key, reason, "a timer is put off");
    false
}
