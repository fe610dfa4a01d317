//! The port of rooms, streams, bindings and their audit. A room is read with its bindings in one statement, so in one state.

use async_trait::async_trait;
use semver::Version;
use sqlx::AssertSqlSafe;
use sqlx::postgres::{PgConnection, PgRow};

use crate::adapters::sql::columns::{at_most, signed};
use crate::adapters::sql::rooms::{read_audit, read_binding, read_change, read_room};
use crate::adapters::sql::row::Columns;
use crate::domain::RoomId;
use crate::ports::db::{AuditEntry, BindingRow, Error, RoomChange, RoomRow, Rooms, StreamRow};

use super::text::storable;
use super::{Postgres, error};

const ROOM: &str = "room.room_id, title, streamers, room.created_at, room.version, stream_id, stream_started_at";
const BINDING: &str = "plugin, binding.version, enabled, config, canary_version, canary_percent::int8";
const BINDING_AT: usize = 7;
const LIVE: &str = "stream_id IS NOT NULL OR EXISTS \
     (SELECT 1 FROM binding AS b WHERE b.room_id = room.room_id AND b.enabled)";

#[async_trait]
impl Rooms for Postgres {
    async fn create(&self, room: &RoomRow, audit: &AuditEntry) -> Result<bool, Error> {
        self.within(self.settings.call_timeout, async move {
            let mut tx = self.pool().begin().await.map_err(error::of)?;
            let made =
                sqlx::query("INSERT INTO room VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (room_id) DO NOTHING")
                    .bind(room.room_id.0)
                    .bind(storable(&room.title))
                    .bind(serde_json::json!(room.streamers).to_string())
                    .bind(signed(room.created_at_ms)?)
                    .bind(room.version)
                    .bind(room.stream.as_ref().map(|stream| stream.stream_id.0.as_ref()))
                    .bind(room.stream.as_ref().map(|stream| signed(stream.started_at_ms)).transpose()?)
                    .execute(&mut *tx)
                    .await
                    .map_err(error::of)?;
            if made.rows_affected() == 0 {
                tx.rollback().await.map_err(error::of)?;
                return Ok(false);
            }
            write_audit(&mut tx, audit).await?;
            tx.commit().await.map_err(error::of)?;
            Ok(true)
        })
        .await
    }

    async fn room(&self, id: RoomId) -> Result<Option<(RoomRow, Vec<BindingRow>)>, Error> {
        self.within(self.settings.call_timeout, async move {
        let sql = format!(
            "SELECT {ROOM}, {BINDING} FROM room LEFT JOIN binding USING (room_id) WHERE room.room_id = $1 ORDER BY plugin"
        );
        let rows = sqlx::query(AssertSqlSafe(sql)).bind(id.0).fetch_all(&self.pool()).await.map_err(error::of)?;
        Ok(read_rooms(&rows)?.pop())
        })
        .await
    }

    async fn rooms(&self, after: Option<RoomId>, limit: usize) -> Result<Vec<RoomRow>, Error> {
        self.within(self.settings.call_timeout, async move {
            let sql = format!("SELECT {ROOM} FROM room WHERE room_id > $1 ORDER BY room_id LIMIT $2");
            let rows = sqlx::query(AssertSqlSafe(sql))
                .bind(after.map_or(i64::MIN, |id| id.0))
                .bind(at_most(limit))
                .fetch_all(&self.pool())
                .await
                .map_err(error::of)?;
            rows.iter().map(read_room).collect()
        })
        .await
    }

    async fn change(
        &self,
        id: RoomId,
        version: i64,
        stream: Option<&StreamRow>,
        bindings: &[BindingRow],
        audit: &AuditEntry,
    ) -> Result<bool, Error> {
        self.within(self.settings.call_timeout, async move {
        let mut tx = self.pool().begin().await.map_err(error::of)?;
        let changed = sqlx::query(
            "UPDATE room SET stream_id = $1, stream_started_at = $2, version = version + 1 WHERE room_id = $3 AND version = $4",
        )
        .bind(stream.map(|stream| stream.stream_id.0.as_ref()))
        .bind(stream.map(|stream| signed(stream.started_at_ms)).transpose()?)
        .bind(id.0)
        .bind(version)
        .execute(&mut *tx)
        .await
        .map_err(error::of)?;
        if changed.rows_affected() == 0 {
            tx.rollback().await.map_err(error::of)?;
            return Ok(false);
        }
        write_bindings(&mut tx, id, bindings).await?;
        write_audit(&mut tx, audit).await?;
        tx.commit().await.map_err(error::of)?;
        Ok(true)
        })
        .await
    }

    async fn live(&self) -> Result<Vec<(RoomRow, Vec<BindingRow>)>, Error> {
        self.within(self.settings.call_timeout, async move {
        let sql = format!(
            "SELECT {ROOM}, {BINDING} FROM room LEFT JOIN binding USING (room_id) WHERE {LIVE} ORDER BY room.room_id, plugin"
        );
        let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&self.pool()).await.map_err(error::of)?;
        read_rooms(&rows)
        })
        .await
    }

    async fn bound(&self, plugin: &str, version: &Version) -> Result<bool, Error> {
        self.within(self.settings.call_timeout, async move {
            sqlx::query_scalar(
                "SELECT EXISTS (SELECT 1 FROM binding WHERE plugin = $1 AND (version = $2 OR canary_version = $2))",
            )
            .bind(plugin)
            .bind(version.to_string())
            .fetch_one(&self.pool())
            .await
            .map_err(error::of)
        })
        .await
    }

    async fn note(&self, audit: &AuditEntry) -> Result<(), Error> {
        self.within(self.settings.call_timeout, async move {
            let mut connection = self.pool().acquire().await.map_err(error::of)?;
            write_audit(&mut connection, audit).await
        })
        .await
    }

    async fn audit(&self, id: RoomId, before: Option<i64>, limit: usize) -> Result<Vec<AuditEntry>, Error> {
        self.within(self.settings.call_timeout, async move {
            let rows = sqlx::query(
                "SELECT id, room_id, at, by_user, action, from_value, to_value FROM audit \
             WHERE room_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3",
            )
            .bind(id.0)
            .bind(before.unwrap_or(i64::MAX))
            .bind(at_most(limit))
            .fetch_all(&self.pool())
            .await
            .map_err(error::of)?;
            rows.iter().map(read_audit).collect()
        })
        .await
    }

    async fn last_change(&self) -> Result<i64, Error> {
        self.within(self.settings.call_timeout, async move {
            let last = sqlx::query_scalar("SELECT coalesce(max(id), 0) FROM audit").fetch_one(&self.pool()).await;
            last.map_err(error::of)
        })
        .await
    }

    async fn changes(&self, after: i64, limit: usize) -> Result<Vec<RoomChange>, Error> {
        self.within(self.settings.call_timeout, async move {
            let rows = sqlx::query(
                "SELECT max(audit.id), room_id, room.version FROM audit JOIN room USING (room_id) WHERE audit.id > $1 \
                 GROUP BY room_id, room.version ORDER BY 1 LIMIT $2",
            )
            .bind(after)
            .bind(at_most(limit))
            .fetch_all(&self.pool())
            .await
            .map_err(error::of)?;
            rows.iter().map(read_change).collect()
        })
        .await
    }
}

async fn write_bindings(connection: &mut PgConnection, id: RoomId, bindings: &[BindingRow]) -> Result<(), Error> {
    sqlx::query("DELETE FROM binding WHERE room_id = $1")
        .bind(id.0)
        .execute(&mut *connection)
        .await
        .map_err(error::of)?;
    for binding in bindings {
        let canary = binding.canary.as_ref();
        sqlx::query("INSERT INTO binding VALUES ($1, $2, $3, $4, $5, $6, $7)")
            .bind(id.0)
            .bind(binding.plugin.as_str())
            .bind(binding.version.to_string())
            .bind(binding.enabled)
            .bind(binding.config.to_string())
            .bind(canary.map(|(version, _)| version.to_string()))
            .bind(canary.map(|(_, percent)| i16::from(*percent)))
            .execute(&mut *connection)
            .await
            .map_err(error::of)?;
    }
    Ok(())
}

async fn write_audit(connection: &mut PgConnection, audit: &AuditEntry) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO audit (room_id, at, by_user, action, from_value, to_value) VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(audit.room_id.0)
    .bind(signed(audit.at_ms)?)
    .bind(audit.by.0)
    .bind(storable(&audit.action))
    .bind(audit.from.to_string())
    .bind(audit.to.to_string())
    .execute(connection)
    .await
    .map_err(error::of)?;
    Ok(())
}

/// Rooms with their bindings, from rows in the order of the rooms: one for each binding, or one without.
fn read_rooms(rows: &[PgRow]) -> Result<Vec<(RoomRow, Vec<BindingRow>)>, Error> {
    let mut rooms: Vec<(RoomRow, Vec<BindingRow>)> = Vec::new();
    for row in rows {
        let id = RoomId(row.number(0)?);
        if rooms.last().is_none_or(|(room, _)| room.room_id != id) {
            rooms.push((read_room(row)?, Vec::new()));
        }
        if let (Some((_, bindings)), Some(_)) = (rooms.last_mut(), row.text_or_null(BINDING_AT)?) {
            bindings.push(read_binding(row, BINDING_AT)?);
        }
    }
    Ok(rooms)
}
