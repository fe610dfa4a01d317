//! The result of a poll: adding up, the plugin's table, telling the room.

use greenroom_sdk::serde::Serialize;
use greenroom_sdk::serde::de::DeserializeOwned;
use greenroom_sdk::{Id, Message, Now, Problem, Room, Step, db, read_json, room, serde_json, stored};

use crate::config::Config;
use crate::place::{self, Course, End};
use crate::poll::Poll;
use crate::show::Shown;
use crate::tally;

/// What the plugin's table gives in one page; the statement reads one more.
const PAGE: usize = 20;

/// A poll whose votes have ended.
#[stored]
pub(crate) struct Ended {
    pub(crate) poll_id: Id,
}

/// Writes the result down, once, and tells the room. By the time this message is consumed the end of all votes is durable, so a crash
/// cannot take back a vote that the result has counted.
///
/// # Errors
/// Worth a retry.
pub(crate) fn conclude(message: &Message) -> Result<(), Problem> {
    let Ended { poll_id } = read_json(&message.payload).map_err(Problem::failed)?;
    let room_id = message.room_id;
    let Course { poll: Some(poll), end: Some(end), .. } = place::course(room_id, poll_id)? else { return Ok(()) };
    let end = if end.result.is_some() { end } else { written(room_id, &poll, &end)? };
    let Some(room) = Room::<Config>::find(room_id)? else { return Ok(()) };
    let shown = Shown::of(&poll, Some(&end), None, end.closed_at_ms);
    room.broadcast(&format!("poll/{poll_id}/closed"), "poll.closed", &shown.standing, room::Priority::High)
}

fn written(room_id: i64, poll: &Poll, end: &End) -> Result<End, Problem> {
    let (_, tally) = tally::read(&place::shards(room_id, poll.poll_id), poll.options.len())?;
    let closed = End { result: Some(tally), ..end.clone() };
    put(room_id, poll, &closed)?;
    let (key, before) = (place::end_key(poll.poll_id), bytes(end)?);
    let ttl = place::kept(poll.closes_at_ms, Now::of_this_call().0);
    let made =
        Step::in_shard(place::room(room_id)).expect(&key, Some(before)).put(&key, &closed, Some(ttl))?.commit()?;
    made.map_err(|_| Problem::overloaded("another process writes the same result"))?;
    Ok(closed)
}

fn put(room_id: i64, poll: &Poll, end: &End) -> Result<(), Problem> {
    let closed_at = i64::try_from(end.closed_at_ms).unwrap_or(i64::MAX);
    let voters = end.result.as_ref().map_or(0, |tally| tally.voters);
    let integers = [room_id, poll.poll_id.get(), closed_at, voters].map(db::Value::Integer);
    let params = integers.into_iter().chain([db::Value::Text(text(poll)?), db::Value::Text(text(end)?)]).collect();
    db::transact(&[db::Step { statement: "put-result".into(), params, expected_rows: None }])?;
    Ok(())
}

/// A result of the table.
///
/// # Errors
/// If the database does not answer.
pub(crate) fn find(room_id: i64, poll_id: Id) -> Result<Option<(Poll, End)>, Problem> {
    let params = [room_id, poll_id.get()].map(db::Value::Integer);
    db::query("result", &params)?.iter().map(|row| read(row)).next().transpose()
}

/// The last results before a poll, newest first, and whether there are more.
///
/// # Errors
/// If the database does not answer.
pub(crate) fn before(room_id: i64, poll_id: i64) -> Result<(Vec<(Poll, End)>, bool), Problem> {
    let rows = db::query("results", &[room_id, poll_id].map(db::Value::Integer))?;
    let found = rows.iter().take(PAGE).map(|row| read(row)).collect::<Result<_, _>>()?;
    Ok((found, rows.len() > PAGE))
}

fn read(row: &[db::Value]) -> Result<(Poll, End), Problem> {
    match row {
        [db::Value::Text(poll), db::Value::Text(end)] => Ok((of_text(poll)?, of_text(end)?)),
        _ => Err(Problem::failed("a result has other columns than expected")),
    }
}

fn bytes(value: &impl Serialize) -> Result<Vec<u8>, Problem> {
    serde_json::to_vec(value).map_err(|e| Problem::failed(format!("a result: {e}")))
}

fn text(value: &impl Serialize) -> Result<String, Problem> {
    serde_json::to_string(value).map_err(|e| Problem::failed(format!("a result: {e}")))
}

fn of_text<T: DeserializeOwned>(text: &str) -> Result<T, Problem> {
    read_json(text.as_bytes()).map_err(|e| Problem::failed(format!("a result: {e}")))
}
