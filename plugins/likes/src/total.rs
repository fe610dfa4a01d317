//! A stream's total: a counter in each shard, added up once a period for the room, and written down for later.

use std::time::Duration;

use greenroom_sdk::db::{self, Value};
use greenroom_sdk::room::Priority;
use greenroom_sdk::{Path, Problem, Room, Step, cache, read_json, route, stored};

use crate::settings::Settings;
use crate::{No, room_shard, viewers};

/// What was shown last is kept so long; after that the table knows.
const SHOWN: Duration = Duration::from_secs(24 * 60 * 60);
/// No stream's id is longer.
const STREAM_ID_LEN_MAX: usize = 64;

/// A stream and its likes.
#[derive(Eq)]
#[stored]
pub(crate) struct Total {
    pub(crate) stream_id: String,
    pub(crate) total: i64,
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
        return Ok(Some(shown));
    }
    let rows = db::query("total", &[Value::Integer(room_id), Value::Text(stream_id.to_owned())])?;
    Ok(rows.first().and_then(|row| if let [Value::Integer(total)] = row.as_slice() { Some(*total) } else { None }))
}

/// What was shown last: the bytes, and what they say.
fn shown(room_id: i64, stream_id: &str) -> Result<(Option<Vec<u8>>, Option<i64>), Problem> {
    let bytes = cache::get(&room_shard(room_id), &shown_key(stream_id))?;
    let total = bytes.as_deref().map(read_json).transpose();
    Ok((bytes.clone(), total.map_err(|e| Problem::failed(format!("a total: {e}")))?))
}

fn sum(room_id: i64, stream_id: &str) -> Result<i64, Problem> {
    Ok(viewers(room_id).sums(&[key(stream_id)])?.first().copied().unwrap_or_default())
}

/// Adds up, and tells the room.
pub(crate) fn tell(room: &Room<Settings>, stream_id: String) -> Result<(), Problem> {
    let total = sum(room.room_id, &stream_id)?;
    let (seen, shown) = shown(room.room_id, &stream_id)?;
    if shown.is_some_and(|shown| shown > total) {
        return Ok(());
    }
    let key = shown_key(&stream_id);
    let step = Step::in_shard(room_shard(room.room_id)).expect(key.clone(), seen).put(key, &total, Some(SHOWN))?;
    // If somebody was faster, they have added up later than this.
    if step.commit()?.is_ok() {
        let push = format!("total/{stream_id}/{total}");
        room.broadcast(&push, "likes.total", &Total { stream_id, total }, Priority::Low)?;
    }
    Ok(())
}

/// Adds up, and writes it into the table. It never becomes less there.
pub(crate) fn write_down(room: &Room<Settings>, stream_id: String) -> Result<(), Problem> {
    let total = sum(room.room_id, &stream_id)?;
    let params = vec![Value::Integer(room.room_id), Value::Text(stream_id), Value::Integer(total)];
    let _ = db::transact(&[db::Step { statement: "put-total".into(), params, expected_rows: None }])?;
    Ok(())
}
