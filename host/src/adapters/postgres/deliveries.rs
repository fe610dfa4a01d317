//! The port of retries and dead letters.
//!
//! An event whose place is among the dead letters is not retried by setting it aside once more: an operator decides, by `replay`.

use std::collections::BTreeMap;

use async_trait::async_trait;
use sqlx::AssertSqlSafe;
use sqlx::postgres::{PgArguments, PgConnection};
use sqlx::query::Query;

use crate::adapters::sql::columns::{at_most, signed, write_outcome};
use crate::adapters::sql::deliveries::{EVENT, PLACE, read_dead_letter, read_event, read_retry};
use crate::domain::{Account, Event};
use crate::ports::db::{DeadLetter, Deliveries, Error, Retry};

use super::text::storable;
use super::{Postgres, error};

// Columns of parameters, in the order in which `Rows` binds them.
const INPUT: &str = "unnest($1::text[], $2::int8[], $3::int8[], $4::int8[], $5::int8[], $6::text[], $7::text[], $8::text[], \
     $9::text[], $10::int8[], $11::int8[], $12::int8[], $13::int8[], $14::bytea[], $15::bytea[], $16::bytea[])";

#[async_trait]
impl Deliveries for Postgres {
    async fn set_aside(&self, retries: Vec<Retry>, dead: Vec<DeadLetter>) -> Result<(), Error> {
        self.within(self.settings.batch_timeout, async move {
            let (retries, dead) = (rows_of_retries(retries)?, rows_of_dead(dead)?);
            let mut attempts = self.attempts();
            loop {
                match self.try_set_aside(&retries, &dead).await {
                    Ok(()) => return Ok(()),
                    Err(fault) if attempts.again(&fault).await => {}
                    Err(fault) => return Err(error::of(fault)),
                }
            }
        })
        .await
    }

    async fn due(&self, group: &str, now_ms: u64, limit: usize) -> Result<Vec<Retry>, Error> {
        self.within(self.settings.call_timeout, async move {
            let sql = format!(
                "SELECT {EVENT}, id, {PLACE}, attempt, due_at, reason FROM retry \
             WHERE consumer_group = $1 AND due_at <= $2 ORDER BY due_at, id LIMIT $3"
            );
            let rows = sqlx::query(AssertSqlSafe(sql))
                .bind(group)
                .bind(signed(now_ms)?)
                .bind(at_most(limit))
                .fetch_all(&self.pool())
                .await
                .map_err(error::of)?;
            rows.iter().map(read_retry).collect()
        })
        .await
    }

    async fn remove_retries(&self, ids: &[i64]) -> Result<(), Error> {
        self.within(self.settings.call_timeout, async move {
            sqlx::query("DELETE FROM retry WHERE id = ANY($1)")
                .bind(ids)
                .execute(&self.pool())
                .await
                .map_err(error::of)?;
            Ok(())
        })
        .await
    }

    async fn waiting(&self) -> Result<Vec<Event>, Error> {
        self.within(self.settings.call_timeout, async move {
            let sql = format!("SELECT {EVENT} FROM retry UNION ALL SELECT {EVENT} FROM dead_letter");
            let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&self.pool()).await.map_err(error::of)?;
            rows.iter().map(read_event).collect()
        })
        .await
    }

    async fn waiting_of(&self, payer: Account) -> Result<Vec<Event>, Error> {
        self.within(self.settings.call_timeout, async move {
            let sql = format!(
                "SELECT {EVENT} FROM retry WHERE payer_id = $1 AND asset_type = $2 \
                 UNION ALL SELECT {EVENT} FROM dead_letter WHERE payer_id = $1 AND asset_type = $2"
            );
            let rows = sqlx::query(AssertSqlSafe(sql))
                .bind(payer.user_id.0)
                .bind(i64::from(payer.asset_type.0))
                .fetch_all(&self.pool())
                .await
                .map_err(error::of)?;
            rows.iter().map(read_event).collect()
        })
        .await
    }

    async fn dead_letters(&self, after: i64, limit: usize) -> Result<Vec<DeadLetter>, Error> {
        self.within(self.settings.call_timeout, async move {
            let sql = format!(
                "SELECT {EVENT}, id, {PLACE}, attempts, at, reason FROM dead_letter WHERE id > $1 ORDER BY id LIMIT $2"
            );
            let rows = sqlx::query(AssertSqlSafe(sql))
                .bind(after)
                .bind(at_most(limit))
                .fetch_all(&self.pool())
                .await
                .map_err(error::of)?;
            rows.iter().map(read_dead_letter).collect()
        })
        .await
    }

    async fn dead_letter(&self, id: i64) -> Result<Option<DeadLetter>, Error> {
        self.within(self.settings.call_timeout, async move {
            let sql = format!("SELECT {EVENT}, id, {PLACE}, attempts, at, reason FROM dead_letter WHERE id = $1");
            let row = sqlx::query(AssertSqlSafe(sql)).bind(id).fetch_optional(&self.pool()).await.map_err(error::of)?;
            row.as_ref().map(read_dead_letter).transpose()
        })
        .await
    }

    async fn unpublished_dead_letters(
        &self,
        now_ms: u64,
        until_ms: u64,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, Error> {
        self.within(self.settings.call_timeout, async move {
            let sql = format!(
                "UPDATE dead_letter SET tell_at = $2 WHERE id IN \
                 (SELECT id FROM dead_letter WHERE tell_at <= $1 ORDER BY id LIMIT $3 FOR UPDATE SKIP LOCKED) \
                 RETURNING {EVENT}, id, {PLACE}, attempts, at, reason"
            );
            let rows = sqlx::query(AssertSqlSafe(sql))
                .bind(signed(now_ms)?)
                .bind(signed(until_ms)?)
                .bind(at_most(limit))
                .fetch_all(&self.pool())
                .await
                .map_err(error::of)?;
            let mut letters = rows.iter().map(read_dead_letter).collect::<Result<Vec<_>, _>>()?;
            // What an update returns has no order.
            letters.sort_unstable_by_key(|letter| letter.id);
            Ok(letters)
        })
        .await
    }

    async fn dead_letters_published(&self, ids: &[i64]) -> Result<(), Error> {
        self.within(self.settings.call_timeout, async move {
            let told = sqlx::query("UPDATE dead_letter SET tell_at = NULL WHERE id = ANY($1)").bind(ids);
            told.execute(&self.pool()).await.map(drop).map_err(error::of)
        })
        .await
    }

    async fn replay(&self, id: i64, now_ms: u64) -> Result<bool, Error> {
        self.within(self.settings.call_timeout, async move {
            let sql = format!(
                "WITH letter AS (DELETE FROM dead_letter WHERE id = $1 RETURNING *) \
             INSERT INTO retry ({PLACE}, attempt, due_at, reason, {EVENT}) \
             SELECT {PLACE}, attempts + 1, $2, reason, {EVENT} FROM letter ON CONFLICT ({PLACE}) DO UPDATE SET \
             attempt = excluded.attempt, due_at = excluded.due_at, reason = excluded.reason"
            );
            let moved = sqlx::query(AssertSqlSafe(sql))
                .bind(id)
                .bind(signed(now_ms)?)
                .execute(&self.pool())
                .await
                .map_err(error::of)?;
            Ok(moved.rows_affected() > 0)
        })
        .await
    }

    async fn drop_dead_letter(&self, id: i64) -> Result<bool, Error> {
        self.within(self.settings.call_timeout, async move {
            let removed = sqlx::query("DELETE FROM dead_letter WHERE id = $1").bind(id).execute(&self.pool()).await;
            Ok(removed.map_err(error::of)?.rows_affected() > 0)
        })
        .await
    }
}

impl Postgres {
    async fn try_set_aside(&self, retries: &Rows, dead: &Rows) -> Result<(), sqlx::Error> {
        let mut tx = self.pool().begin().await?;
        if !dead.groups.is_empty() {
            write_dead_letters(&mut tx, dead).await?;
        }
        if !retries.groups.is_empty() {
            write_retries(&mut tx, retries).await?;
        }
        tx.commit().await
    }
}

async fn write_retries(connection: &mut PgConnection, retries: &Rows) -> Result<(), sqlx::Error> {
    let sql = format!(
        "INSERT INTO retry ({PLACE}, attempt, due_at, reason, {EVENT}) \
         SELECT * FROM {INPUT} AS input ({PLACE}, attempt, due_at, reason, {EVENT}) WHERE NOT EXISTS ( \
             SELECT 1 FROM dead_letter AS dead WHERE dead.consumer_group = input.consumer_group \
             AND dead.\"partition\" = input.\"partition\" AND dead.\"offset\" = input.\"offset\") \
         ON CONFLICT ({PLACE}) DO UPDATE SET \
         attempt = excluded.attempt, due_at = excluded.due_at, reason = excluded.reason"
    );
    retries.bind(sqlx::query(AssertSqlSafe(sql))).execute(connection).await.map(drop)
}

async fn write_dead_letters(connection: &mut PgConnection, dead: &Rows) -> Result<(), sqlx::Error> {
    let sql = format!(
        "WITH input AS (SELECT * FROM {INPUT} AS input ({PLACE}, attempts, at, reason, {EVENT})), \
         gone AS (DELETE FROM retry USING input WHERE retry.consumer_group = input.consumer_group \
             AND retry.\"partition\" = input.\"partition\" AND retry.\"offset\" = input.\"offset\") \
         INSERT INTO dead_letter ({PLACE}, attempts, at, reason, {EVENT}) SELECT * FROM input ON CONFLICT ({PLACE}) DO NOTHING"
    );
    dead.bind(sqlx::query(AssertSqlSafe(sql))).execute(connection).await.map(drop)
}

/// Events with their places, a column each, in the order of the places: two that set the same aside take their locks alike.
#[derive(Default)]
struct Rows {
    groups: Vec<String>,
    partitions: Vec<i64>,
    offsets: Vec<i64>,
    attempts: Vec<i64>,
    times: Vec<i64>,
    reasons: Vec<String>,
    event_ids: Vec<String>,
    topics: Vec<String>,
    keys: Vec<String>,
    rooms: Vec<Option<i64>>,
    accepted: Vec<i64>,
    payers: Vec<Option<i64>>,
    assets: Vec<Option<i64>>,
    digests: Vec<Option<Vec<u8>>>,
    outcomes: Vec<Option<Vec<u8>>>,
    payloads: Vec<Vec<u8>>,
}

/// Of several of one place the last is what holds.
fn rows_of_retries(retries: Vec<Retry>) -> Result<Rows, Error> {
    let places: BTreeMap<_, _> =
        retries.into_iter().map(|retry| ((retry.group.clone(), retry.partition, retry.offset), retry)).collect();
    let mut rows = Rows::default();
    for ((group, partition, offset), retry) in places {
        rows.place(group, partition, offset)?;
        rows.add(retry.attempt, retry.due_ms, &retry.reason, &retry.event)?;
    }
    Ok(rows)
}

fn rows_of_dead(dead: Vec<DeadLetter>) -> Result<Rows, Error> {
    let places: BTreeMap<_, _> =
        dead.into_iter().map(|letter| ((letter.group.clone(), letter.partition, letter.offset), letter)).collect();
    let mut rows = Rows::default();
    for ((group, partition, offset), letter) in places {
        rows.place(group, partition, offset)?;
        rows.add(letter.attempts, letter.at_ms, &letter.reason, &letter.event)?;
    }
    Ok(rows)
}

impl Rows {
    fn place(&mut self, group: String, partition: u32, offset: u64) -> Result<(), Error> {
        self.groups.push(group);
        self.partitions.push(i64::from(partition));
        self.offsets.push(signed(offset)?);
        Ok(())
    }

    fn add(&mut self, attempts: u32, time_ms: u64, reason: &str, event: &Event) -> Result<(), Error> {
        self.attempts.push(i64::from(attempts));
        self.times.push(signed(time_ms)?);
        self.reasons.push(storable(reason).into_owned());
        self.event_ids.push(event.event_id.as_str().to_owned());
        self.topics.push(event.topic.to_string());
        self.keys.push(storable(&event.key).into_owned());
        self.rooms.push(event.room_id.map(|room| room.0));
        self.accepted.push(signed(event.at_ms)?);
        let held = event.held.as_ref();
        self.payers.push(held.map(|held| held.payer.user_id.0));
        self.assets.push(held.map(|held| i64::from(held.payer.asset_type.0)));
        self.digests.push(held.map(|held| held.digest.0.to_vec()));
        self.outcomes.push(held.map(|held| write_outcome(&held.outcome)).transpose()?);
        self.payloads.push(event.payload.to_vec());
        Ok(())
    }

    fn bind<'q>(&'q self, query: Query<'q, sqlx::Postgres, PgArguments>) -> Query<'q, sqlx::Postgres, PgArguments> {
        let query = query.bind(&self.groups).bind(&self.partitions).bind(&self.offsets).bind(&self.attempts);
        let query = query.bind(&self.times).bind(&self.reasons).bind(&self.event_ids).bind(&self.topics);
        let query = query.bind(&self.keys).bind(&self.rooms).bind(&self.accepted).bind(&self.payers);
        query.bind(&self.assets).bind(&self.digests).bind(&self.outcomes).bind(&self.payloads)
    }
}
