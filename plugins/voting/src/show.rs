//! What everybody may know of a poll: what it is, how it stands, how it ended.

use greenroom_sdk::{Cursor, Id, Now, Page, Path, Problem, Query, Room, answer, cache, request, route};

use crate::config::Config;
use crate::place::{self, Course, End, Told};
use crate::poll::Poll;
use crate::refusal::No;
use crate::result;
use crate::tally::{Sum, Tally};

/// Where a poll is in its life.
#[derive(Copy, Eq)]
#[answer]
pub(crate) enum State {
    /// Votes are taken.
    Open,
    /// No more votes are taken, and the result is not there yet.
    Counting,
    /// The result is there.
    Closed,
}

/// How a poll stands; what the room is told.
#[derive(Eq)]
#[answer]
pub(crate) struct Standing {
    pub(crate) poll_id: Id,
    pub(crate) state: State,
    /// A greater one is newer; not there in a result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<i64>,
    pub(crate) voters: i64,
    /// The sums of the options in their order; not there while they are hidden.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sums: Option<Vec<Sum>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) closed_at_ms: Option<u64>,
    /// Who closed it before its time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) closed_by: Option<Id>,
}

/// A poll and how it stands.
#[derive(Eq)]
#[answer]
pub(crate) struct Shown {
    pub(crate) poll: Poll,
    pub(crate) standing: Standing,
}

impl Shown {
    /// Sums that are hidden are left out whoever asks.
    pub(crate) fn of(poll: &Poll, end: Option<&End>, told: Option<&Told>, now_ms: u64) -> Self {
        let result = end.and_then(|end| end.result.as_ref());
        let state = match end {
            _ if result.is_some() => State::Closed,
            None if poll.check_time(now_ms).is_ok() => State::Open,
            _ => State::Counting,
        };
        let none = Tally::of(poll.options.len());
        let tally = result.or(told.map(|told| &told.tally)).unwrap_or(&none);
        let is_hidden = poll.hidden && result.is_none();
        let standing = Standing {
            poll_id: poll.poll_id,
            state,
            version: if result.is_some() { None } else { told.map(|told| told.version) },
            voters: tally.voters,
            sums: (!is_hidden).then(|| tally.options.clone()),
            closed_at_ms: end.map(|end| end.closed_at_ms),
            closed_by: end.and_then(|end| end.closed_by),
        };
        Self { poll: poll.clone(), standing }
    }
}

/// The polls that are open, and the last that were, newest first; sums are as the room was told them last.
#[route(GET "polls")]
pub(crate) fn list(Now(now_ms): Now, room: Room<Config>) -> Result<Polls, Problem> {
    let last = cache::get(&place::room(room.room_id), place::LAST_POLLS)?;
    let last: Vec<Id> = place::read(last.as_deref())?.unwrap_or_default();
    let courses = place::courses(room.room_id, &last)?;
    let shown = |course: &Course| {
        let poll = course.poll.as_ref()?;
        Some(Shown::of(poll, course.end.as_ref(), course.told.as_ref(), now_ms))
    };
    Ok(Polls { polls: courses.iter().filter_map(shown).collect() })
}

/// The last polls of a room.
#[answer]
pub(crate) struct Polls {
    polls: Vec<Shown>,
}

/// A poll; sums are as the room was told them last, or the result.
#[route(GET "polls/{pollId}")]
pub(crate) fn one(Now(now_ms): Now, room: Room<Config>, Path(poll_id): Path<Id>) -> Result<Shown, Problem> {
    shown(room.room_id, poll_id, now_ms)
}

/// From the cache, or what the table has of it.
pub(crate) fn shown(room_id: i64, poll_id: Id, now_ms: u64) -> Result<Shown, Problem> {
    let course = place::course(room_id, poll_id)?;
    if let Some(poll) = course.poll {
        return Ok(Shown::of(&poll, course.end.as_ref(), course.told.as_ref(), now_ms));
    }
    let (poll, end) = result::find(room_id, poll_id)?.ok_or(No::NotFound { poll_id })?;
    Ok(Shown::of(&poll, Some(&end), None, now_ms))
}

/// Which results.
#[request]
pub(crate) struct Asked {
    /// From the page before; left out for the first page.
    cursor: Option<Cursor<Id>>,
}

/// The results of the room's polls, newest first, however long ago they were.
#[route(GET "poll-results")]
pub(crate) fn results(
    Query(asked): Query<Asked>,
    Now(now_ms): Now,
    room: Room<Config>,
) -> Result<Page<Shown, Id>, Problem> {
    let before = asked.cursor.map_or(i64::MAX, |cursor| cursor.0.get());
    let (found, is_more) = result::before(room.room_id, before)?;
    let next = if is_more { found.last().map(|(poll, _)| poll.poll_id) } else { None };
    let items = found.iter().map(|(poll, end)| Shown::of(poll, Some(end), None, now_ms)).collect();
    Ok(Page { items, next_cursor: next.map(Cursor) })
}

#[cfg(test)]
mod tests {
    use greenroom_sdk::serde_json::json;

    use super::*;
    use crate::poll::tests::poll;

    fn tally() -> Tally {
        Tally { voters: 2, options: vec![Sum { votes: 2, points: 4 }, Sum::default(), Sum::default()] }
    }

    #[test]
    fn hidden_sums_are_in_no_answer_before_the_result() {
        let told = Told { version: 9, tally: tally() };
        let counting = End { closed_at_ms: 5, closed_by: Id::new(77), result: None };
        for hidden in [true, false] {
            let poll = poll(json!({ "hidden": hidden }));
            let shown = |end, now_ms| Shown::of(&poll, end, Some(&told), now_ms).standing;
            for (end, now_ms, state) in
                [(None, 5_000, State::Open), (None, 61_000, State::Counting), (Some(&counting), 5_000, State::Counting)]
            {
                let standing = shown(end, now_ms);
                assert_eq!((standing.state, standing.voters, standing.version), (state, 2, Some(9)));
                assert_eq!(standing.sums.is_none(), hidden, "{standing:?}");
            }
            let closed = End { result: Some(tally()), ..counting.clone() };
            let standing = shown(Some(&closed), 5_000);
            assert_eq!((standing.state, standing.version), (State::Closed, None));
            assert_eq!(standing.sums, Some(tally().options));
        }
    }
}
