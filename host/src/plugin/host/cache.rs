//! `greenroom:cache`: the plugin's own keys.

use std::sync::Arc;

use futures::future::try_join_all;
use greenroom_manifest::Grant;

use super::{length, size};
use crate::plugin::bindings::greenroom::cache::cache::{Check, Error, Host, Outcome, Ranked, Write};
use crate::plugin::state::State;
use crate::ports::cache::{self as port, Commit, CommitResult, Shard};

/// A shard's name, a key, a member: their greatest length in bytes.
pub(super) const NAME_BYTES_MAX: usize = 128;
/// The greatest value.
pub(super) const VALUE_BYTES_MAX: usize = 64 * 1024;
const WRITES_MAX: usize = 10_000;
const CHECKS_MAX: usize = 1_000;
/// All values of one commit together.
const COMMIT_BYTES_MAX: usize = 1024 * 1024;
const PAGE_MAX: u32 = 1_000;
/// Counters and keys of one call that reads many.
const COUNTERS_MAX: usize = 4_096;
const KEYS_MAX: usize = 1_024;
/// All values of a call that reads many; and how many of them are read at the same time, so that what is too much is not read first.
const MANY_BYTES_MAX: usize = 4 * 1024 * 1024;
const READS_AT_ONCE: usize = 64;

impl Host for State {
    async fn get(&mut self, shard: String, key: String) -> wasmtime::Result<Result<Option<Vec<u8>>, Error>> {
        self.enter()?;
        Ok(get(self, &shard, &key).await)
    }

    async fn get_counter(&mut self, shard: String, key: String) -> wasmtime::Result<Result<i64, Error>> {
        self.enter()?;
        let shard = match open(self, &shard, &key) {
            Ok(shard) => shard,
            Err(error) => return Ok(Err(error)),
        };
        let now_ms = self.ports.clock.now_ms();
        Ok(self.ports.cache.counter(&shard, &key, now_ms).await.map_err(Error::from))
    }

    async fn get_counters(&mut self, counters: Vec<(String, String)>) -> wasmtime::Result<Result<Vec<i64>, Error>> {
        self.enter()?;
        Ok(get_counters(self, &counters).await)
    }

    async fn get_many(&mut self, keys: Vec<(String, String)>) -> wasmtime::Result<Result<Vec<Option<Vec<u8>>>, Error>> {
        self.enter()?;
        Ok(get_many(self, &keys).await)
    }

    async fn contains(&mut self, shard: String, key: String, member: String) -> wasmtime::Result<Result<bool, Error>> {
        self.enter()?;
        let shard = match open(self, &shard, &key).and_then(|shard| named("member", &member).map(|()| shard)) {
            Ok(shard) => shard,
            Err(error) => return Ok(Err(error)),
        };
        let now_ms = self.ports.clock.now_ms();
        Ok(self.ports.cache.contains(&shard, &key, &member, now_ms).await.map_err(Error::from))
    }

    async fn commit(
        &mut self,
        shard: String,
        once: Option<String>,
        checks: Vec<Check>,
        writes: Vec<Write>,
    ) -> wasmtime::Result<Result<Outcome, Error>> {
        self.enter()?;
        Ok(commit(self, &shard, once, checks, writes).await)
    }

    async fn top(
        &mut self,
        shard: String,
        key: String,
        offset: u32,
        limit: u32,
    ) -> wasmtime::Result<Result<Vec<Ranked>, Error>> {
        self.enter()?;
        if limit > PAGE_MAX {
            return Ok(Err(Error::Invalid(format!("limit is {limit}; it may be up to {PAGE_MAX}"))));
        }
        let shard = match open(self, &shard, &key) {
            Ok(shard) => shard,
            Err(error) => return Ok(Err(error)),
        };
        let now_ms = self.ports.clock.now_ms();
        let page = self.ports.cache.top(&shard, &key, offset as usize, limit as usize, now_ms).await;
        Ok(page.map(|page| page.into_iter().map(Ranked::from).collect()).map_err(Error::from))
    }

    async fn rank(
        &mut self,
        shard: String,
        key: String,
        member: String,
    ) -> wasmtime::Result<Result<Option<Ranked>, Error>> {
        self.enter()?;
        let shard = match open(self, &shard, &key).and_then(|shard| named("member", &member).map(|()| shard)) {
            Ok(shard) => shard,
            Err(error) => return Ok(Err(error)),
        };
        let now_ms = self.ports.clock.now_ms();
        let place = self.ports.cache.rank(&shard, &key, &member, now_ms).await;
        Ok(place.map(|place| place.map(Ranked::from)).map_err(Error::from))
    }
}

async fn get(state: &mut State, shard: &str, key: &str) -> Result<Option<Vec<u8>>, Error> {
    let shard = open(state, shard, key)?;
    let value = state.ports.cache.get(&shard, key, state.ports.clock.now_ms()).await?;
    Ok(value.map(Into::into))
}

async fn get_counters(state: &mut State, counters: &[(String, String)]) -> Result<Vec<i64>, Error> {
    let shards = open_many(state, "counters", counters, COUNTERS_MAX)?;
    let (ports, now_ms) = (Arc::clone(&state.ports), state.ports.clock.now_ms());
    let named = shards.iter().zip(counters);
    let reads: Vec<_> = named.map(|(shard, (_, key))| ports.cache.counter(shard, key, now_ms)).collect();
    Ok(try_join_all(reads).await?)
}

async fn get_many(state: &mut State, keys: &[(String, String)]) -> Result<Vec<Option<Vec<u8>>>, Error> {
    let shards = open_many(state, "keys", keys, KEYS_MAX)?;
    let (ports, now_ms) = (Arc::clone(&state.ports), state.ports.clock.now_ms());
    let mut values = Vec::with_capacity(keys.len());
    let mut bytes: usize = 0;
    for (shards, keys) in shards.chunks(READS_AT_ONCE).zip(keys.chunks(READS_AT_ONCE)) {
        let named = shards.iter().zip(keys);
        let reads: Vec<_> = named.map(|(shard, (_, key))| ports.cache.get(shard, key, now_ms)).collect();
        for value in try_join_all(reads).await? {
            bytes = bytes.saturating_add(value.as_ref().map_or(0, |value| value.len()));
            size("all values together", bytes, MANY_BYTES_MAX).map_err(Error::Invalid)?;
            values.push(value.map(Into::into));
        }
    }
    Ok(values)
}

/// The shards of many keys, once the grant, their number and the names are in order.
fn open_many(state: &State, field: &str, named: &[(String, String)], max: usize) -> Result<Vec<Shard>, Error> {
    if named.len() > max {
        return Err(Error::Invalid(format!("{field} has {} elements; it may have up to {max}", named.len())));
    }
    state.granted(Grant::Cache).map_err(Error::NotGranted)?;
    named.iter().map(|(shard, key)| open(state, shard, key)).collect()
}

async fn commit(
    state: &mut State,
    shard: &str,
    once: Option<String>,
    checks: Vec<Check>,
    writes: Vec<Write>,
) -> Result<Outcome, Error> {
    state.granted(Grant::Cache).map_err(Error::NotGranted)?;
    named("shard", shard)?;
    if let Some(once) = &once {
        length("once", once, 64).map_err(Error::Invalid)?;
    }
    if checks.len() > CHECKS_MAX || writes.len() > WRITES_MAX {
        let why = format!("{} checks, {} writes; up to {CHECKS_MAX} and {WRITES_MAX}", checks.len(), writes.len());
        return Err(Error::Invalid(why));
    }
    let bytes: usize = writes.iter().map(|write| if let Write::Put(put) = write { put.value.len() } else { 0 }).sum();
    size("all values together", bytes, COMMIT_BYTES_MAX).map_err(Error::Invalid)?;
    let commit = Commit {
        shard: shard_of(state, shard),
        once: once.map(Into::into),
        checks: checks.into_iter().map(check).collect::<Result<_, _>>()?,
        writes: writes.into_iter().enumerate().map(|(index, write)| change(index, write)).collect::<Result<_, _>>()?,
        events: Vec::new(),
        now_ms: state.ports.clock.now_ms(),
    };
    let cache = Arc::clone(&state.ports.cache);
    Ok(match cache.commit(commit).await? {
        CommitResult::Applied(numbers, position) => {
            state.call.reached(position);
            Outcome::Applied(numbers)
        }
        CommitResult::CheckFailed(index) => Outcome::CheckFailed(number(index)),
        CommitResult::LimitReached(index) => Outcome::LimitReached(number(index)),
        CommitResult::Repeated(position) => {
            state.call.reached(position);
            Outcome::Repeated
        }
    })
}

/// The shard, once the grant and the names are in order.
pub(super) fn open(state: &State, shard: &str, key: &str) -> Result<Shard, Error> {
    state.granted(Grant::Cache).map_err(Error::NotGranted)?;
    named("shard", shard)?;
    named("key", key)?;
    Ok(shard_of(state, shard))
}

/// A shard in the plugin's own space: no name reaches another plugin's.
pub(super) fn shard_of(state: &State, shard: &str) -> Shard {
    Shard { plugin: Arc::clone(&state.profile.name), name: shard.into() }
}

fn named(field: &str, name: &str) -> Result<(), Error> {
    length(field, name, NAME_BYTES_MAX).map_err(Error::Invalid)
}

fn check(check: Check) -> Result<port::Check, Error> {
    named("checks[].key", &check.key)?;
    Ok(port::Check { key: check.key.into(), expected: check.expected.map(Into::into) })
}

fn change(index: usize, write: Write) -> Result<port::Write, Error> {
    let wrong = |why: String| Error::Invalid(format!("writes[{index}]: {why}"));
    let key = |key: String| length("key", &key, NAME_BYTES_MAX).map(|()| Arc::<str>::from(key)).map_err(wrong);
    let member = |name: String| length("member", &name, NAME_BYTES_MAX).map(|()| Arc::<str>::from(name)).map_err(wrong);
    let ttl = |ttl_ms: Option<u32>| match ttl_ms {
        Some(0) => Err(wrong("ttl-ms is 0; it must be 1 or more".into())),
        other => Ok(other),
    };
    Ok(match write {
        Write::Put(put) => {
            size("value", put.value.len(), VALUE_BYTES_MAX).map_err(wrong)?;
            port::Write::Put { key: key(put.key)?, value: put.value.into(), ttl_ms: ttl(put.ttl_ms)? }
        }
        Write::Delete(name) => port::Write::Delete { key: key(name)? },
        Write::Add(add) => {
            port::Write::Add { key: key(add.key)?, delta: add.delta, max: add.max, ttl_ms: ttl(add.ttl_ms)? }
        }
        Write::SetAdd(set) => port::Write::SetAdd { key: key(set.key)?, member: member(set.member)? },
        Write::SetRemove(set) => port::Write::SetRemove { key: key(set.key)?, member: member(set.member)? },
        Write::RankAdd(score) => port::Write::RankAdd {
            key: key(score.key)?,
            member: member(score.member)?,
            delta: score.delta,
            ttl_ms: ttl(score.ttl_ms)?,
        },
        Write::RankEnter(entrant) => port::Write::RankEnter {
            key: key(entrant.key)?,
            member: member(entrant.member)?,
            max: entrant.max,
            ttl_ms: ttl(entrant.ttl_ms)?,
        },
    })
}

fn number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

impl From<port::Ranked> for Ranked {
    fn from(ranked: port::Ranked) -> Self {
        Self { member: ranked.member.as_ref().into(), score: ranked.score, rank: ranked.rank }
    }
}

impl From<port::Error> for Error {
    fn from(error: port::Error) -> Self {
        match error {
            port::Error::Full(_) => Error::Overloaded,
            // No outage: the events of a batch go on to another try, so that settling passes what recovering waits for.
            port::Error::Recovering => Error::Unavailable(port::Error::Recovering.to_string()),
            port::Error::Unavailable(cause) => Error::Unavailable(super::unavailable("the cache", &cause)),
            port::Error::WrongKind(key) => Error::WrongKind(key),
        }
    }
}
