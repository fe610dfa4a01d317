//! Reading the plugins' key space. Keys expire by the caller's clock; the server removes them some time later.

use std::sync::Arc;

use bytes::Bytes;
use redis::Value;

use super::cache::{RedisCache, unavailable};
use super::reply::{Reply, parse, text};
use super::scripts::{Call, KEYS, RANK, TOP};
use crate::ports::cache::{Error, Ranked, Shard};

/// How much longer the server keeps what has expired, so that no difference of clocks makes it forget too early. Half of it may have passed
/// before a step says it anew: see `SAID_EVERY_MS` of the scripts.
const KEPT_MS: u64 = 3_600_000;
/// Characters with which a place begins whose score is too long for a double to hold exactly: 16 digits or more, the sign counted.
const PLACE_LEN: usize = 20;
/// A 9 for each digit of a place.
const NINES: u64 = 9_999_999_999_999_999_999;

/// When something expires by the caller's clock, and after how long the server may remove it; empty for never.
pub(super) fn expiry(now_ms: u64, ttl_ms: Option<u32>) -> (String, String) {
    let Some(ttl_ms) = ttl_ms.map(u64::from) else { return Default::default() };
    (now_ms.saturating_add(ttl_ms).to_string(), ttl_ms.saturating_add(KEPT_MS).to_string())
}

/// What a key has first: its kind and when it expires.
fn is_live(expires: &str, now_ms: u64) -> Result<bool, String> {
    Ok(expires.is_empty() || parse::<u64>(expires)? > now_ms)
}

/// Whether the key is there, of this kind.
fn is_there(found: &mut Reply, kind: &str, key: &str, now_ms: u64) -> Result<bool, Error> {
    let found_kind = match found.value().map_err(unavailable)? {
        Value::Nil => return Ok(false),
        found_kind => text(found_kind).map_err(unavailable)?,
    };
    let expires = found.text().map_err(unavailable)?;
    if !is_live(&expires, now_ms).map_err(unavailable)? {
        return Ok(false);
    }
    if found_kind == kind { Ok(true) } else { Err(Error::WrongKind(key.into())) }
}

impl RedisCache {
    /// The field of a key of this kind, or none if the key is not there.
    async fn field(
        &self,
        shard: &Shard,
        (key, kind, field): (&str, &str, &str),
        now_ms: u64,
    ) -> Result<Option<Bytes>, Error> {
        let name = self.keys.of_shard(&shard.name).in_shard(shard, key);
        let found = self.server.ask(redis::cmd("HMGET").arg(name).arg("t").arg("e").arg(field)).await;
        let mut found = Reply::new(found.map_err(unavailable)?).map_err(unavailable)?;
        if !is_there(&mut found, kind, key, now_ms)? {
            return Ok(None);
        }
        found.bytes().map_err(unavailable)
    }

    pub(super) async fn read_bytes(&self, shard: &Shard, key: &str, now_ms: u64) -> Result<Option<Bytes>, Error> {
        self.field(shard, (key, "b", "v"), now_ms).await
    }

    pub(super) async fn read_counter(&self, shard: &Shard, key: &str, now_ms: u64) -> Result<i64, Error> {
        let Some(value) = self.field(shard, (key, "c", "v"), now_ms).await? else { return Ok(0) };
        let value = text(Value::BulkString(value.into())).and_then(|value| parse(&value));
        value.map_err(unavailable)
    }

    pub(super) async fn read_member(&self, shard: &Shard, key: &str, member: &str, now_ms: u64) -> Result<bool, Error> {
        Ok(self.field(shard, (key, "s", &format!("m{member}")), now_ms).await?.is_some())
    }

    pub(super) async fn list(
        &self,
        shard: &Shard,
        after: Option<&str>,
        limit: usize,
        now_ms: u64,
    ) -> Result<Vec<Arc<str>>, String> {
        let base = self.keys.of_shard(&shard.name).shard(shard);
        let from = after.map_or_else(|| "-".into(), |after| format!("({after}"));
        let call = Call::new(&KEYS, &[&base]).arg(from).arg(limit).arg(now_ms);
        let found = Reply::new(self.server.run(call).await?)?;
        found.rest().map(|name| text(name).map(Arc::from)).collect()
    }

    pub(super) async fn read_top(
        &self,
        shard: &Shard,
        key: &str,
        (offset, limit): (usize, usize),
        now_ms: u64,
    ) -> Result<Vec<Ranked>, Error> {
        let Some(last) = offset.saturating_add(limit).checked_sub(1).filter(|last| *last >= offset) else {
            return Ok(Vec::new());
        };
        let name = self.keys.of_shard(&shard.name).in_shard(shard, key);
        let call = Call::new(&TOP, &[&name]).arg(offset).arg(last);
        let mut found = Reply::new(self.server.run(call).await.map_err(unavailable)?).map_err(unavailable)?;
        if found.is_empty() || !is_there(&mut found, "r", key, now_ms)? {
            return Ok(Vec::new());
        }
        let mut places = found.value().and_then(Reply::new).map_err(unavailable)?;
        let mut ranked = Vec::new();
        while !places.is_empty() {
            let (name, rank) = (places.text().map_err(unavailable)?, places.text().map_err(unavailable)?);
            ranked.push(ranked_at(offset + ranked.len(), &name, &rank).map_err(unavailable)?);
        }
        Ok(ranked)
    }

    pub(super) async fn read_rank(
        &self,
        shard: &Shard,
        key: &str,
        member: &str,
        now_ms: u64,
    ) -> Result<Option<Ranked>, Error> {
        let name = self.keys.of_shard(&shard.name).in_shard(shard, key);
        let call = Call::new(&RANK, &[&name]).arg(member);
        let mut found = Reply::new(self.server.run(call).await.map_err(unavailable)?).map_err(unavailable)?;
        if found.is_empty() || !is_there(&mut found, "r", key, now_ms)? || found.is_empty() {
            return Ok(None);
        }
        let score = found.number().map_err(unavailable)?;
        let index = found.number().map_err(unavailable)?;
        Ok(Some(ranked(index, member, score)))
    }
}

fn ranked(index: usize, member: &str, score: i64) -> Ranked {
    Ranked { member: member.into(), score, rank: u32::try_from(index + 1).unwrap_or(u32::MAX) }
}

/// Reads a place: `m` and the member, with the score below zero beside it; or, for a score that a double does not hold, `b` and the digits of
/// one below zero, or `a` and what is missing from 9 in each digit of another, and then the member.
fn ranked_at(index: usize, place: &str, rank: &str) -> Result<Ranked, String> {
    let strange = || format!("strange place: {place} at {rank}");
    if let Some(member) = place.strip_prefix('m') {
        return Ok(ranked(index, member, -whole(rank).ok_or_else(strange)?));
    }
    let (head, member) = place.split_at_checked(PLACE_LEN).ok_or_else(strange)?;
    let score = match head.split_at_checked(1) {
        Some(("b", digits)) => parse(&format!("-{digits}"))?,
        Some(("a", digits)) => {
            let missing: u64 = parse(digits)?;
            let score = NINES.checked_sub(missing).ok_or_else(strange)?;
            i64::try_from(score).map_err(|_| strange())?
        }
        _ => return Err(strange()),
    };
    Ok(ranked(index, member, score))
}

/// A score of a sorted set that is whole and has 15 digits at most; servers may write `1e+14`.
fn whole(rank: &str) -> Option<i64> {
    let rank: f64 = rank.parse().ok()?;
    #[expect(clippy::cast_possible_truncation, reason = "whole, and exact up to 2^53")]
    let whole = rank as i64;
    (rank.fract() == 0.0 && rank.abs() < 1e15).then_some(whole)
}
