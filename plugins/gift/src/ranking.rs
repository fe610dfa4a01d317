//! Contribution rankings: who spent how much in a stream, on a day, in a week (UTC), for each asset type.
//!
//! Counted after the books are written, one atomic step for each room of a batch. A gift counts exactly once
//! although a batch may come again: the step also remembers, beside the rankings, the fingerprints of the last gifts it
//! counted, and a gift whose books were there already counts only if it is not among them. (It is there and not among them if a
//! crash came between books and ranking.) Each partition of the queue has a memory of its own, since others may be counted elsewhere at the
//! same time; it holds what the batch has of the partition, and [`REMEMBERED_MIN`] gifts before it.

use std::collections::BTreeMap;

use greenroom_sdk::{Amount, Caller, Now, Problem, Query, Room, answer, cache, logging, request, route, stored};

use crate::rules::Config;
use crate::{calendar, catalogue};

/// How many counted gifts are remembered besides those of the last batch: 1 KiB for each room and partition.
const REMEMBERED_MIN: usize = 128;
const FINGERPRINT_LEN: usize = 8;
/// Partitions of one step: `get-many` reads up to 1,024 keys and 4 MiB, and what is remembered of one has 9 KiB at most, with the whole batch in it.
const PARTITIONS_AT_ONCE: usize = 256;
const HOUR_MS: u32 = 3_600_000;
/// A ranking of a stream or a week is kept so long after its last gift.
const LONG_TTL_MS: u32 = 30 * 24 * HOUR_MS;
/// A ranking of a day.
const DAY_TTL_MS: u32 = 8 * 24 * HOUR_MS;
/// A gift is not kept from its settlement for ever because a ranking cannot be written.
const ATTEMPTS_MAX: u32 = 5;
/// How often a step is tried again because another process counted in between.
const CONFLICTS_MAX: u32 = 3;

/// What one gift adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Contribution {
    /// The message's place in the batch.
    pub(crate) index: usize,
    /// Of the message.
    pub(crate) attempt: u32,
    pub(crate) partition: u32,
    pub(crate) room_id: i64,
    pub(crate) user_id: i64,
    pub(crate) asset_type: u32,
    pub(crate) amount: i64,
    pub(crate) stream_id: Box<str>,
    pub(crate) at_ms: u64,
    pub(crate) fingerprint: [u8; FINGERPRINT_LEN],
    /// Its books were there before this batch.
    pub(crate) is_repeated: bool,
}

/// Tells one event from another in the short memory: 64-bit FNV-1a over payer and event id.
pub(crate) fn fingerprint(payer: i64, event_id: &str) -> [u8; FINGERPRINT_LEN] {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in payer.to_le_bytes().iter().chain(event_id.as_bytes()) {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash.to_le_bytes()
}

/// Counts. Returns the places of those that must come again.
pub(crate) fn count(contributions: &[Contribution]) -> Vec<usize> {
    let mut rooms: BTreeMap<i64, BTreeMap<u32, Group>> = BTreeMap::new();
    for contribution in contributions {
        rooms.entry(contribution.room_id).or_default().entry(contribution.partition).or_default().push(contribution);
    }
    let mut again = Vec::new();
    for (room_id, groups) in rooms {
        let groups: Vec<(u32, Group)> = groups.into_iter().collect();
        for groups in groups.chunks(PARTITIONS_AT_ONCE) {
            let Err(error) = count_room(room_id, groups) else { continue };
            logging::log(logging::Level::Warn, "ranking", &format!("room {room_id}: not counted: {error}"));
            let gifts = groups.iter().flat_map(|(_, group)| group);
            again.extend(gifts.filter(|c| c.attempt < ATTEMPTS_MAX).map(|c| c.index));
        }
    }
    again
}

/// Gifts of one room and partition.
type Group<'a> = Vec<&'a Contribution>;

fn count_room(room_id: i64, groups: &[(u32, Group)]) -> Result<(), cache::Error> {
    let shard = format!("room/{room_id}");
    let keys: Vec<(String, String)> =
        groups.iter().map(|(partition, _)| (shard.clone(), memory_key(*partition))).collect();
    for _ in 0..CONFLICTS_MAX {
        let (checks, writes) = step(groups, cache::get_many(&keys)?);
        if writes.is_empty() {
            return Ok(());
        }
        match cache::commit(&shard, None, &checks, &writes)? {
            cache::Outcome::Applied(_) => return Ok(()),
            cache::Outcome::CheckFailed(_) => {}
            refused => return Err(cache::Error::Other(format!("{refused:?}"))),
        }
    }
    Err(cache::Error::Overloaded)
}

fn memory_key(partition: u32) -> String {
    format!("counted/{partition}")
}

/// The step that counts gifts of one room, from what is remembered of each partition; no writes if there is nothing to count.
fn step(groups: &[(u32, Group)], seen: Vec<Option<Vec<u8>>>) -> (Vec<cache::Check>, Vec<cache::Write>) {
    let (mut checks, mut writes, mut gifts) = (Vec::new(), Vec::new(), Vec::new());
    for ((partition, group), expected) in groups.iter().zip(seen) {
        let Some(counting) = Counting::plan(expected.as_deref().unwrap_or_default(), group) else { continue };
        gifts.extend(counting.gifts);
        let key = memory_key(*partition);
        writes.push(cache::Write::Put(cache::Put {
            key: key.clone(),
            value: counting.seen,
            ttl_ms: Some(LONG_TTL_MS),
        }));
        checks.push(cache::Check { key, expected });
    }
    writes.extend(scores(&gifts));
    (checks, writes)
}

/// What is to be counted of one room and partition.
#[derive(Debug)]
struct Counting<'a> {
    gifts: Group<'a>,
    /// What is remembered with it.
    seen: Vec<u8>,
}

impl<'a> Counting<'a> {
    /// None if there is nothing to count.
    fn plan(seen: &[u8], group: &[&'a Contribution]) -> Option<Self> {
        let mut known: Vec<&[u8]> = seen.chunks_exact(FINGERPRINT_LEN).collect();
        known.sort_unstable();
        let is_seen = |c: &Contribution| known.binary_search(&c.fingerprint.as_slice()).is_ok();
        let gifts: Group = group.iter().copied().filter(|c| !(c.is_repeated && is_seen(c))).collect();
        if gifts.is_empty() {
            return None;
        }
        let fresh: Vec<u8> = group.iter().filter(|c| !is_seen(c)).flat_map(|c| c.fingerprint).collect();
        // The whole batch stays in memory, those that were seen before too: it may come again in other portions.
        let keep = group.len().saturating_sub(fresh.len() / FINGERPRINT_LEN) + REMEMBERED_MIN;
        let drop = seen.len().saturating_sub(keep * FINGERPRINT_LEN);
        let mut memory = seen.get(drop..).unwrap_or_default().to_vec();
        memory.extend(fresh);
        Some(Self { gifts, seen: memory })
    }
}

/// What gifts of one room add to its rankings.
fn scores(gifts: &[&Contribution]) -> Vec<cache::Write> {
    let mut scores: BTreeMap<Occasion, BTreeMap<i64, i64>> = BTreeMap::new();
    for gift in gifts {
        let score = scores.entry(Occasion::of(gift)).or_default().entry(gift.user_id).or_default();
        *score = score.saturating_add(gift.amount);
    }
    scores.iter().flat_map(|(occasion, users)| occasion.writes(users)).collect()
}

/// Gifts that count in the same rankings.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Occasion<'a> {
    asset_type: u32,
    stream_id: &'a str,
    day: u64,
}

impl<'a> Occasion<'a> {
    fn of(contribution: &'a Contribution) -> Self {
        let Contribution { asset_type, stream_id, at_ms, .. } = contribution;
        Self { asset_type: *asset_type, stream_id, day: at_ms / calendar::DAY_MS }
    }

    fn writes(&self, users: &BTreeMap<i64, i64>) -> Vec<cache::Write> {
        let at_ms = self.day * calendar::DAY_MS;
        let keys = [
            (stream_key(self.asset_type, self.stream_id), LONG_TTL_MS),
            (day_key(self.asset_type, at_ms), DAY_TTL_MS),
            (week_key(self.asset_type, at_ms), LONG_TTL_MS),
        ];
        let mut writes = Vec::with_capacity(users.len() * keys.len());
        for (user_id, delta) in users {
            let member = user_id.to_string();
            for (key, ttl_ms) in &keys {
                let score =
                    cache::Score { key: key.clone(), member: member.clone(), delta: *delta, ttl_ms: Some(*ttl_ms) };
                writes.push(cache::Write::RankAdd(score));
            }
        }
        writes
    }
}

fn stream_key(asset_type: u32, stream_id: &str) -> String {
    format!("rank/{asset_type}/stream/{stream_id}")
}

fn day_key(asset_type: u32, at_ms: u64) -> String {
    format!("rank/{asset_type}/day/{}", calendar::date(at_ms))
}

fn week_key(asset_type: u32, at_ms: u64) -> String {
    format!("rank/{asset_type}/week/{}", calendar::week(at_ms))
}

const LIMIT_MAX: u32 = 100;
const ASSET_TYPE_MAX: u32 = i32::MAX.unsigned_abs();

/// Which ranking.
#[request]
pub(crate) struct Asked {
    #[serde(default)]
    period: Period,
    /// So many places from the first.
    #[serde(default = "limit")]
    #[schemars(range(min = 1, max = LIMIT_MAX))]
    limit: u32,
    #[serde(default = "catalogue::gold")]
    #[schemars(range(min = 1, max = ASSET_TYPE_MAX))]
    asset_type: u32,
}

#[derive(Copy, Eq, Default)]
#[stored]
pub(crate) enum Period {
    #[default]
    Stream,
    Day,
    Week,
}

fn limit() -> u32 {
    20
}

/// The contribution ranking of the stream, the day or the week (UTC), with the caller's own place.
#[route(GET "gifts/ranking")]
pub(crate) fn show(
    Query(asked): Query<Asked>,
    caller: Caller,
    Now(now_ms): Now,
    room: Room<Config>,
) -> Result<Ranking, Problem> {
    let Asked { period, limit, asset_type } = asked;
    within("limit", limit, LIMIT_MAX)?;
    within("assetType", asset_type, ASSET_TYPE_MAX)?;
    let key = match period {
        Period::Stream => match &room.stream {
            Some(stream) => stream_key(asset_type, &stream.id),
            None => {
                return Err(Problem::new(409, 10002, "stream-not-live", "the room has no stream; ask for day or week"));
            }
        },
        Period::Day => day_key(asset_type, now_ms),
        Period::Week => week_key(asset_type, now_ms),
    };
    let shard = format!("room/{}", room.room_id);
    let ranking = cache::top(&shard, &key, 0, limit)?.into_iter().map(Place::from).collect();
    let me = cache::rank(&shard, &key, &caller.user_id.to_string())?.map(Place::from);
    Ok(Ranking { period, asset_type, ranking, me })
}

/// The host checks bodies against their schema, and leaves queries to the plugin.
fn within(name: &str, number: u32, max: u32) -> Result<(), Problem> {
    let is_within = (1..=max).contains(&number);
    is_within.then_some(()).ok_or_else(|| Problem::invalid(format!("query: `{name}` must be from 1 to {max}")))
}

#[answer]
pub(crate) struct Ranking {
    period: Period,
    asset_type: u32,
    ranking: Vec<Place>,
    /// The caller's own place, wherever it is.
    me: Option<Place>,
}

#[answer]
struct Place {
    rank: u32,
    user_id: String,
    score: Amount,
}

impl From<cache::Ranked> for Place {
    fn from(ranked: cache::Ranked) -> Self {
        Self { rank: ranked.rank, user_id: ranked.member, score: Amount::new(ranked.score) }
    }
}

#[cfg(test)]
mod tests;
