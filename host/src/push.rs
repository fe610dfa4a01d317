//! Push: room messages to every connected viewer. Step 10 of the way of a gift.
//!
//! The hub takes messages off the push bus, gives each its place in its room, and wakes the room's connections, which then read
//! the room at their own pace: publishing to 10,000 connections is one append and one wake-up, and a slow reader delays nobody.
//! Bounded are the rooms, the history and the rings of each room, and the connections. It does not store messages: what is older
//! than the history, or from before this process started, is lost, and a reader who asks for it is told so.

mod connection;
mod message;
mod room;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;

pub use connection::{Connection, Delivery, Lost};
pub use message::{Message, sse_frame};

use crate::domain::{PushMessage, RoomId, UserId};
use room::Room;

/// Messages taken off the bus before connections are woken: one wake-up for a burst.
const BATCH_LEN_MAX: usize = 256;

/// What bounds the hub.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Messages that a room remembers for connections that come back.
    pub history_len_max: usize,
    /// Messages that may wait for one connection; beyond it, low ones are lost first, then normal ones.
    pub queue_len_max: usize,
    /// Rooms that are remembered.
    pub rooms_max: usize,
    /// Connections in this process.
    pub connections_max: usize,
    /// Connections in one room of this process.
    pub room_connections_max: usize,
    /// How long a room without connections and messages is remembered.
    pub idle_room_ttl: Duration,
    /// From this many connections on, a room is woken at most once in `wake_interval`.
    pub dense_room_connections_min: usize,
    /// See `dense_room_connections_min`.
    pub wake_interval: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            history_len_max: 256,
            queue_len_max: 256,
            rooms_max: 50_000,
            connections_max: 50_000,
            room_connections_max: 20_000,
            idle_room_ttl: Duration::from_secs(600),
            dense_room_connections_min: 512,
            wake_interval: Duration::from_millis(20),
        }
    }
}

/// A bound of the hub is reached; worth a retry after some seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} are at their maximum")]
pub struct Full(pub &'static str);

/// Where connections meet messages. Shared by reference count.
pub struct Hub {
    settings: Settings,
    rooms: Mutex<HashMap<RoomId, Arc<Room>>>,
    connections: Arc<AtomicUsize>,
    /// Begins every epoch of this process: no other process, and no earlier run, has the same.
    process: u32,
    epochs: AtomicUsize,
}

impl Hub {
    /// A hub without rooms.
    #[must_use]
    pub fn new(settings: Settings) -> Arc<Self> {
        Arc::new(Self {
            settings,
            rooms: Mutex::default(),
            connections: Arc::default(),
            process: rand::random(),
            epochs: AtomicUsize::new(0),
        })
    }

    /// Delivers what the bus gives until it ends or `shutdown` is cancelled; then every connection ends.
    pub async fn run(self: Arc<Self>, mut messages: mpsc::Receiver<PushMessage>, shutdown: CancellationToken) {
        let mut batch = Vec::with_capacity(BATCH_LEN_MAX);
        let mut late: HashMap<RoomId, Arc<Room>> = HashMap::new();
        let mut wake_at = Instant::now();
        let mut sweep = interval(self.settings.idle_room_ttl.max(Duration::from_millis(100)) / 4);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                () = sleep_until(wake_at), if !late.is_empty() => late.drain().for_each(|(_, room)| room.wake()),
                taken = messages.recv_many(&mut batch, BATCH_LEN_MAX) => {
                    if taken == 0 {
                        break;
                    }
                    let was_idle = late.is_empty();
                    self.publish(batch.drain(..), &mut late);
                    if was_idle {
                        wake_at = Instant::now() + self.settings.wake_interval;
                    }
                }
                _ = sweep.tick() => self.sweep(),
            }
        }
        self.rooms.lock().drain().for_each(|(_, room)| room.close());
    }

    /// Connects a user to a room. With the id of the last message that was seen, what came after it is delivered first, or a
    /// [`Delivery::HistoryLost`] that says it can't be.
    ///
    /// # Errors
    /// If the connections or the rooms are at their maximum.
    pub fn connect(&self, room_id: RoomId, user: UserId, last_id: Option<&str>) -> Result<Connection, Full> {
        if self.connections.load(Ordering::Relaxed) >= self.settings.connections_max {
            return Err(Full("the connections of this process"));
        }
        let mut rooms = self.rooms.lock();
        let room = match rooms.get(&room_id) {
            Some(room) => room.clone(),
            None if rooms.len() >= self.settings.rooms_max => return Err(Full("the rooms of this process")),
            None => rooms.entry(room_id).or_insert(self.room()).clone(),
        };
        // Under the lock of the rooms, so that a sweep cannot forget the room in between.
        Connection::open(room, user, last_id, self.connections.clone(), self.settings.room_connections_max)
    }

    /// How many connections this process has.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// How many rooms are remembered.
    #[must_use]
    pub fn rooms(&self) -> usize {
        self.rooms.lock().len()
    }

    fn room(&self) -> Arc<Room> {
        let epoch = format!("{:08x}{:x}", self.process, self.epochs.fetch_add(1, Ordering::Relaxed));
        Arc::new(Room::new(epoch, self.settings.history_len_max, self.settings.queue_len_max))
    }

    /// Appends the messages to their rooms and wakes small rooms; crowded ones are left in `late`, to be woken together.
    fn publish(&self, messages: impl Iterator<Item = PushMessage>, late: &mut HashMap<RoomId, Arc<Room>>) {
        let mut touched: HashMap<RoomId, Arc<Room>> = HashMap::new();
        for message in messages {
            let room_id = message.room_id;
            let Some(room) = touched.get(&room_id).cloned().or_else(|| self.find_or_make(room_id)) else {
                metrics::counter!("greenroom_push_dropped_total", "reason" => "rooms_full").increment(1);
                continue;
            };
            if room.publish(message) {
                touched.insert(room_id, room);
            }
        }
        for (room_id, room) in touched {
            if room.connections() >= self.settings.dense_room_connections_min {
                late.insert(room_id, room);
            } else {
                room.wake();
            }
        }
    }

    fn find_or_make(&self, room_id: RoomId) -> Option<Arc<Room>> {
        let mut rooms = self.rooms.lock();
        if let Some(room) = rooms.get(&room_id) {
            return Some(room.clone());
        }
        (rooms.len() < self.settings.rooms_max).then(|| rooms.entry(room_id).or_insert(self.room()).clone())
    }

    fn sweep(&self) {
        let ttl = self.settings.idle_room_ttl;
        self.rooms.lock().retain(|_, room| !room.idle_for(ttl));
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a floating-point number")]
        metrics::gauge!("greenroom_push_connections").set(self.connections() as f64);
    }
}

#[cfg(test)]
mod tests;
