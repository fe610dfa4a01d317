//! The gate: what the database knows of an event. One row for each (payer, event id) lets it in once.

use std::collections::HashMap;

use sqlx::Row;
use sqlx::postgres::{PgExecutor, PgRow};

use crate::adapters::sql::columns::{read_digest, read_outcome};
use crate::adapters::sql::plan::Key;
use crate::domain::{EventId, UserId};
use crate::ports::db::{Error, KnownEvent, PostedEvent};

use super::error;

/// Those of the events that are known.
pub(super) async fn find(
    db: impl PgExecutor<'_>,
    events: &[(UserId, &EventId)],
) -> Result<HashMap<Key, KnownEvent>, Error> {
    let payers: Vec<i64> = events.iter().map(|(payer, _)| payer.0).collect();
    let ids: Vec<&str> = events.iter().map(|(_, event_id)| event_id.as_str()).collect();
    let rows = sqlx::query(
        // One look into the index for each; see the accounts of the ledger.
        "SELECT known.* FROM unnest($1::text[], $2::int8[]) AS asked (event_id, payer_id) \
         CROSS JOIN LATERAL (SELECT event_id, payer_id, digest, voided FROM event \
             WHERE event_id = asked.event_id AND payer_id = asked.payer_id OFFSET 0) AS known",
    )
    .bind(ids)
    .bind(payers)
    .fetch_all(db)
    .await
    .map_err(error::of)?;
    rows.iter().map(read).collect()
}

/// One event with its answer.
pub(super) async fn event(
    db: impl PgExecutor<'_>,
    payer: UserId,
    event_id: &EventId,
) -> Result<Option<PostedEvent>, Error> {
    let row = sqlx::query("SELECT digest, outcome, voided FROM event WHERE event_id = $1 AND payer_id = $2")
        .bind(event_id.as_str())
        .bind(payer.0)
        .fetch_optional(db)
        .await
        .map_err(error::of)?;
    let Some(row) = row else { return Ok(None) };
    let outcome: Option<&[u8]> = row.try_get(1).map_err(error::of)?;
    Ok(Some(PostedEvent {
        digest: read_digest(row.try_get(0).map_err(error::of)?)?,
        outcome: outcome.map(read_outcome).transpose()?,
        voided: row.try_get(2).map_err(error::of)?,
    }))
}

fn read(row: &PgRow) -> Result<(Key, KnownEvent), Error> {
    let event_id: &str = row.try_get(0).map_err(error::of)?;
    let payer: i64 = row.try_get(1).map_err(error::of)?;
    let digest: &[u8] = row.try_get(2).map_err(error::of)?;
    let known = KnownEvent { digest: read_digest(digest)?, voided: row.try_get(3).map_err(error::of)? };
    Ok((Key::new(UserId(payer), event_id), known))
}
