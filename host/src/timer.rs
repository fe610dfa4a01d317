//! Durable one-shot timers, one set for each (plugin, room), kept in the cache's key space.
//!
//! A timer is durable once the position that setting it returned is. Firing is at least once: a timer is removed only after its
//! plugin has answered, and put off with backoff if it failed. A timer that was set anew while it was firing stays. Of several host
//! processes one fires the timers of a shard at a time, by a lease; a process that dies is replaced when its lease has ended.

mod turn;

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::domain::RoomId;
use crate::ports::cache::{Cache, Check, Commit, CommitResult, Error, Position, Shard, Write};
use crate::ports::clock::Clock;
use turn::Turns;

/// Over how many shards the timers of all rooms are spread.
const SHARDS: u64 = 16;
/// The ranking of a shard's timers by due time; the earliest has the highest score.
const DUE: &str = "due";
/// The first and the longest time between two tries of a timer that fails.
const BACKOFF_MS: (u64, u64) = (1_000, 60_000);

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
        let (plugin, key, payload) = (plugin.clone(), key.into(), payload.to_vec());
        self.write(&Timer { plugin, room_id: room, key, due_ms, payload, failures: 0 }, Vec::new()).await
    }

    /// Takes a timer back; an unknown one is no error.
    ///
    /// # Errors
    /// As the cache has them.
    pub async fn cancel(&self, plugin: &Arc<str>, room: RoomId, key: &str) -> Result<Position, Error> {
        self.remove(room, member(plugin, room, key), Vec::new()).await
    }

    /// Timers that are due and that this process is to fire, at most `limit` of each shard; and why those of some shards are not among
    /// them, if the cache refused one: its bucket may be recovering while the others are well.
    pub async fn due(&self, limit: usize) -> (Vec<Timer>, Result<(), Error>) {
        let now_ms = self.clock.now_ms();
        let (mut due, mut all) = (Vec::new(), Ok(()));
        for index in 0..SHARDS {
            match self.due_of(&self.shard(index), limit, now_ms).await {
                Ok(timers) => due.extend(timers),
                Err(error) => all = all.and(Err(error)),
            }
        }
        (due, all)
    }

    async fn due_of(&self, shard: &Shard, limit: usize, now_ms: u64) -> Result<Vec<Timer>, Error> {
        if let Some(turns) = &self.turns
            && !turns.take(&*self.cache, shard, now_ms).await?
        {
            return Ok(Vec::new());
        }
        let mut due = Vec::new();
        for ranked in self.cache.top(shard, DUE, 0, limit, now_ms).await? {
            if ranked.score.unsigned_abs() > now_ms {
                break;
            }
            if let Some(timer) = self.cache.get(shard, &ranked.member, now_ms).await?.and_then(|b| decode(&b)) {
                due.push(timer);
            }
        }
        Ok(due)
    }

    /// Removes a timer that has fired, unless it was set anew meanwhile.
    ///
    /// # Errors
    /// As the cache has them.
    pub async fn fired(&self, timer: &Timer) -> Result<(), Error> {
        let member = member(&timer.plugin, timer.room_id, &timer.key);
        let check = Check { key: member.clone(), expected: Some(encode(timer)) };
        self.remove(timer.room_id, member, vec![check]).await?;
        Ok(())
    }

    /// Puts a timer off after a failure, by 1 s and twice as long each time up to 60 s, unless it was set anew meanwhile.
    ///
    /// # Errors
    /// As the cache has them.
    pub async fn put_off(&self, timer: &Timer) -> Result<(), Error> {
        let (first, longest) = BACKOFF_MS;
        let wait_ms = first.saturating_mul(1 << timer.failures.min(10)).min(longest);
        let key = member(&timer.plugin, timer.room_id, &timer.key);
        let check = Check { key, expected: Some(encode(timer)) };
        let due_ms = self.clock.now_ms().saturating_add(wait_ms);
        let later = Timer { due_ms, failures: timer.failures.saturating_add(1), ..timer.clone() };
        self.write(&later, vec![check]).await?;
        Ok(())
    }

    async fn write(&self, timer: &Timer, checks: Vec<Check>) -> Result<Position, Error> {
        let member = member(&timer.plugin, timer.room_id, &timer.key);
        let score = i64::try_from(timer.due_ms).map_or(i64::MIN, |due| -due);
        let writes = vec![
            Write::Put { key: member.clone(), value: encode(timer), ttl_ms: None },
            Write::RankSet { key: self.due.clone(), member, score },
        ];
        self.commit(timer.room_id, checks, writes).await
    }

    async fn remove(&self, room: RoomId, member: Arc<str>, checks: Vec<Check>) -> Result<Position, Error> {
        let writes = vec![Write::Delete { key: member.clone() }, Write::RankRemove { key: self.due.clone(), member }];
        self.commit(room, checks, writes).await
    }

    async fn commit(&self, room: RoomId, checks: Vec<Check>, writes: Vec<Write>) -> Result<Position, Error> {
        let commit = Commit {
            // Not a hash of the standard library's: a timer must be found again by a host that another compiler built.
            shard: self.shard(room.0.unsigned_abs() % SHARDS),
            once: None,
            checks,
            writes,
            events: Vec::new(),
            now_ms: self.clock.now_ms(),
        };
        match self.cache.commit(commit).await? {
            CommitResult::Applied(_, position) | CommitResult::Repeated(position) => Ok(position),
            CommitResult::CheckFailed(_) | CommitResult::LimitReached(_) => Ok(Position::default()),
        }
    }

    fn shard(&self, index: u64) -> Shard {
        Shard { plugin: self.plugin.clone(), name: format!("timers/{index}").into() }
    }
}

fn member(plugin: &str, room: RoomId, key: &str) -> Arc<str> {
    format!("{plugin}/{room}/{key}").into()
}

fn encode(timer: &Timer) -> Bytes {
    postcard::to_stdvec(timer).map(Bytes::from).unwrap_or_default()
}

fn decode(bytes: &[u8]) -> Option<Timer> {
    postcard::from_bytes(bytes).ok()
}
