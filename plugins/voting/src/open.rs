//! Opening a poll. Its timer is set first: one without a poll does nothing, a poll without one would not end.

use std::time::Duration;

use greenroom_sdk::{Body, Caller, Id, Now, Once, Problem, Request, Room, Step, Timer, cache, random, room, route};

use crate::TRIES_MAX;
use crate::config::Config;
use crate::live::Alarm;
use crate::place;
use crate::poll::{NewPoll, Poll};
use crate::refusal::No;

/// Polls of a room that are listed: those that may be open, and the last that were.
const LAST_POLLS_MAX: usize = 40;
/// The lowest bits of a poll's id are by chance, so that polls of one millisecond differ.
const CHANCE_BITS: u32 = 20;

/// Opens a poll. Repeating the event id repeats the answer.
#[route(POST "polls", roles(operator, streamer), live)]
pub(crate) fn open(
    request: &Request,
    caller: Caller,
    Now(now_ms): Now,
    room: Room<Config>,
    Body(asked): Body<NewPoll>,
) -> Result<Once<Poll>, Problem> {
    request.check_idempotency_key(&asked.event_id)?;
    let shard = place::room(room.room_id);
    let known = Step::in_shard(shard.as_str()).answered::<Poll>(caller, &asked.event_id, &asked)?;
    if let Some(known) = known {
        return tell(&room, known);
    }
    let room_id = Id::new(room.room_id).ok_or_else(|| Problem::failed("this room's id is no id"))?;
    let poll = asked.poll(new_id(now_ms)?, room_id, now_ms, room.config.price_max).map_err(Problem::invalid)?;
    let lasts = Duration::from_secs(asked.closes_in_s.into());
    Alarm::Close { poll_id: poll.poll_id, tries: 0 }.set(lasts)?;
    for _ in 0..TRIES_MAX {
        let before = cache::get(&shard, place::LAST_POLLS)?;
        let last: Vec<Id> = place::read(before.as_deref())?.unwrap_or_default();
        let mut last = with_state(room.room_id, last, now_ms)?;
        if last.iter().filter(|(_, is_open)| *is_open).count() >= room.config.open_max as usize {
            return Err(No::TooMany { open_max: room.config.open_max }.into());
        }
        last.insert(0, (poll.poll_id, true));
        let last = newest(last);
        let made = Step::in_shard(shard.as_str())
            .expect(place::LAST_POLLS, before)
            .put(place::LAST_POLLS, &last, None)?
            .put(place::poll_key(poll.poll_id), &poll, Some(place::kept(poll.closes_at_ms, now_ms)))?
            .once(caller, &asked.event_id, &asked, poll.clone())?;
        if let Ok(once) = made {
            return tell(&room, once);
        }
    }
    Err(Problem::overloaded("polls are being opened at the same time; repeat it"))
}

fn tell(room: &Room<Config>, once: Once<Poll>) -> Result<Once<Poll>, Problem> {
    let key = format!("poll/{}/opened", once.answer.poll_id);
    room.broadcast(&key, "poll.opened", &once.answer, room::Priority::Normal)?;
    Ok(once)
}

/// The polls, each with whether it is open.
fn with_state(room_id: i64, last: Vec<Id>, now_ms: u64) -> Result<Vec<(Id, bool)>, Problem> {
    let courses = place::courses(room_id, &last)?;
    let is_open = |course: &place::Course| {
        course.end.is_none() && course.poll.as_ref().is_some_and(|poll| poll.check_time(now_ms).is_ok())
    };
    Ok(last.into_iter().zip(courses.iter().map(is_open)).collect())
}

/// All that are open and the newest of the others, in their order.
fn newest(polls: Vec<(Id, bool)>) -> Vec<Id> {
    let mut others = LAST_POLLS_MAX.saturating_sub(polls.iter().filter(|(_, is_open)| *is_open).count());
    let mut is_kept = |is_open: bool| {
        let is_kept = is_open || others > 0;
        others = others.saturating_sub(usize::from(!is_open));
        is_kept
    };
    polls.into_iter().filter(|(_, is_open)| is_kept(*is_open)).map(|(poll_id, _)| poll_id).collect()
}

/// Later polls have greater ids. Unlike a counter it begins anew nowhere, whatever the cache has lost.
fn new_id(now_ms: u64) -> Result<Id, Problem> {
    let chance = random::get_random_u64() >> (u64::BITS - CHANCE_BITS);
    let id = i64::try_from(now_ms).ok().and_then(|now| now.checked_mul(1 << CHANCE_BITS));
    let id = id.and_then(|id| id.checked_add(chance.cast_signed())).and_then(Id::new);
    id.ok_or_else(|| Problem::failed("the clock is beyond what ids of polls can say"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_poll_stays_listed_however_many_were_opened_and_closed_after_it() {
        let id = |number: usize| Id::new(number as i64).unwrap();
        let polls: Vec<(Id, bool)> = (1..=100).rev().map(|number| (id(number), number == 7)).collect();
        let kept = newest(polls);
        let expected: Vec<Id> = (62..=100).rev().chain([7]).map(id).collect();
        assert_eq!(kept, expected);
    }
}
