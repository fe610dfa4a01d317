//! Counting again, from the single ballots: whoever has voted is listed in the shards, and each ballot is read. Piece by piece, so that a
//! call is short however many have voted: the first piece at once, the others by a timer.

use std::time::Duration;

use greenroom_sdk::{Id, Now, Path, Problem, Room, Step, Timer, answer, cache, route, stored};

use crate::ballot::Ballot;
use crate::config::Config;
use crate::live::Alarm;
use crate::place;
use crate::poll::Poll;
use crate::refusal::No;
use crate::tally::Tally;

/// Ballots of one piece, or a page of them more: a call of some tens of milliseconds.
const PIECE: usize = 1_000;
/// Ballots that are read in one go.
const PAGE: u32 = 1_000;
/// A recount begins no later than so long after the end; ballots are kept for a day longer.
const AFTER_MAX_MS: u64 = 6 * 24 * 60 * 60 * 1_000;

/// How far a recount has come.
#[derive(Eq)]
#[stored]
pub(crate) struct Recount {
    /// The next shard, and the next of its voters.
    shard: u32,
    offset: u32,
    is_done: bool,
    /// Voters whose ballot is not there.
    missing: i64,
    tally: Tally,
}

/// A recount beside the result.
#[derive(Eq)]
#[answer]
pub(crate) struct Recounted {
    poll_id: Id,
    is_done: bool,
    /// What the ballots say, as far as they are counted.
    recount: Tally,
    /// What was told when the poll was closed.
    result: Tally,
    /// Once it is done: whether both are the same and no ballot is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    is_equal: Option<bool>,
}

/// Counts the single ballots of a closed poll again, or goes on with it. Repeat it, or read, until `isDone`.
#[route(POST "polls/{pollId}/recount", roles(operator, streamer))]
pub(crate) fn start(Now(now_ms): Now, room: Room<Config>, Path(poll_id): Path<Id>) -> Result<Recounted, Problem> {
    let poll = place::find(room.room_id, poll_id)?;
    let result = result(room.room_id, poll_id)?;
    if now_ms > poll.closes_at_ms.saturating_add(AFTER_MAX_MS) {
        return Err(No::Forgotten { poll_id }.into());
    }
    let (shard, key) = (place::room(room.room_id), place::recount_key(poll_id));
    let before = cache::get(&shard, &key)?;
    let is_under_way = place::read::<Recount>(before.as_deref())?.is_some_and(|recount| !recount.is_done);
    if !is_under_way {
        let tally = Tally::of(poll.options.len());
        let recount = Recount { shard: 0, offset: 0, is_done: false, missing: 0, tally };
        let ttl = place::kept(poll.closes_at_ms, now_ms);
        // If somebody is faster, theirs is gone on with.
        let _ = Step::in_shard(shard).expect(&key, before).put(&key, &recount, Some(ttl))?.commit()?;
    }
    let recount = go_on(room.room_id, &poll)?.ok_or(No::NotRecounted { poll_id })?;
    Ok(Recounted::of(poll_id, recount, result))
}

/// How far the recount has come, and what it says.
#[route(GET "polls/{pollId}/recount", roles(operator, streamer))]
pub(crate) fn show(room: Room<Config>, Path(poll_id): Path<Id>) -> Result<Recounted, Problem> {
    let result = result(room.room_id, poll_id)?;
    let bytes = cache::get(&place::room(room.room_id), &place::recount_key(poll_id))?;
    let recount = place::read(bytes.as_deref())?.ok_or(No::NotRecounted { poll_id })?;
    Ok(Recounted::of(poll_id, recount, result))
}

fn result(room_id: i64, poll_id: Id) -> Result<Tally, Problem> {
    let course = place::course(room_id, poll_id)?;
    if course.poll.is_none() {
        return Err(No::NotFound { poll_id }.into());
    }
    Ok(course.end.and_then(|end| end.result).ok_or(No::NotClosed)?)
}

/// Counts the next piece, and has the timer count the one after it. None if nobody has begun.
///
/// # Errors
/// As the cache has them; it may be repeated.
pub(crate) fn go_on(room_id: i64, poll: &Poll) -> Result<Option<Recount>, Problem> {
    let (shard, key) = (place::room(room_id), place::recount_key(poll.poll_id));
    let before = cache::get(&shard, &key)?;
    let Some(recount) = place::read::<Recount>(before.as_deref())? else { return Ok(None) };
    if recount.is_done {
        return Ok(Some(recount));
    }
    let after = piece(room_id, poll, recount)?;
    let ttl = place::kept(poll.closes_at_ms, Now::of_this_call().0);
    match Step::in_shard(shard.as_str()).expect(&key, before).put(&key, &after, Some(ttl))?.commit()? {
        Ok(_) => {
            // If a crash keeps it from being set, whoever repeats the request goes on.
            if !after.is_done {
                Alarm::Recount { poll_id: poll.poll_id }.ensure(Duration::ZERO)?;
            }
            Ok(Some(after))
        }
        // Another call has counted this piece, and goes on.
        Err(_) => place::read(cache::get(&shard, &key)?.as_deref()),
    }
}

fn piece(room_id: i64, poll: &Poll, mut recount: Recount) -> Result<Recount, Problem> {
    let shards: Vec<String> = place::shards(room_id, poll.poll_id).all().collect();
    let mut counted = 0;
    while counted < PIECE {
        let Some(shard) = shards.get(recount.shard as usize) else {
            recount.is_done = true;
            break;
        };
        let voters = cache::top(shard, place::VOTERS, recount.offset, PAGE)?;
        let keys: Vec<_> = voters.iter().map(|voter| (shard.clone(), place::ballot_key(&voter.member))).collect();
        let ballots = if keys.is_empty() { Vec::new() } else { cache::get_many(&keys)? };
        for bytes in &ballots {
            match place::read::<Ballot>(bytes.as_deref())? {
                Some(ballot) => recount.tally.count(&ballot)?,
                None => recount.missing = recount.missing.saturating_add(1),
            }
        }
        counted += voters.len();
        recount.offset = recount.offset.saturating_add(PAGE);
        if voters.len() < PAGE as usize {
            recount = Recount { shard: recount.shard.saturating_add(1), offset: 0, ..recount };
        }
    }
    Ok(recount)
}

impl Recounted {
    fn of(poll_id: Id, recount: Recount, result: Tally) -> Self {
        let Recount { is_done, missing, tally, .. } = recount;
        let is_equal = is_done.then(|| missing == 0 && tally == result);
        Self { poll_id, is_done, recount: tally, result, is_equal }
    }
}
