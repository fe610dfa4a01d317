//! What a plugin keeps of a thing in its table, so that neither the thing nor its money is forgotten with the cache.
//!
//! The manifest names the statements, over a table of the plugin's own:
//!
//! ```text
//! find-record = "SELECT stage, record FROM … WHERE id = $1 AND room_id = $2"
//! put-record = "INSERT INTO … (id, room_id, stage, changed_at, record) VALUES ($1, $2, 0, 0, $3) ON CONFLICT (id) DO NOTHING"
//! save-record = "UPDATE … SET stage = $2, changed_at = $3, record = $4 WHERE id = $1 AND stage < $2"
//! ```

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Now, Problem, db, read_json};

/// How far a thing is. It never goes back, so who comes late overwrites nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// It is written down, and need not be in the cache yet.
    Made,
    /// It was in the cache: if it is not there any more, the cache has lost it.
    Begun,
    /// It is decided who gets what.
    Ended,
    /// Everybody has it.
    Paid,
}

/// The record of that id in a room.
///
/// # Errors
/// As the database has them.
pub fn find<T: DeserializeOwned>(id: &str, room_id: i64) -> Result<Option<(Stage, T)>, Problem> {
    let rows = db::query("find-record", &[db::Value::Text(id.into()), db::Value::Integer(room_id)])?;
    let Some(row) = rows.first() else { return Ok(None) };
    let [db::Value::Integer(stage), db::Value::Text(record)] = row.as_slice() else {
        return Err(Problem::failed("records: a column is of another kind"));
    };
    let stage = match stage {
        0 => Stage::Made,
        1 => Stage::Begun,
        2 => Stage::Ended,
        _ => Stage::Paid,
    };
    let record = read_json(record.as_bytes()).map_err(|e| Problem::failed(format!("record {id}: {e}")))?;
    Ok(Some((stage, record)))
}

/// Writes a thing down before anything is done; gives what is written, which is another's if one of that id is.
///
/// # Errors
/// As the database has them.
pub fn put<T: Serialize + DeserializeOwned>(id: &str, room_id: i64, record: &T) -> Result<T, Problem> {
    let params = vec![db::Value::Text(id.into()), db::Value::Integer(room_id), json(record)?];
    db::transact(&[db::Step { statement: "put-record".into(), params, expected_rows: None }])?;
    match find(id, room_id)? {
        Some((_, record)) => Ok(record),
        None => Err(Problem::failed(format!("record {id} is another room's"))),
    }
}

/// Writes down how far a thing is, unless it is so far already. May be repeated.
///
/// # Errors
/// As the database has them.
pub fn save(id: &str, stage: Stage, record: &impl Serialize) -> Result<(), Problem> {
    let now = i64::try_from(Now::of_this_call().0).unwrap_or(i64::MAX);
    let params =
        vec![db::Value::Text(id.into()), db::Value::Integer(stage as i64), db::Value::Integer(now), json(record)?];
    db::transact(&[db::Step { statement: "save-record".into(), params, expected_rows: None }])?;
    Ok(())
}

fn json(record: &impl Serialize) -> Result<db::Value, Problem> {
    let text = serde_json::to_string(record).map_err(|e| Problem::failed(format!("record: {e}")))?;
    Ok(db::Value::Text(text))
}
