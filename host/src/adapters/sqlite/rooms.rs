//! The port of rooms, streams, bindings and their audit.

use async_trait::async_trait;
use semver::Version;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use crate::adapters::sql::columns::{at_most, corrupt, read_json, read_version, signed, unsigned};
use crate::domain::{RoomId, StreamId, UserId};
use crate::ports::db::{AuditEntry, BindingRow, Error, RoomChange, RoomRow, Rooms, StreamRow};

use super::transaction::Transaction;
use super::{Sqlite, error};

const ROOM: &str = "SELECT room_id, title, streamers, created_at, version, stream_id, stream_started_at FROM room ";
const BINDING: &str = "SELECT room_id, plugin, version, enabled, config, canary_version, canary_percent FROM binding ";
const LIVE: &str = "(stream_id IS NOT NULL OR EXISTS \
     (SELECT 1 FROM binding WHERE binding.room_id = room.room_id AND binding.enabled)) ";

#[async_trait]
impl Rooms for Sqlite {
    async fn create(&self, room: &RoomRow, audit: &AuditEntry) -> Result<bool, Error> {
        let mut tx = self.write().await?;
        let made = sqlx::query("INSERT INTO room VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (room_id) DO NOTHING")
            .bind(room.room_id.0)
            .bind(room.title.as_str())
            .bind(serde_json::json!(room.streamers).to_string())
            .bind(signed(room.created_at_ms)?)
            .bind(room.version)
            .bind(room.stream.as_ref().map(|stream| stream.stream_id.0.as_ref()))
            .bind(room.stream.as_ref().map(|stream| signed(stream.started_at_ms)).transpose()?)
            .execute(&mut *tx)
            .await
            .map_err(error::of)?;
        if made.rows_affected() == 0 {
            tx.rollback().await;
            return Ok(false);
        }
        write_audit(&mut tx, audit).await?;
        tx.commit().await.map_err(error::of)?;
        Ok(true)
    }

    async fn room(&self, id: RoomId) -> Result<Option<(RoomRow, Vec<BindingRow>)>, Error> {
        let mut snapshot = Transaction::snapshot(&self.readers).await?;
        let found = sqlx::query(joined(ROOM, "WHERE room_id = ?"))
            .bind(id.0)
            .fetch_optional(&mut *snapshot)
            .await
            .map_err(error::of)?;
        let bindings = sqlx::query(joined(BINDING, "WHERE room_id = ? ORDER BY plugin"))
            .bind(id.0)
            .fetch_all(&mut *snapshot)
            .await
            .map_err(error::of)?;
        snapshot.rollback().await;
        let Some(row) = found else { return Ok(None) };
        Ok(Some((read_room(&row)?, bindings.iter().map(read_binding).collect::<Result<_, _>>()?)))
    }

    async fn rooms(&self, after: Option<RoomId>, limit: usize) -> Result<Vec<RoomRow>, Error> {
        let rows = sqlx::query(joined(ROOM, "WHERE room_id > ? ORDER BY room_id LIMIT ?"))
            .bind(after.map_or(i64::MIN, |id| id.0))
            .bind(at_most(limit))
            .fetch_all(&mut *self.read().await?)
            .await
            .map_err(error::of)?;
        rows.iter().map(read_room).collect()
    }

    async fn change(
        &self,
        id: RoomId,
        version: i64,
        stream: Option<&StreamRow>,
        bindings: &[BindingRow],
        audit: &AuditEntry,
    ) -> Result<bool, Error> {
        let mut tx = self.write().await?;
        let changed = sqlx::query(
            "UPDATE room SET stream_id = ?, stream_started_at = ?, version = version + 1 WHERE room_id = ? AND version = ?",
        )
        .bind(stream.map(|stream| stream.stream_id.0.as_ref()))
        .bind(stream.map(|stream| signed(stream.started_at_ms)).transpose()?)
        .bind(id.0)
        .bind(version)
        .execute(&mut *tx)
        .await
        .map_err(error::of)?;
        if changed.rows_affected() == 0 {
            tx.rollback().await;
            return Ok(false);
        }
        write_bindings(&mut tx, id, bindings).await?;
        write_audit(&mut tx, audit).await?;
        tx.commit().await.map_err(error::of)?;
        Ok(true)
    }

    async fn live(&self) -> Result<Vec<(RoomRow, Vec<BindingRow>)>, Error> {
        let mut snapshot = Transaction::snapshot(&self.readers).await?;
        let rooms = sqlx::query(joined(&format!("{ROOM}WHERE {LIVE}"), "ORDER BY room_id"))
            .fetch_all(&mut *snapshot)
            .await
            .map_err(error::of)?;
        let bindings = joined(
            &format!("{BINDING}WHERE room_id IN (SELECT room_id FROM room WHERE {LIVE})"),
            " ORDER BY room_id, plugin",
        );
        let bindings = sqlx::query(bindings).fetch_all(&mut *snapshot).await.map_err(error::of)?;
        snapshot.rollback().await;
        let mut live: Vec<(RoomRow, Vec<BindingRow>)> = Vec::with_capacity(rooms.len());
        let mut bindings = bindings.iter().peekable();
        for row in &rooms {
            let room = read_room(row)?;
            let mut own = Vec::new();
            while let Some(row) = bindings.next_if(|row| row.try_get(0).is_ok_and(|id: i64| id == room.room_id.0)) {
                own.push(read_binding(row)?);
            }
            live.push((room, own));
        }
        Ok(live)
    }

    async fn bound(&self, plugin: &str, version: &Version) -> Result<bool, Error> {
        sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM binding WHERE plugin = ?1 AND (version = ?2 OR canary_version = ?2))",
        )
        .bind(plugin)
        .bind(version.to_string())
        .fetch_one(&mut *self.read().await?)
        .await
        .map_err(error::of)
    }

    async fn audit(&self, id: RoomId, before: Option<i64>, limit: usize) -> Result<Vec<AuditEntry>, Error> {
        let rows = sqlx::query(
            "SELECT id, room_id, at, by_user, action, from_value, to_value FROM audit \
             WHERE room_id = ? AND id < ? ORDER BY id DESC LIMIT ?",
        )
        .bind(id.0)
        .bind(before.unwrap_or(i64::MAX))
        .bind(at_most(limit))
        .fetch_all(&mut *self.read().await?)
        .await
        .map_err(error::of)?;
        rows.iter().map(read_audit).collect()
    }

    async fn last_change(&self) -> Result<i64, Error> {
        sqlx::query_scalar("SELECT coalesce(max(id), 0) FROM audit")
            .fetch_one(&mut *self.read().await?)
            .await
            .map_err(error::of)
    }

    async fn changes(&self, after: i64, limit: usize) -> Result<Vec<RoomChange>, Error> {
        let rows = sqlx::query(
            "SELECT max(audit.id), room_id, version FROM audit JOIN room USING (room_id) WHERE audit.id > ? \
             GROUP BY room_id ORDER BY 1 LIMIT ?",
        )
        .bind(after)
        .bind(at_most(limit))
        .fetch_all(&mut *self.read().await?)
        .await
        .map_err(error::of)?;
        let read = |row: &SqliteRow| {
            let room_id = RoomId(row.try_get(1).map_err(error::of)?);
            let (id, version) = (row.try_get(0).map_err(error::of)?, row.try_get(2).map_err(error::of)?);
            Ok(RoomChange { id, room_id, version })
        };
        rows.iter().map(read).collect()
    }
}

fn joined(head: &str, tail: &str) -> sqlx::AssertSqlSafe<String> {
    sqlx::AssertSqlSafe(format!("{head}{tail}"))
}

async fn write_bindings(connection: &mut SqliteConnection, id: RoomId, bindings: &[BindingRow]) -> Result<(), Error> {
    sqlx::query("DELETE FROM binding WHERE room_id = ?")
        .bind(id.0)
        .execute(&mut *connection)
        .await
        .map_err(error::of)?;
    for binding in bindings {
        let canary = binding.canary.as_ref();
        sqlx::query("INSERT INTO binding VALUES (?, ?, ?, ?, ?, ?, ?)")
            .bind(id.0)
            .bind(binding.plugin.as_str())
            .bind(binding.version.to_string())
            .bind(binding.enabled)
            .bind(binding.config.to_string())
            .bind(canary.map(|(version, _)| version.to_string()))
            .bind(canary.map(|(_, percent)| *percent))
            .execute(&mut *connection)
            .await
            .map_err(error::of)?;
    }
    Ok(())
}

async fn write_audit(connection: &mut SqliteConnection, audit: &AuditEntry) -> Result<(), Error> {
    sqlx::query("INSERT INTO audit (room_id, at, by_user, action, from_value, to_value) VALUES (?, ?, ?, ?, ?, ?)")
        .bind(audit.room_id.0)
        .bind(signed(audit.at_ms)?)
        .bind(audit.by.0)
        .bind(audit.action.as_str())
        .bind(audit.from.to_string())
        .bind(audit.to.to_string())
        .execute(connection)
        .await
        .map_err(error::of)?;
    Ok(())
}

fn read_room(row: &SqliteRow) -> Result<RoomRow, Error> {
    let streamers: &str = row.try_get(2).map_err(error::of)?;
    let stream_id: Option<&str> = row.try_get(5).map_err(error::of)?;
    let started_at: Option<i64> = row.try_get(6).map_err(error::of)?;
    let stream = stream_id.zip(started_at).map(|(stream_id, started_at)| {
        Ok(StreamRow { stream_id: StreamId(stream_id.into()), started_at_ms: unsigned(started_at)? })
    });
    Ok(RoomRow {
        room_id: RoomId(row.try_get(0).map_err(error::of)?),
        title: row.try_get(1).map_err(error::of)?,
        streamers: serde_json::from_str(streamers).map_err(|fault| corrupt(format_args!("streamers: {fault}")))?,
        created_at_ms: unsigned(row.try_get(3).map_err(error::of)?)?,
        stream: stream.transpose()?,
        version: row.try_get(4).map_err(error::of)?,
    })
}

fn read_binding(row: &SqliteRow) -> Result<BindingRow, Error> {
    let canary_version: Option<&str> = row.try_get(5).map_err(error::of)?;
    let canary_percent: Option<u8> = row.try_get(6).map_err(error::of)?;
    let canary = canary_version.zip(canary_percent).map(|(version, percent)| Ok((read_version(version)?, percent)));
    Ok(BindingRow {
        plugin: row.try_get(1).map_err(error::of)?,
        version: read_version(row.try_get(2).map_err(error::of)?)?,
        enabled: row.try_get(3).map_err(error::of)?,
        config: read_json(row.try_get(4).map_err(error::of)?)?,
        canary: canary.transpose()?,
    })
}

fn read_audit(row: &SqliteRow) -> Result<AuditEntry, Error> {
    Ok(AuditEntry {
        id: row.try_get(0).map_err(error::of)?,
        room_id: RoomId(row.try_get(1).map_err(error::of)?),
        at_ms: unsigned(row.try_get(2).map_err(error::of)?)?,
        by: UserId(row.try_get(3).map_err(error::of)?),
        action: row.try_get(4).map_err(error::of)?,
        from: read_json(row.try_get(5).map_err(error::of)?)?,
        to: read_json(row.try_get(6).map_err(error::of)?)?,
    })
}
