//! Rooms, streams and bindings: who has what enabled. Step 2 of the way of a gift.
//!
//! What a room runs is an immutable snapshot. Every change makes a new one: it is checked, told to the plugins, written with its audit
//! entry, and then swapped in as a whole, so that calls in flight finish on the old one. Starting a stream, toggling, re-configuring,
//! upgrading, rolling back and a canary are all that one operation.
//!
//! Rooms with a live stream or an enabled plugin are held in memory; others are read from the database when they are asked for.

mod change;
mod error;
mod fire;
mod follow;
mod route;
mod snapshot;
mod view;

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;
use semver::Version;
use serde_json::Value;
use tokio::sync::Mutex;

use crate::domain::{RoomId, UserId};
use crate::plugin::Registry;
use crate::ports::clock::Clock;
use crate::ports::db::{self, AuditEntry, RoomRow};

use snapshot::Snapshot;

pub use error::Error;
pub use view::{BindingChange, BindingView, NewRoom, PluginChoice, RoomView, Routed};

/// Streamers of one room.
const STREAMERS_MAX: usize = 16;
/// Characters of a title.
const TITLE_LEN_MAX: usize = 200;
/// Changes of rooms that run at the same time in one process; rooms that share a turn wait for each other.
const TURNS: usize = 64;

/// The rooms. Cheap to share.
pub struct Rooms {
    db: Arc<dyn db::Rooms>,
    registry: Arc<Registry>,
    clock: Arc<dyn Clock>,
    held: Arc<RwLock<HashMap<RoomId, Arc<Snapshot>>>>,
    turns: Vec<Mutex<()>>,
}

impl Rooms {
    /// Loads what is live.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn start(db: Arc<dyn db::Rooms>, registry: Arc<Registry>, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let mut held = HashMap::new();
        for (row, bindings) in db.live().await? {
            held.insert(row.room_id, Arc::new(Snapshot::restore(row, bindings, &registry, None)));
        }
        let turns = (0..TURNS).map(|_| Mutex::default()).collect();
        Ok(Self { db, registry, clock, held: Arc::new(RwLock::new(held)), turns })
    }

    /// Makes a room without a stream.
    ///
    /// # Errors
    /// `Invalid`, `RoomExists`, or the database.
    pub async fn create(&self, by: UserId, room: NewRoom) -> Result<RoomView, Error> {
        check_new(&room)?;
        let now_ms = self.clock.now_ms();
        let chosen = room.room_id;
        let mut row = RoomRow {
            room_id: chosen.unwrap_or_else(new_id),
            title: room.title,
            streamers: room.streamers,
            created_at_ms: now_ms,
            stream: None,
            version: 0,
        };
        loop {
            let audit = AuditEntry {
                id: 0,
                room_id: row.room_id,
                at_ms: now_ms,
                by,
                action: "room.created".into(),
                from: serde_json::Value::Null,
                to: serde_json::json!({ "title": row.title, "streamers": user_ids(&row.streamers) }),
            };
            if self.db.create(&row, &audit).await? {
                return Ok(RoomView::of(&row));
            }
            if chosen.is_some() {
                return Err(Error::RoomExists(row.room_id));
            }
            row.room_id = new_id();
        }
    }

    /// A room.
    ///
    /// # Errors
    /// `RoomNotFound`, or the database.
    pub async fn get(&self, room: RoomId) -> Result<RoomView, Error> {
        let snapshot = self.snapshot(room).await?;
        Ok(RoomView { info: snapshot.info.clone(), created_at_ms: snapshot.created_at_ms })
    }

    /// Rooms after the given id, by id, at most `limit`.
    ///
    /// # Errors
    /// The database.
    pub async fn list(&self, after: Option<RoomId>, limit: usize) -> Result<Vec<RoomView>, Error> {
        Ok(self.db.rooms(after, limit).await?.iter().map(RoomView::of).collect())
    }

    /// The room's bindings, disabled ones too.
    ///
    /// # Errors
    /// `RoomNotFound`, or the database.
    pub async fn bindings(&self, room: RoomId) -> Result<Vec<BindingView>, Error> {
        Ok(self.snapshot(room).await?.bindings.iter().map(BindingView::of).collect())
    }

    /// The room's changes before the given id, newest first, at most `limit`.
    ///
    /// # Errors
    /// `RoomNotFound`, or the database.
    pub async fn audit(&self, room: RoomId, before: Option<i64>, limit: usize) -> Result<Vec<AuditEntry>, Error> {
        self.snapshot(room).await?;
        Ok(self.db.audit(room, before, limit).await?)
    }

    /// Writes into the room's audit what somebody did there through a plugin.
    ///
    /// # Errors
    /// The database.
    pub async fn note(&self, by: UserId, room: RoomId, action: &str, what: Value) -> Result<(), Error> {
        let (action, at_ms) = (action.to_owned(), self.clock.now_ms());
        let audit = AuditEntry { id: 0, room_id: room, at_ms, by, action, from: Value::Null, to: what };
        Ok(self.db.note(&audit).await?)
    }

    /// Whether any room has a binding to this version.
    ///
    /// # Errors
    /// The database.
    pub async fn bound(&self, plugin: &str, version: &Version) -> Result<bool, Error> {
        Ok(self.db.bound(plugin, version).await?)
    }

    /// How many rooms are held in memory.
    #[must_use]
    pub fn held_len(&self) -> usize {
        self.held.read().len()
    }

    /// The room as it is now: from memory, or from the database for a room in which nothing is enabled.
    async fn snapshot(&self, room: RoomId) -> Result<Arc<Snapshot>, Error> {
        if let Some(snapshot) = self.held.read().get(&room) {
            return Ok(snapshot.clone());
        }
        // An active room that a change has put out of memory comes back in its turn, in which nobody changes it.
        let turn = self.turns.get(turn_of(room)).and_then(|turn| turn.try_lock().ok());
        let (row, bindings) = self.db.room(room).await?.ok_or(Error::RoomNotFound(room))?;
        if bindings.iter().any(|binding| self.registry.get(&binding.plugin, Some(&binding.version)).is_none()) {
            // Another process may have installed it a moment ago.
            self.registry.catch_up().await.map_err(|error| db::Error::Unavailable(error.to_string()))?;
        }
        let snapshot = Arc::new(Snapshot::restore(row, bindings, &self.registry, None));
        if turn.is_some() && snapshot.is_active() {
            self.held.write().insert(room, snapshot.clone());
        }
        Ok(snapshot)
    }
}

/// The turn in which a room is changed.
fn turn_of(room: RoomId) -> usize {
    usize::try_from(room.0.unsigned_abs() % TURNS as u64).unwrap_or(0)
}

fn check_new(room: &NewRoom) -> Result<(), Error> {
    let invalid = |field: &str, fault: &str| Err(Error::Invalid { field: field.into(), fault: fault.into() });
    if room.room_id.is_some_and(|id| id.0 < 1) {
        return invalid("roomId", "must be 1 or more");
    }
    let title_len = room.title.chars().count();
    if title_len == 0 || title_len > TITLE_LEN_MAX {
        return invalid("title", "must have 1 to 200 characters");
    }
    if room.streamers.is_empty() || room.streamers.len() > STREAMERS_MAX {
        return invalid("streamers", "must be 1 to 16 user ids");
    }
    let mut distinct = room.streamers.clone();
    distinct.sort_unstable();
    distinct.dedup();
    if distinct.len() != room.streamers.len() || distinct.first().is_some_and(|id| id.0 < 1) {
        return invalid("streamers", "must be different user ids, each 1 or more");
    }
    Ok(())
}

/// A room id that nobody has chosen: 53 random bits, so that every client can read it, also as a number.
fn new_id() -> RoomId {
    RoomId(rand::random_range(1_000_000_000..1 << 53))
}

fn user_ids(users: &[UserId]) -> Vec<String> {
    users.iter().map(ToString::to_string).collect()
}
