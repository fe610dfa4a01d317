//! The timers: the room is told the sums of a poll, a poll ends, a recount goes on.

use std::time::Duration;

use greenroom_sdk::{Id, Now, Problem, Room, Step, Timer, room, stored, tell_every};

use crate::config::Config;
use crate::place::{self, Course, End, Told};
use crate::poll::Poll;
use crate::show::Shown;
use crate::{close, recount, tally};

/// What is to be done later.
#[derive(Timer)]
#[stored]
pub(crate) enum Alarm {
    /// Tells the room the sums.
    #[timer("tally/{poll_id}")]
    Tally { poll_id: Id },
    /// Ends a poll whose time has come; so often it was tried while paid votes were under way.
    #[timer("close/{poll_id}")]
    Close { poll_id: Id, tries: u32 },
    /// Counts the next ballots of a recount.
    #[timer("recount/{poll_id}")]
    Recount { poll_id: Id },
}

/// Says that the sums of a poll have changed.
///
/// # Errors
/// As the host has them; the change stands, and is told with the next one.
pub(crate) fn changed(config: &Config, room_id: i64, poll_id: Id) -> Result<(), Problem> {
    tell_every(Duration::from_millis(config.tally_every_ms.into()), room_id, &Alarm::Tally { poll_id })
}

pub(crate) fn fire(room: Room<Config>, alarm: Alarm) -> Result<(), Problem> {
    let (Alarm::Tally { poll_id } | Alarm::Close { poll_id, .. } | Alarm::Recount { poll_id }) = alarm;
    // One of a poll that was not opened in the end, or that is forgotten.
    let Course { poll: Some(poll), end, .. } = place::course(room.room_id, poll_id)? else { return Ok(()) };
    match alarm {
        Alarm::Tally { .. } => tell(&room, &poll, end.as_ref()),
        Alarm::Close { tries, .. } => close::in_time(&room, &poll, end.as_ref(), tries),
        Alarm::Recount { .. } => recount::go_on(room.room_id, &poll).map(drop),
    }
}

/// Also writes down what it tells, so that whoever asks is told without adding up again.
fn tell(room: &Room<Config>, poll: &Poll, end: Option<&End>) -> Result<(), Problem> {
    if end.is_some_and(|end| end.result.is_some()) {
        return Ok(());
    }
    let (version, tally) = tally::read(&place::shards(room.room_id, poll.poll_id), poll.options.len())?;
    let (told, Now(now_ms)) = (Told { version, tally }, Now::of_this_call());
    let ttl = place::kept(poll.closes_at_ms, now_ms);
    // Without a check nothing can stop it.
    let _ = Step::in_shard(place::room(room.room_id)).put(place::told_key(poll.poll_id), &told, Some(ttl))?.commit()?;
    let key = format!("poll/{}/tally/{version}", poll.poll_id);
    let shown = Shown::of(poll, end, Some(&told), now_ms);
    room.broadcast(&key, "poll.tally", &shown.standing, room::Priority::Low)
}
