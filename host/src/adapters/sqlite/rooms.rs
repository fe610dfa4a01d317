//! The port of rooms, streams, bindings and their audit.

use async_trait::async_trait;
use semver::Version;
use sqlx::SqliteConnection;

use crate::adapters::sql::columns::{at_most, signed};
use crate::adapters::sql::rooms::{read_audit, read_binding, read_change, read_room};
use crate::adapters::sql::row::Columns;
use crate::domain::RoomId;
use crate::ports::db::{AuditEntry, BindingRow, Error, RoomChange, RoomRow, Rooms, StreamRow};

use super::transaction::Transaction;
use super::{Sqlite, error};

const ROOM: &str = "SELECT room_id, title, streamers, created_at, version, stream_id, stream_started_at FROM room ";
const BINDING: &str = "SELECT room_id, plugin, version, enabled, config, canary_version, canary_percent FROM binding ";
const BINDING_AT: usize = 1;
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
        Ok(Some((
            read_room(&row)?,
            bindings.iter().map(|row| read_binding(row, BINDING_AT)).collect::<Result<_, _>>()?,
        )))
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
            while let Some(row) = bindings.next_if(|row| row.number(0).is_ok_and(|id| id == room.room_id.0)) {
                own.push(read_binding(row, BINDING_AT)?);
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

    async fn note(&self, audit: &AuditEntry) -> Result<(), Error> {
        let mut tx = self.write().await?;
        write_audit(&mut tx, audit).await?;
        tx.commit().await.map_err(error::of)
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
        rows.iter().map(read_change).collect()
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
