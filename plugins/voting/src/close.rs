//! The end of a poll, in its time or before it. It may be begun by several at once and again after a crash; all do the same.
//!
//! First the end is written down, then the votes of all shards are ended. Paid votes that are under way by then are waited for; those that
//! take too long are shut out, and given back when they come. Then the end is published; the result is made when that is consumed.

use std::time::Duration;

use greenroom_sdk::{Caller, Id, Now, Path, Problem, Room, Shards, Step, Timer, cache, mq, route, serde_json};

use crate::CLOSED_TOPIC;
use crate::config::Config;
use crate::live::Alarm;
use crate::place::{self, End};
use crate::poll::Poll;
use crate::result::Ended;
use crate::show::{self, Shown};

/// How often it is looked whether paid votes are still under way.
const LOOK_EVERY: Duration = Duration::from_millis(250);
const LOOKS_A_SECOND: u32 = 4;
/// When it is gone on with an early end that a crash has cut off.
const GO_ON_AFTER: Duration = Duration::from_secs(2);

/// Closes a poll before its time. Its result comes with the push `poll.closed`.
#[route(POST "polls/{pollId}/close", roles(operator, streamer))]
pub(crate) fn close(
    caller: Caller,
    Now(now_ms): Now,
    room: Room<Config>,
    Path(poll_id): Path<Id>,
) -> Result<Shown, Problem> {
    let poll = place::find(room.room_id, poll_id)?;
    let course = place::course(room.room_id, poll_id)?;
    // A poll that is only remembered in memory has ended long ago.
    if course.poll.is_some() && course.end.is_none_or(|end| end.result.is_none()) {
        Alarm::Close { poll_id, tries: 0 }.ensure(GO_ON_AFTER)?;
        let by = if poll.check_time(now_ms).is_ok() { Id::new(caller.user_id) } else { None };
        end(&room, &poll, now_ms, by, 0)?;
    }
    show::shown(room.room_id, poll_id, now_ms)
}

/// The timer of a poll's end.
///
/// # Errors
/// As the host has them; the timer fires again.
pub(crate) fn in_time(room: &Room<Config>, poll: &Poll, ended: Option<&End>, tries: u32) -> Result<(), Problem> {
    let Now(now_ms) = Now::of_this_call();
    if ended.is_none() && poll.check_time(now_ms).is_ok() {
        let left = Duration::from_millis(poll.closes_at_ms.saturating_sub(now_ms));
        return Alarm::Close { poll_id: poll.poll_id, tries: 0 }.set(left);
    }
    end(room, poll, now_ms, None, tries)
}

fn end(room: &Room<Config>, poll: &Poll, now_ms: u64, by: Option<Id>, tries: u32) -> Result<(), Problem> {
    let (room_id, poll_id) = (room.room_id, poll.poll_id);
    if begun(room_id, poll, now_ms, by)?.result.is_some() {
        return Ok(());
    }
    let (shards, kept) = (place::shards(room_id, poll_id), place::kept(poll.closes_at_ms, now_ms));
    shards.close(kept)?;
    if poll.price.is_some() && under_way(&shards)? > 0 {
        if tries < room.config.counting_max_s.saturating_mul(LOOKS_A_SECOND) {
            return Alarm::Close { poll_id, tries: tries.saturating_add(1) }.set(LOOK_EVERY);
        }
        seal(&shards, kept)?;
    }
    let payload = serde_json::to_vec(&Ended { poll_id }).map_err(|e| Problem::failed(format!("payload: {e}")))?;
    Ok(mq::publish(CLOSED_TOPIC, &poll_id.to_string(), &format!("closed:{poll_id}"), &payload)?)
}

/// Writes down that the poll has ended, unless somebody has; gives what is written.
fn begun(room_id: i64, poll: &Poll, now_ms: u64, by: Option<Id>) -> Result<End, Problem> {
    let (shard, key) = (place::room(room_id), place::end_key(poll.poll_id));
    let end = End { closed_at_ms: now_ms.min(poll.closes_at_ms), closed_by: by, result: None };
    let ttl = place::kept(poll.closes_at_ms, now_ms);
    if Step::in_shard(shard.as_str()).absent(&key).put(&key, &end, Some(ttl))?.commit()?.is_ok() {
        return Ok(end);
    }
    let known = place::read(cache::get(&shard, &key)?.as_deref())?;
    known.ok_or_else(|| Problem::overloaded("the end of the poll is being written; repeat it"))
}

fn under_way(shards: &Shards) -> Result<i64, Problem> {
    Ok(shards.sums(&[place::UNDER_WAY])?.first().copied().unwrap_or(0))
}

/// From now on a paid vote does not count any more.
fn seal(shards: &Shards, kept: Duration) -> Result<(), Problem> {
    for shard in shards.all() {
        // Without checks nothing can stop it.
        let _ = Step::in_shard(shard).put(place::SEALED, &true, Some(kept))?.commit()?;
    }
    Ok(())
}
