//! Keeps up with what other host processes change.
//!
//! Every change is announced over the push bus, and whoever hears of it looks at once. Announcements may be lost, so everybody also looks
//! now and then without one.
//!
//! Every change of a room has an audit entry with a growing number. This looks for new ones, and reads anew each room that is held here in
//! an older version than the database has. Two changes that overlap may become visible in the other order, so each look goes back over
//! the last few numbers; reading a room twice changes nothing. The plugins were told by the process that made the change.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::snapshot::Snapshot;
use super::{Error, Rooms};
use crate::domain::RoomId;
use crate::ports::db;

/// How soon after a look the next one may be, however many changes are announced.
const LOOK_PAUSE: Duration = Duration::from_millis(20);
/// Changes that are read at a time.
const PAGE_MAX: usize = 1_000;
/// How many numbers each look goes back, and the first one.
const OVERLAP: i64 = 64;
const FIRST_LOOK: i64 = 1_000;

/// How far this process has followed.
#[derive(Default)]
struct Seen {
    last: Option<i64>,
    /// The rooms of the last look, which the next one meets again.
    recent: HashMap<RoomId, i64>,
}

/// Returns when something was announced; never, once the bus is gone.
async fn heard(announced: &mut watch::Receiver<()>) {
    tokio::time::sleep(LOOK_PAUSE).await;
    if announced.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

impl Rooms {
    /// Takes over what other processes change, until it is told to stop: when they announce it, and by looking after `look_every`. One
    /// task in a process that shares its database.
    pub async fn follow(self: Arc<Self>, look_every: Duration, shutdown: CancellationToken) {
        let mut seen = Seen::default();
        let mut is_told = false;
        let mut announced = self.registry.announced();
        while !shutdown.is_cancelled() {
            match self.catch_up(&mut seen).await {
                Ok(()) => is_told = false,
                Err(error) if !std::mem::replace(&mut is_told, true) => {
                    tracing::warn!(%error, "cannot look for changes of rooms; will try again");
                }
                Err(_) => {}
            }
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = tokio::time::sleep(look_every) => {}
                () = heard(&mut announced) => self.registry.forget_rows(),
            }
        }
    }

    /// One look. The first one begins before the last changes, because rooms were read at the start a moment ago.
    async fn catch_up(&self, seen: &mut Seen) -> Result<(), Error> {
        self.registry.catch_up().await.map_err(|error| db::Error::Unavailable(error.to_string()))?;
        let last = match seen.last {
            Some(last) => last,
            None => self.db.last_change().await?.saturating_sub(FIRST_LOOK),
        };
        let changes = self.db.changes(last.saturating_sub(OVERLAP), PAGE_MAX).await?;
        let mut recent = HashMap::with_capacity(changes.len());
        for change in &changes {
            if seen.recent.get(&change.room_id) != Some(&change.version) {
                self.take_over(change.room_id, change.version).await?;
            }
            recent.insert(change.room_id, change.version);
        }
        *seen = Seen { last: changes.last().map(|change| change.id).max(Some(last)), recent };
        Ok(())
    }

    /// Reads a room anew if this process does not hold it in this version.
    async fn take_over(&self, room: RoomId, version: i64) -> Result<(), Error> {
        let is_newer = |held: &Arc<Snapshot>| held.version >= version;
        let _turn = self.turn(room).await;
        let before = self.held.read().get(&room).cloned();
        if before.as_ref().is_some_and(is_newer) {
            return Ok(());
        }
        let Some((row, bindings)) = self.db.room(room).await? else { return Ok(()) };
        let after = Arc::new(Snapshot::restore(row, bindings, &self.registry, before.as_deref()));
        let mut held = self.held.write();
        if after.is_active() {
            drop(held.insert(room, after))
        } else {
            drop(held.remove(&room))
        }
        Ok(())
    }
}
