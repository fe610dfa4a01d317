//! One atomic step in one shard of the cache, and the same step made at most once for an idempotency key.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::timers::millis;
use crate::{Caller, EventId, Problem, cache, ledger, read_json};

/// How long an answer is remembered for a repetition unless the step says otherwise: a day.
const REMEMBERED: Duration = Duration::from_secs(24 * 60 * 60);

/// Checks and writes, made together or not at all by [`Step::commit`] or [`Step::once`]. At most 10,000 writes.
#[derive(Debug, Clone, Default)]
pub struct Step {
    shard: String,
    ttl_ms: Option<u32>,
    remembered: Option<Duration>,
    checks: Vec<cache::Check>,
    writes: Vec<cache::Write>,
}

/// What became of a step that was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// The check of that number, from 0, did not hold.
    Check(u32),
    /// The write of that number, from 0, would have passed its maximum.
    Limit(u32),
}

/// What became of a step.
pub type Made<T> = Result<T, Stopped>;

/// An answer that is the same for a repetition of the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Once<T> {
    /// As it was first given.
    #[serde(flatten)]
    pub answer: T,
    /// Whether this is a repetition, and nothing was done now.
    pub replayed: bool,
}

#[derive(Serialize, serde::Deserialize)]
struct Remembered<T> {
    content: String,
    answer: T,
}

impl Step {
    /// Nothing yet, in a shard such as `room/7` or one of [`Shards`](crate::Shards).
    #[must_use]
    pub fn in_shard(shard: impl Into<String>) -> Self {
        Self { shard: shard.into(), ..Self::default() }
    }

    /// Whatever this step writes without a time to live of its own is forgotten so long after (at most 49 days).
    #[must_use]
    pub fn lasting(mut self, ttl: Duration) -> Self {
        self.ttl_ms = Some(ttl_ms(ttl));
        self
    }

    /// What [`once`](Self::once) remembers is forgotten so long after instead of a day: where many do small things, such as saying
    /// something, that is what bounds the memory.
    #[must_use]
    pub fn remembering(mut self, ttl: Duration) -> Self {
        self.remembered = Some(ttl);
        self
    }

    /// Only if the key is not there.
    #[must_use]
    pub fn absent(self, key: impl Into<String>) -> Self {
        self.expect(key, None)
    }

    /// Only if the key has these bytes, or is not there.
    #[must_use]
    pub fn expect(mut self, key: impl Into<String>, expected: Option<Vec<u8>>) -> Self {
        self.checks.push(cache::Check { key: key.into(), expected });
        self
    }

    /// Writes a value as JSON, at most 64 KiB; with `ttl` it is forgotten so long after (at most 49 days), else as
    /// [`lasting`](Self::lasting) says.
    ///
    /// # Errors
    /// If it cannot be written as JSON.
    pub fn put(
        mut self,
        key: impl Into<String>,
        value: &impl Serialize,
        ttl: Option<Duration>,
    ) -> Result<Self, Problem> {
        let value = serde_json::to_vec(value).map_err(|e| Problem::failed(format!("cache: {e}")))?;
        let ttl_ms = ttl.map(ttl_ms).or(self.ttl_ms);
        self.writes.push(cache::Write::Put(cache::Put { key: key.into(), value, ttl_ms }));
        Ok(self)
    }

    /// Adds to a counter; with `max` the step stops if it would rise above.
    #[must_use]
    pub fn add(mut self, key: impl Into<String>, delta: i64, max: Option<i64>) -> Self {
        self.writes.push(cache::Write::Add(cache::Add { key: key.into(), delta, max, ttl_ms: self.ttl_ms }));
        self
    }

    /// Numbers the members of a ranking 1, 2, 3, … in the order in which they come; who is there keeps the number. With `max` the step
    /// stops if there would be more. [`commit`](Self::commit) tells the number, [`cache::top`] lists the members, the last one first.
    #[must_use]
    pub fn enter(mut self, key: impl Into<String>, member: impl Into<String>, max: Option<u32>) -> Self {
        let (key, member, ttl_ms) = (key.into(), member.into(), self.ttl_ms);
        self.writes.push(cache::Write::RankEnter(cache::Entrant { key, member, max, ttl_ms }));
        self
    }

    /// Any other write.
    #[must_use]
    pub fn write(mut self, write: cache::Write) -> Self {
        self.writes.push(write);
        self
    }

    /// Makes it; gives one number for each write, as the cache does.
    ///
    /// # Errors
    /// As the cache has them.
    pub fn commit(&self) -> Result<Made<Vec<i64>>, Problem> {
        Ok(match cache::commit(&self.shard, None, &self.checks, &self.writes)? {
            cache::Outcome::Applied(values) => Ok(values),
            cache::Outcome::CheckFailed(index) => Err(Stopped::Check(index)),
            cache::Outcome::LimitReached(index) => Err(Stopped::Limit(index)),
            cache::Outcome::Repeated => return Err(Problem::failed("cache: a step without a key was repeated")),
        })
    }

    /// Makes it at most once for (caller, event id) in this shard within a day (or as [`remembering`](Self::remembering) says), and remembers the answer in the same step. A repetition
    /// with the same content gets the answer that was remembered, whatever the checks would say now; other content is refused. The
    /// content names all that was asked for: what is done, the things of the path, the fields of the body.
    ///
    /// # Errors
    /// 422 for other content under the same event id; else as the cache has them.
    pub fn once<T>(
        &self,
        caller: Caller,
        event_id: &EventId,
        content: &impl Serialize,
        answer: T,
    ) -> Result<Made<Once<T>>, Problem>
    where
        T: Serialize + DeserializeOwned,
    {
        let (key, content) = (once_key(caller, event_id), fingerprint(content)?);
        if let Some(known) = remembered(&self.shard, &key, &content)? {
            return Ok(Ok(known));
        }
        let known = Remembered { content: content.clone(), answer };
        let ttl = self.remembered.unwrap_or(REMEMBERED);
        let mut step = self.clone().absent(key.clone()).put(key.clone(), &known, Some(ttl))?;
        // The last check is this one; asked first, it says whether somebody was faster.
        step.checks.rotate_right(1);
        match step.commit()? {
            Ok(_) => Ok(Ok(Once { answer: known.answer, replayed: false })),
            Err(Stopped::Check(0)) => remembered(&self.shard, &key, &content)?.map(Ok).ok_or_else(at_once),
            Err(Stopped::Check(index)) => Ok(Err(Stopped::Check(index - 1))),
            Err(stopped) => Ok(Err(stopped)),
        }
    }

    /// What [`once`](Self::once) answered to this event id in this shard, or none; nothing is done. To be asked before a request is refused
    /// for a reason that may not have been there the first time, such as a close.
    ///
    /// # Errors
    /// As [`once`](Self::once) has them.
    pub fn answered<T: DeserializeOwned>(
        &self,
        caller: Caller,
        event_id: &EventId,
        content: &impl Serialize,
    ) -> Result<Option<Once<T>>, Problem> {
        remembered(&self.shard, &once_key(caller, event_id), &fingerprint(content)?)
    }
}

fn once_key(caller: Caller, event_id: &EventId) -> String {
    format!("once/{}/{event_id}", caller.user_id)
}

fn remembered<T: DeserializeOwned>(shard: &str, key: &str, content: &str) -> Result<Option<Once<T>>, Problem> {
    let Some(bytes) = cache::get(shard, key)? else { return Ok(None) };
    let known: Remembered<T> = read_json(&bytes).map_err(|e| Problem::failed(format!("a remembered answer: {e}")))?;
    if known.content != content {
        return Err(ledger::Error::EventIdReused.into());
    }
    // The first time may have been told that it is not known to be durable; a step makes the host wait for that now.
    match Step::in_shard(shard).expect(key, Some(bytes)).commit()? {
        Ok(_) => Ok(Some(Once { answer: known.answer, replayed: true })),
        Err(_) => Err(at_once()),
    }
}

fn at_once() -> Problem {
    Problem::overloaded("the same request was answered at the same time; repeat it")
}

fn fingerprint(content: &impl Serialize) -> Result<String, Problem> {
    let bytes = serde_json::to_vec(content).map_err(|e| Problem::failed(format!("content: {e}")))?;
    Ok(Sha256::digest(bytes).iter().take(16).map(|byte| format!("{byte:02x}")).collect())
}

fn ttl_ms(ttl: Duration) -> u32 {
    u32::try_from(millis(ttl)).unwrap_or(u32::MAX)
}
