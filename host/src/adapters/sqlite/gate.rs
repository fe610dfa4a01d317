//! The gate: what the database knows of an event. One row for each (payer, event id) lets it in once.

use std::collections::HashMap;
use std::sync::Arc;

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use crate::domain::{ContentDigest, EventId, Outcome, Posting, UserId};
use crate::ports::db::{Error, PostResult, PostedEvent};

use super::{bulk, error};

/// Payer and event id.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    payer: UserId,
    event_id: Arc<str>,
}

impl Key {
    /// The key of a posting.
    pub(super) fn of(posting: &Posting) -> Self {
        Self::new(posting.payer, &posting.event_id)
    }

    /// The key of an event.
    pub(super) fn new(payer: UserId, event_id: &EventId) -> Self {
        Self { payer, event_id: event_id.as_str().into() }
    }
}

/// A known event.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gate {
    /// Tells a repetition from a reuse.
    pub digest: ContentDigest,
    /// Whether it was voided rather than posted.
    pub voided: bool,
}

impl Gate {
    /// What becomes of a posting of an event that is known.
    pub(super) fn repeated(&self, digest: ContentDigest) -> PostResult {
        match (self.digest == digest, self.voided) {
            (false, _) => PostResult::Conflict,
            (true, true) => PostResult::Voided,
            (true, false) => PostResult::Duplicate,
        }
    }
}

/// Those of the events that are known.
pub(super) async fn find(
    connection: &mut SqliteConnection,
    events: &[(UserId, &EventId)],
) -> Result<HashMap<Key, Gate>, Error> {
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
            let (key, gate) = read(&row)?;
            known.insert(key, gate);
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

/// An answer as it is stored: the postcard form of the three fields, some ten bytes. Another field needs another column.
pub(super) fn write_outcome(outcome: &Outcome) -> Result<Vec<u8>, Error> {
    postcard::to_stdvec(outcome).map_err(|fault| Error::Refused(format!("the outcome cannot be stored: {fault}")))
}

pub(super) fn read_outcome(bytes: &[u8]) -> Result<Outcome, Error> {
    postcard::from_bytes(bytes).map_err(|fault| error::corrupt(format_args!("outcome: {fault}")))
}

pub(super) fn read_digest(bytes: &[u8]) -> Result<ContentDigest, Error> {
    let digest = bytes.try_into().map_err(|_| error::corrupt(format_args!("a digest of {} bytes", bytes.len())))?;
    Ok(ContentDigest(digest))
}

fn read(row: &SqliteRow) -> Result<(Key, Gate), Error> {
    let event_id: &str = row.try_get(0).map_err(error::of)?;
    let payer: i64 = row.try_get(1).map_err(error::of)?;
    let digest: &[u8] = row.try_get(2).map_err(error::of)?;
    let gate = Gate { digest: read_digest(digest)?, voided: row.try_get(3).map_err(error::of)? };
    Ok((Key { payer: UserId(payer), event_id: event_id.into() }, gate))
}
