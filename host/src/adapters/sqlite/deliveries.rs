//! The port of retries and dead letters.
//!
//! An event whose place is among the dead letters is not retried by setting it aside once more: an operator decides, by `replay`.

use async_trait::async_trait;
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{AssertSqlSafe, SqliteConnection};

use crate::adapters::sql::columns::{at_most, signed, write_outcome};
use crate::adapters::sql::deliveries::{EVENT, PLACE, read_dead_letter, read_event, read_retry};
use crate::domain::{Account, Event};
use crate::ports::db::{DeadLetter, Deliveries, Error, Retry};

use super::{Sqlite, error};

#[async_trait]
impl Deliveries for Sqlite {
    async fn set_aside(&self, retries: Vec<Retry>, dead: Vec<DeadLetter>) -> Result<(), Error> {
        let mut tx = self.write().await?;
        for retry in &retries {
            write_retry(&mut tx, retry).await?;
        }
        for letter in &dead {
            write_dead_letter(&mut tx, letter).await?;
        }
        tx.commit().await.map_err(error::of)
    }

    async fn due(&self, group: &str, now_ms: u64, limit: usize) -> Result<Vec<Retry>, Error> {
        let sql = format!(
            "SELECT {EVENT}, id, {PLACE}, attempt, due_at, reason FROM retry \
             WHERE consumer_group = ? AND due_at <= ? ORDER BY due_at, id LIMIT ?"
        );
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(group)
            .bind(signed(now_ms)?)
            .bind(at_most(limit))
            .fetch_all(&mut *self.read().await?)
            .await
            .map_err(error::of)?;
        rows.iter().map(read_retry).collect()
    }

    async fn remove_retries(&self, ids: &[i64]) -> Result<(), Error> {
        let mut tx = self.write().await?;
        sqlx::query("DELETE FROM retry WHERE id IN (SELECT value FROM json_each(?))")
            .bind(serde_json::json!(ids).to_string())
            .execute(&mut *tx)
            .await
            .map_err(error::of)?;
        tx.commit().await.map_err(error::of)
    }

    async fn waiting(&self) -> Result<Vec<Event>, Error> {
        let sql = format!("SELECT {EVENT} FROM retry UNION ALL SELECT {EVENT} FROM dead_letter");
        let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut *self.read().await?).await.map_err(error::of)?;
        rows.iter().map(read_event).collect()
    }

    async fn waiting_of(&self, payer: Account) -> Result<Vec<Event>, Error> {
        let sql = format!(
            "SELECT {EVENT} FROM retry WHERE payer_id = ?1 AND asset_type = ?2 \
             UNION ALL SELECT {EVENT} FROM dead_letter WHERE payer_id = ?1 AND asset_type = ?2"
        );
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(payer.user_id.0)
            .bind(payer.asset_type.0)
            .fetch_all(&mut *self.read().await?)
            .await
            .map_err(error::of)?;
        rows.iter().map(read_event).collect()
    }

    async fn dead_letters(&self, after: i64, limit: usize) -> Result<Vec<DeadLetter>, Error> {
        let sql = format!(
            "SELECT {EVENT}, id, {PLACE}, attempts, at, reason FROM dead_letter WHERE id > ? ORDER BY id LIMIT ?"
        );
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(after)
            .bind(at_most(limit))
            .fetch_all(&mut *self.read().await?)
            .await
            .map_err(error::of)?;
        rows.iter().map(read_dead_letter).collect()
    }

    async fn dead_letter(&self, id: i64) -> Result<Option<DeadLetter>, Error> {
        let sql = format!("SELECT {EVENT}, id, {PLACE}, attempts, at, reason FROM dead_letter WHERE id = ?");
        let row = sqlx::query(AssertSqlSafe(sql))
            .bind(id)
            .fetch_optional(&mut *self.read().await?)
            .await
            .map_err(error::of)?;
        row.as_ref().map(read_dead_letter).transpose()
    }

    async fn unpublished_dead_letters(
        &self,
        now_ms: u64,
        until_ms: u64,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, Error> {
        // Nearly always there are none, and then nobody who writes has to wait.
        let any: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM dead_letter WHERE tell_at <= ?)")
            .bind(signed(now_ms)?)
            .fetch_one(&mut *self.read().await?)
            .await
            .map_err(error::of)?;
        if !any {
            return Ok(Vec::new());
        }
        let mut tx = self.write().await?;
        let sql = format!(
            "UPDATE dead_letter SET tell_at = ?2 WHERE id IN \
             (SELECT id FROM dead_letter WHERE tell_at <= ?1 ORDER BY id LIMIT ?3) \
             RETURNING {EVENT}, id, {PLACE}, attempts, at, reason"
        );
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(signed(now_ms)?)
            .bind(signed(until_ms)?)
            .bind(at_most(limit))
            .fetch_all(&mut *tx)
            .await
            .map_err(error::of)?;
        let letters = rows.iter().map(read_dead_letter).collect::<Result<Vec<_>, _>>()?;
        tx.commit().await.map_err(error::of)?;
        Ok(in_order(letters))
    }

    async fn dead_letters_published(&self, ids: &[i64]) -> Result<(), Error> {
        let mut tx = self.write().await?;
        sqlx::query("UPDATE dead_letter SET tell_at = NULL WHERE id IN (SELECT value FROM json_each(?))")
            .bind(serde_json::json!(ids).to_string())
            .execute(&mut *tx)
            .await
            .map_err(error::of)?;
        tx.commit().await.map_err(error::of)
    }

    async fn replay(&self, id: i64, now_ms: u64) -> Result<bool, Error> {
        let mut tx = self.write().await?;
        let sql = format!(
            "INSERT INTO retry ({PLACE}, attempt, due_at, reason, {EVENT}) \
             SELECT {PLACE}, attempts + 1, ?2, reason, {EVENT} FROM dead_letter WHERE id = ?1"
        );
        let moved = sqlx::query(AssertSqlSafe(sql))
            .bind(id)
            .bind(signed(now_ms)?)
            .execute(&mut *tx)
            .await
            .map_err(error::of)?;
        delete_dead_letter(&mut tx, id).await?;
        tx.commit().await.map_err(error::of)?;
        Ok(moved.rows_affected() > 0)
    }

    async fn drop_dead_letter(&self, id: i64) -> Result<bool, Error> {
        let mut tx = self.write().await?;
        let removed = delete_dead_letter(&mut tx, id).await?;
        tx.commit().await.map_err(error::of)?;
        Ok(removed)
    }
}

/// What an update returns has no order.
fn in_order(mut letters: Vec<DeadLetter>) -> Vec<DeadLetter> {
    letters.sort_unstable_by_key(|letter| letter.id);
    letters
}

async fn write_retry(connection: &mut SqliteConnection, retry: &Retry) -> Result<(), Error> {
    let sql = format!(
        "INSERT INTO retry ({PLACE}, attempt, due_at, reason, {EVENT}) \
         SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16 WHERE NOT EXISTS \
         (SELECT 1 FROM dead_letter WHERE consumer_group = ?1 AND \"partition\" = ?2 AND \"offset\" = ?3) \
         ON CONFLICT ({PLACE}) DO UPDATE SET \
         attempt = excluded.attempt, due_at = excluded.due_at, reason = excluded.reason"
    );
    let query = sqlx::query(AssertSqlSafe(sql))
        .bind(retry.group.as_str())
        .bind(retry.partition)
        .bind(signed(retry.offset)?)
        .bind(retry.attempt)
        .bind(signed(retry.due_ms)?)
        .bind(retry.reason.as_str());
    bind_event(query, &retry.event)?.execute(connection).await.map_err(error::of)?;
    Ok(())
}

async fn write_dead_letter(connection: &mut SqliteConnection, letter: &DeadLetter) -> Result<(), Error> {
    sqlx::query("DELETE FROM retry WHERE consumer_group = ? AND \"partition\" = ? AND \"offset\" = ?")
        .bind(letter.group.as_str())
        .bind(letter.partition)
        .bind(signed(letter.offset)?)
        .execute(&mut *connection)
        .await
        .map_err(error::of)?;
    let sql = format!(
        "INSERT INTO dead_letter ({PLACE}, attempts, at, reason, {EVENT}) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT ({PLACE}) DO NOTHING"
    );
    let query = sqlx::query(AssertSqlSafe(sql))
        .bind(letter.group.as_str())
        .bind(letter.partition)
        .bind(signed(letter.offset)?)
        .bind(letter.attempts)
        .bind(signed(letter.at_ms)?)
        .bind(letter.reason.as_str());
    bind_event(query, &letter.event)?.execute(connection).await.map_err(error::of)?;
    Ok(())
}

async fn delete_dead_letter(connection: &mut SqliteConnection, id: i64) -> Result<bool, Error> {
    let removed = sqlx::query("DELETE FROM dead_letter WHERE id = ?").bind(id).execute(connection).await;
    Ok(removed.map_err(error::of)?.rows_affected() > 0)
}

type Statement<'q> = Query<'q, sqlx::Sqlite, SqliteArguments>;

fn bind_event<'q>(query: Statement<'q>, event: &Event) -> Result<Statement<'q>, Error> {
    let held = event.held.as_ref();
    Ok(query
        .bind(event.event_id.as_str().to_owned())
        .bind(event.topic.to_string())
        .bind(event.key.to_string())
        .bind(event.room_id.map(|room| room.0))
        .bind(signed(event.at_ms)?)
        .bind(held.map(|held| held.payer.user_id.0))
        .bind(held.map(|held| held.payer.asset_type.0))
        .bind(held.map(|held| held.digest.0.to_vec()))
        .bind(held.map(|held| write_outcome(&held.outcome)).transpose()?)
        .bind(event.payload.to_vec()))
}
