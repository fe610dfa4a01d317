//! The gate: what the database knows of an event. One row for each (payer, event id) lets it in once.

use std::collections::HashMap;

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use crate::adapters::sql::columns::{read_digest, read_outcome};
use crate::adapters::sql::plan::Key;
use crate::domain::{EventId, UserId};
use crate::ports::db::{Error, KnownEvent, PostedEvent};

use super::{bulk, error};

/// Those of the events that are known.
pub(super) async fn find(
    connection: &mut SqliteConnection,
    events: &[(UserId, &EventId)],
) -> Result<HashMap<Key, KnownEvent>, Error> {
    let mut known = HashMap::new();
    for piece in bulk::pieces(events) {
        let mut query = bulk::statement(
            "WITH asked (event_id, payer_id) AS (VALUES ",
            2,
            piece.len(),
            ") SELECT event.event_id, event.payer_id, event.digest, event.voided FROM asked CROSS JOIN event \
             ON event.event_id = asked.event_id AND event.payer_id = asked.payer_id",
        );
        for (payer, event_id) in piece {
            query = query.bind(event_id.as_str()).bind(payer.0);
        }
        for row in query.fetch_all(&mut *connection).await.map_err(error::of)? {
            let (key, event) = read(&row)?;
            known.insert(key, event);
        }
    }
    Ok(known)
}

/// One event with its answer.
pub(super) async fn event(
    connection: &mut SqliteConnection,
    payer: UserId,
    event_id: &EventId,
) -> Result<Option<PostedEvent>, Error> {
    let row = sqlx::query("SELECT digest, outcome, voided FROM event WHERE event_id = ? AND payer_id = ?")
        .bind(event_id.as_str())
        .bind(payer.0)
        .fetch_optional(connection)
        .await
        .map_err(error::of)?;
    let Some(row) = row else { return Ok(None) };
    let digest: Vec<u8> = row.try_get("digest").map_err(error::of)?;
    let outcome: Option<Vec<u8>> = row.try_get("outcome").map_err(error::of)?;
    Ok(Some(PostedEvent {
        digest: read_digest(&digest)?,
        outcome: outcome.map(|bytes| read_outcome(&bytes)).transpose()?,
        voided: row.try_get("voided").map_err(error::of)?,
    }))
}

fn read(row: &SqliteRow) -> Result<(Key, KnownEvent), Error> {
    let event_id: &str = row.try_get(0).map_err(error::of)?;
    let payer: i64 = row.try_get(1).map_err(error::of)?;
    let digest: &[u8] = row.try_get(2).map_err(error::of)?;
    let known = KnownEvent { digest: read_digest(digest)?, voided: row.try_get(3).map_err(error::of)? };
    Ok((Key::new(UserId(payer), event_id), known))
}
