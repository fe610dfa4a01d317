//! Rooms, bindings and their audit as both databases store them.

use super::columns::{corrupt, read_json, read_version, unsigned};
use super::row::Columns;
use crate::domain::{RoomId, StreamId, UserId};
use crate::ports::db::{AuditEntry, BindingRow, Error, RoomChange, RoomRow, StreamRow};

/// Reads `room_id, title, streamers, created_at, version, stream_id, stream_started_at`.
pub(in crate::adapters) fn read_room(row: &impl Columns) -> Result<RoomRow, Error> {
    let started = row.text_or_null(5)?.zip(row.number_or_null(6)?);
    let stream = started.map(|(stream_id, started_at)| {
        Ok(StreamRow { stream_id: StreamId(stream_id.into()), started_at_ms: unsigned(started_at)? })
    });
    Ok(RoomRow {
        room_id: RoomId(row.number(0)?),
        title: row.text(1)?.into(),
        streamers: serde_json::from_str(row.text(2)?).map_err(|fault| corrupt(format_args!("streamers: {fault}")))?,
        created_at_ms: unsigned(row.number(3)?)?,
        stream: stream.transpose()?,
        version: row.number(4)?,
    })
}

/// Reads `plugin, version, enabled, config, canary_version, canary_percent` from the given column on.
pub(in crate::adapters) fn read_binding(row: &impl Columns, from: usize) -> Result<BindingRow, Error> {
    let canary = row.text_or_null(from + 4)?.zip(row.number_or_null(from + 5)?);
    let canary = canary.map(|(version, percent)| {
        let percent = u8::try_from(percent).map_err(|_| corrupt(format_args!("{percent} percent")))?;
        Ok((read_version(version)?, percent))
    });
    Ok(BindingRow {
        plugin: row.text(from)?.into(),
        version: read_version(row.text(from + 1)?)?,
        enabled: row.flag(from + 2)?,
        config: read_json(row.text(from + 3)?)?,
        canary: canary.transpose()?,
    })
}

/// Reads `id, room_id, at, by_user, action, from_value, to_value`.
pub(in crate::adapters) fn read_audit(row: &impl Columns) -> Result<AuditEntry, Error> {
    Ok(AuditEntry {
        id: row.number(0)?,
        room_id: RoomId(row.number(1)?),
        at_ms: unsigned(row.number(2)?)?,
        by: UserId(row.number(3)?),
        action: row.text(4)?.into(),
        from: read_json(row.text(5)?)?,
        to: read_json(row.text(6)?)?,
    })
}

/// Reads the last audit's id, `room_id` and the room's version.
pub(in crate::adapters) fn read_change(row: &impl Columns) -> Result<RoomChange, Error> {
    Ok(RoomChange { id: row.number(0)?, room_id: RoomId(row.number(1)?), version: row.number(2)? })
}
