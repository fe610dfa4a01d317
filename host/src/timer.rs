//! Durable one-shot timers, one set for each (plugin, room), kept in the cache's key space.
//!
//! A timer is durable once the position that setting it returned is. Firing is at least once: a timer is removed only after its
//! plugin has answered, and put off with backoff if it failed. A timer that was set anew while it was firing stays. Of several host
//! processes one fires the timers of a shard at a time, by a lease; a process that dies is replaced when its lease has ended.
//!
//! A timer is marked before it is fired. That is what tells whoever wants to be sure of a firing to come (`ensure`) that this one has
//! begun, whatever the clocks of the hosts say. What fires, what is marked and what has fired is written in one step for many timers.

mod firing;
mod take;
mod turn;

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::domain::RoomId;
use crate::ports::cache::{Cache, Check, Commit, CommitResult, Error, Position, Shard, Write};
use crate::ports::clock::Clock;
use turn::Turns;

pub use firing::Firing;
pub use take::{Ended, Taken};

/// Over how many shards the timers of all rooms are spread.
pub const SHARDS: u64 = 16;
/// The ranking of a shard's timers by due time; the earliest has the highest score.
const DUE: &str = "due";
/// How often it is tried to be sure of a timer that somebody else is changing at the same time.
const ENSURE_TRIES_MAX: usize = 16;

/// A timer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timer {
    /// Whose.
    pub plugin: Arc<str>,
    /// In which room.
    pub room_id: RoomId,
    /// The plugin's own key.
    pub key: Arc<str>,
    /// When it is due, in milliseconds since the Unix epoch.
    pub due_ms: u64,
    /// Handed to the plugin.
    pub payload: Vec<u8>,
    /// How often firing has failed.
    pub failures: u32,
    /// Whether some process has begun to fire it.
    pub is_firing: bool,
}

/// Sets, cancels and finds timers; `room` fires them.
pub struct Timers {
    cache: Arc<dyn Cache>,
    clock: Arc<dyn Clock>,
    plugin: Arc<str>,
    due: Arc<str>,
    /// None if no other process uses the cache.
    turns: Option<Turns>,
}

impl Timers {
    /// Over a cache that is this process's alone.
    #[must_use]
    pub fn new(cache: Arc<dyn Cache>, clock: Arc<dyn Clock>) -> Self {
        Self { cache, clock, plugin: "greenroom".into(), due: DUE.into(), turns: None }
    }

    /// Over a cache that several processes share; the name of this one is not that of any other.
    #[must_use]
    pub fn shared(cache: Arc<dyn Cache>, clock: Arc<dyn Clock>, process: &str) -> Self {
        Self { turns: Some(Turns::new(process)), ..Self::new(cache, clock) }
    }

    /// Sets a timer to fire so many milliseconds from now, in place of one of the same key.
    ///
    /// # Errors
    /// As the cache has them.
    pub async fn set(
        &self,
        plugin: &Arc<str>,
        room: RoomId,
        key: &str,
        after_ms: u64,
        payload: &[u8],
    ) -> Result<Position, Error> {
        let due_ms = self.clock.now_ms().saturating_add(after_ms);
        let timer = Timer::new(plugin, room, key, due_ms, payload);
        Ok(position_of(&self.commit(self.shard_of(room), Vec::new(), self.writes_of(&timer)).await?))
    }

    /// Sets a timer unless one of its key is to fire as soon. One that is firing does not count: what was written before this call is
    /// seen by a firing that begins after it.
    ///
    /// # Errors
    /// As the cache has them; `Unavailable`, too, if the timer is changed by others all the time.
    pub async fn ensure(
        &self,
        plugin: &Arc<str>,
        room: RoomId,
        key: &str,
        after_ms: u64,
        payload: &[u8],
    ) -> Result<Position, Error> {
        let due_ms = self.clock.now_ms().saturating_add(after_ms);
        let wanted = Timer::new(plugin, room, key, due_ms, payload);
        let member = wanted.member();
        for _ in 0..ENSURE_TRIES_MAX {
            let there = self.cache.get(&self.shard_of(room), &member, self.clock.now_ms()).await?;
            let soon_enough = |timer: Timer| !timer.is_firing && timer.due_ms <= due_ms;
            let is_kept = there.as_deref().and_then(decode).is_some_and(soon_enough);
            // Nothing is written then, but the step's position is after that of the timer that is relied on.
            let writes = if is_kept { Vec::new() } else { self.writes_of(&wanted) };
            let checks = vec![Check { key: member.clone(), expected: there }];
            if let CommitResult::Applied(_, position) = self.commit(self.shard_of(room), checks, writes).await? {
                return Ok(position);
            }
        }
        Err(Error::Unavailable("the timer is being changed by others".into()))
    }

    /// Takes a timer back; an unknown one is no error.
    ///
    /// # Errors
    /// As the cache has them.
    pub async fn cancel(&self, plugin: &Arc<str>, room: RoomId, key: &str) -> Result<Position, Error> {
        let timer = Timer::new(plugin, room, key, 0, &[]);
        let committed = self.commit(self.shard_of(room), Vec::new(), self.removal_of(&timer)).await?;
        Ok(position_of(&committed))
    }

    fn writes_of(&self, timer: &Timer) -> Vec<Write> {
        let member = timer.member();
        let score = i64::try_from(timer.due_ms).map_or(i64::MIN, |due| -due);
        vec![
            Write::Put { key: member.clone(), value: encode(timer), ttl_ms: None },
            Write::RankSet { key: self.due.clone(), member, score },
        ]
    }

    fn removal_of(&self, timer: &Timer) -> Vec<Write> {
        let member = timer.member();
        vec![Write::Delete { key: member.clone() }, Write::RankRemove { key: self.due.clone(), member }]
    }

    async fn commit(&self, shard: Shard, checks: Vec<Check>, writes: Vec<Write>) -> Result<CommitResult, Error> {
        let now_ms = self.clock.now_ms();
        self.cache.commit(Commit { shard, once: None, checks, writes, events: Vec::new(), now_ms }).await
    }

    /// Not a hash of the standard library's: a timer must be found again by a host that another compiler built.
    fn shard_of(&self, room: RoomId) -> Shard {
        self.shard(room.0.unsigned_abs() % SHARDS)
    }

    fn shard(&self, index: u64) -> Shard {
        Shard { plugin: self.plugin.clone(), name: format!("timers/{index}").into() }
    }
}

impl Timer {
    fn new(plugin: &Arc<str>, room_id: RoomId, key: &str, due_ms: u64, payload: &[u8]) -> Self {
        let (plugin, payload) = (plugin.clone(), payload.to_vec());
        Self { plugin, room_id, key: key.into(), due_ms, payload, failures: 0, is_firing: false }
    }

    /// Its name in its shard. A plugin's name has no slash.
    fn member(&self) -> Arc<str> {
        format!("{}/{}/{}", self.plugin, self.room_id, self.key).into()
    }
}

fn position_of(committed: &CommitResult) -> Position {
    match committed {
        CommitResult::Applied(_, position) | CommitResult::Repeated(position) => *position,
        CommitResult::CheckFailed(_) | CommitResult::LimitReached(_) => Position::default(),
    }
}

fn encode(timer: &Timer) -> Bytes {
    postcard::to_stdvec(timer).map(Bytes::from).unwrap_or_default()
}

fn decode(bytes: &[u8]) -> Option<Timer> {
    postcard::from_bytes(bytes).ok()
}
