//! Retries and dead letters as both databases store them.

use super::columns::{read_digest, read_event_id, read_outcome, unsigned};
use super::row::Columns;
use crate::domain::{Account, AssetType, Event, Held, RoomId, UserId};
use crate::ports::db::{DeadLetter, Error, Retry};

/// The columns of an event, in the order in which they are read here.
pub(in crate::adapters) const EVENT: &str =
    "event_id, topic, \"key\", room_id, created_at, payer_id, asset_type, digest, outcome, payload";
/// The columns of its place in the queue.
pub(in crate::adapters) const PLACE: &str = "consumer_group, \"partition\", \"offset\"";

/// Reads [`EVENT`].
pub(in crate::adapters) fn read_event(row: &impl Columns) -> Result<Event, Error> {
    Ok(Event {
        event_id: read_event_id(row.text(0)?)?,
        topic: row.text(1)?.into(),
        key: row.text(2)?.into(),
        room_id: row.number_or_null(3)?.map(RoomId),
        at_ms: unsigned(row.number(4)?)?,
        held: read_held(row)?,
        payload: row.bytes(9)?.to_vec().into(),
    })
}

fn read_held(row: &impl Columns) -> Result<Option<Held>, Error> {
    let Some(user_id) = row.number_or_null(5)? else { return Ok(None) };
    let payer = Account { user_id: UserId(user_id), asset_type: AssetType(row.small(6)?) };
    Ok(Some(Held { payer, digest: read_digest(row.bytes(7)?)?, outcome: read_outcome(row.bytes(8)?)? }))
}

/// Reads [`EVENT`], id, [`PLACE`], attempt, when it is due, and the reason.
pub(in crate::adapters) fn read_retry(row: &impl Columns) -> Result<Retry, Error> {
    Ok(Retry {
        id: row.number(10)?,
        group: row.text(11)?.into(),
        partition: row.small(12)?,
        offset: unsigned(row.number(13)?)?,
        attempt: row.small(14)?,
        due_ms: unsigned(row.number(15)?)?,
        reason: row.text(16)?.into(),
        event: read_event(row)?,
    })
}

/// Reads [`EVENT`], id, [`PLACE`], attempts, when it died, and the reason.
pub(in crate::adapters) fn read_dead_letter(row: &impl Columns) -> Result<DeadLetter, Error> {
    Ok(DeadLetter {
        id: row.number(10)?,
        group: row.text(11)?.into(),
        partition: row.small(12)?,
        offset: unsigned(row.number(13)?)?,
        attempts: row.small(14)?,
        at_ms: unsigned(row.number(15)?)?,
        reason: row.text(16)?.into(),
        event: read_event(row)?,
    })
}
