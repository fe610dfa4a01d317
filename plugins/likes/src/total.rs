//! A stream's total: a counter in each shard, added up once a period for the room, and written down for later.

use std::time::Duration;

use greenroom_sdk::db::{self, Value};
use greenroom_sdk::room::Priority;
use greenroom_sdk::{Now, Path, Problem, Room, Step, Timer, cache, read_json, route, stored, too_soon};

use crate::alarm::Alarm;
use crate::settings::Settings;
use crate::{No, room_shard, viewers};

/// What was shown last is kept so long; after that the table knows.
const SHOWN: Duration = Duration::from_secs(24 * 60 * 60);
/// How often a total is added up because another was shown meanwhile.
const TRIES: u32 = 5;
/// No stream's id is longer.
const STREAM_ID_LEN_MAX: usize = 64;

/// A stream and its likes.
#[derive(Eq)]
#[stored]
pub(crate) struct Total {
    pub(crate) stream_id: String,
    pub(crate) total: i64,
}

/// What the room was told last.
#[derive(Copy, Eq)]
#[stored]
struct Shown {
    total: i64,
    /// When, in milliseconds since the Unix epoch.
    at_ms: u64,
}

/// The counter of a stream, in each shard.
pub(crate) fn key(stream_id: &str) -> String {
    format!("total/{stream_id}")
}

fn shown_key(stream_id: &str) -> String {
    format!("shown/{stream_id}")
}

/// The total of the live stream, as the room was told it last.
#[route(GET "likes", live)]
pub(crate) fn show(room: Room<Settings>) -> Result<Total, Problem> {
    let stream_id = room.stream()?.id.clone();
    let total = find(room.room_id, &stream_id)?.unwrap_or_default();
    Ok(Total { stream_id, total })
}

/// The total of one of the room's streams, also of one that has ended.
#[route(GET "likes/streams/{streamId}")]
pub(crate) fn show_stream(room: Room<Settings>, Path(stream_id): Path<String>) -> Result<Total, Problem> {
    let total = if stream_id.len() <= STREAM_ID_LEN_MAX { find(room.room_id, &stream_id)? } else { None };
    match total {
        Some(total) => Ok(Total { stream_id, total }),
        None => Err(No::NoLikes { stream_id }.into()),
    }
}

/// As it was shown last, or as it was written down.
fn find(room_id: i64, stream_id: &str) -> Result<Option<i64>, Problem> {
    if let Some(shown) = shown(room_id, stream_id)?.1 {
        return Ok(Some(shown.total));
    }
    let rows = db::query("total", &[Value::Integer(room_id), Value::Text(stream_id.to_owned())])?;
    Ok(rows.first().and_then(|row| if let [Value::Integer(total)] = row.as_slice() { Some(*total) } else { None }))
}

/// What was shown last: the bytes, and what they say.
fn shown(room_id: i64, stream_id: &str) -> Result<(Option<Vec<u8>>, Option<Shown>), Problem> {
    let bytes = cache::get(&room_shard(room_id), &shown_key(stream_id))?;
    let shown = bytes.as_deref().map(read_json).transpose();
    let shown = shown.map_err(|e| Problem::failed(format!("a total: {e}")))?;
    Ok((bytes, shown))
}

fn sum(room_id: i64, stream_id: &str) -> Result<i64, Problem> {
    Ok(viewers(room_id).sums(&[key(stream_id)])?.first().copied().unwrap_or_default())
}

/// Adds up, and tells the room. Timers of several periods may fire at once, late changes set one anew, and another total that was added up before
/// this one may be shown first; so it looks again until it is told, or is to be told when a period has passed.
pub(crate) fn tell(room: &Room<Settings>, stream_id: String) -> Result<(), Problem> {
    let key = shown_key(&stream_id);
    for _ in 0..TRIES {
        let (seen, shown) = shown(room.room_id, &stream_id)?;
        if let Some(wait) = shown.and_then(|shown| too_soon(shown.at_ms, room.config.push_period())) {
            return Alarm::Total { stream_id }.ensure_in(room.room_id, wait);
        }
        let total = sum(room.room_id, &stream_id)?;
        if shown.is_some_and(|shown| shown.total > total) {
            return Ok(());
        }
        let step = Step::in_shard(room_shard(room.room_id)).expect(key.clone(), seen);
        // The same again may be one whose push was lost with a crash; to everybody else it is no other push.
        let next = Shown { total, at_ms: Now::of_this_call().0 };
        let next = shown.filter(|shown| shown.total == total).unwrap_or(next);
        if step.put(key.clone(), &next, Some(SHOWN))?.commit()?.is_ok() {
            let push = format!("total/{stream_id}/{total}");
            return room.broadcast(&push, "likes.total", &Total { stream_id, total }, Priority::Low);
        }
    }
    Err(Problem::overloaded("several periods are told at once; the timer comes again"))
}

/// Adds up, and writes it into the table. It never becomes less there.
pub(crate) fn write_down(room: &Room<Settings>, stream_id: String) -> Result<(), Problem> {
    let total = sum(room.room_id, &stream_id)?;
    let params = vec![Value::Integer(room.room_id), Value::Text(stream_id), Value::Integer(total)];
    let _ = db::transact(&[db::Step { statement: "put-total".into(), params, expected_rows: None }])?;
    Ok(())
}
