//! Where everything of a poll is: in the shard of its room what is one for the poll, in the shards of its voters what is one for each of them.

use std::rc::Rc;
use std::time::Duration;

use greenroom_sdk::serde::de::DeserializeOwned;
use greenroom_sdk::{Contexts, Id, Problem, Shards, cache, read_json, stored};

use crate::poll::Poll;
use crate::refusal::No;
use crate::tally::Tally;

/// How long a poll's keys are kept after its end.
const KEPT_MS: u64 = 7 * 24 * 60 * 60 * 1_000;
/// Whatever the clock says, keys live for so long.
const KEPT_MIN_MS: u64 = 60 * 60 * 1_000;

/// Of a voter's shard: everybody who has voted, in the order in which they came, so that a recount can list them.
pub(crate) const VOTERS: &str = "voter-list";
/// Of a voter's shard: paid votes that are under way.
pub(crate) const UNDER_WAY: &str = "under-way";
/// Of a voter's shard: no paid vote counts any more.
pub(crate) const SEALED: &str = "sealed";
/// Of a room's shard: the ids of its last polls.
pub(crate) const LAST_POLLS: &str = "last-polls";

/// How a poll has ended.
#[derive(Eq)]
#[stored]
pub(crate) struct End {
    pub(crate) closed_at_ms: u64,
    /// Who closed it before its time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) closed_by: Option<Id>,
    /// None while paid votes are under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) result: Option<Tally>,
}

/// The sums as the room was told them last.
#[derive(Eq)]
#[stored]
pub(crate) struct Told {
    pub(crate) version: i64,
    pub(crate) tally: Tally,
}

/// What the room's shard has of a poll.
pub(crate) struct Course {
    pub(crate) poll: Option<Poll>,
    pub(crate) end: Option<End>,
    pub(crate) told: Option<Told>,
}

pub(crate) fn room(room_id: i64) -> String {
    format!("room/{room_id}")
}

pub(crate) fn poll_key(poll_id: Id) -> String {
    format!("poll/{poll_id}")
}

pub(crate) fn end_key(poll_id: Id) -> String {
    format!("end/{poll_id}")
}

pub(crate) fn told_key(poll_id: Id) -> String {
    format!("told/{poll_id}")
}

pub(crate) fn recount_key(poll_id: Id) -> String {
    format!("recount/{poll_id}")
}

/// The shards of a poll's voters.
pub(crate) fn shards(room_id: i64, poll_id: Id) -> Shards {
    Shards::of_thing(format!("poll/{room_id}/{poll_id}"))
}

/// Of a voter's shard.
pub(crate) fn ballot_key(user_id: &str) -> String {
    format!("ballot/{user_id}")
}

/// Of a voter's shard: what became of a paid vote.
pub(crate) fn paid_key(user_id: i64, event_id: &str) -> String {
    format!("paid/{user_id}/{event_id}")
}

/// How long what is written now is kept: until a week after the poll's end.
pub(crate) fn kept(closes_at_ms: u64, now_ms: u64) -> Duration {
    Duration::from_millis(closes_at_ms.saturating_add(KEPT_MS).saturating_sub(now_ms).max(KEPT_MIN_MS))
}

/// What a key holds, if anything.
pub(crate) fn read<T: DeserializeOwned>(bytes: Option<&[u8]>) -> Result<Option<T>, Problem> {
    bytes.map(read_json).transpose().map_err(|e| Problem::failed(format!("cache: {e}")))
}

thread_local! {
    /// Polls never change. How they end is in the shards: their steps are stopped.
    static POLLS: Contexts<Poll> = const { Contexts::new() };
}

/// A poll of a room, from memory or the cache.
///
/// # Errors
/// 404 if there is none, or not any more.
pub(crate) fn find(room_id: i64, poll_id: Id) -> Result<Rc<Poll>, Problem> {
    let not_found = || Problem::from(No::NotFound { poll_id });
    let poll = POLLS.with(|polls| {
        polls.get_or_make(poll_id.get().cast_unsigned(), || {
            let bytes = cache::get(&room(room_id), &poll_key(poll_id))?;
            read::<Poll>(bytes.as_deref())?.ok_or_else(not_found)
        })
    })?;
    // Ids of polls are unique as far as chance goes; a poll of another room is none of this one.
    if poll.room_id.get() == room_id { Ok(poll) } else { Err(not_found()) }
}

/// What the room's shard has of these polls: one host call.
///
/// # Errors
/// As the cache has them.
pub(crate) fn courses(room_id: i64, polls: &[Id]) -> Result<Vec<Course>, Problem> {
    let keys = polls.iter().flat_map(|poll_id| [poll_key(*poll_id), end_key(*poll_id), told_key(*poll_id)]);
    let named: Vec<(String, String)> = keys.map(|key| (room(room_id), key)).collect();
    let values = cache::get_many(&named)?;
    let (threes, _) = values.as_chunks::<3>();
    let course = |[poll, end, told]: &[Option<Vec<u8>>; 3]| {
        Ok(Course { poll: read(poll.as_deref())?, end: read(end.as_deref())?, told: read(told.as_deref())? })
    };
    threes.iter().map(course).collect()
}

/// What the room's shard has of one poll.
///
/// # Errors
/// As the cache has them.
pub(crate) fn course(room_id: i64, poll_id: Id) -> Result<Course, Problem> {
    let found = courses(room_id, &[poll_id])?.pop();
    found.ok_or_else(|| Problem::failed("cache: one key was asked for, and none came back"))
}
