//! The key space on the disk, as of some place in the journal, in an SQLite file.
//!
//! A checkpoint writes what has changed since the one before, and the place in the journal from which it must be repeated, in one
//! transaction. Buckets are copied one after another while the cache goes on, so a checkpoint may be ahead of its place; repeating
//! the journal from there ends in the right state all the same, because the journal tells effects. Accounts, outcomes and holds are
//! not in it: they come from the journal's unsettled events and from the database.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Row, SqliteConnection};

use super::cache::{Buckets, ShardCopy};
use super::key_space::{KeyCopy, NEVER, SlotCopy, slot_of};
use crate::ports::cache::{Position, Shard};

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS place (only INTEGER PRIMARY KEY CHECK (only = 1), journal INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS key (
    plugin TEXT NOT NULL, shard TEXT NOT NULL, key TEXT NOT NULL,
    kind INTEGER NOT NULL, bytes BLOB, counter INTEGER, expires_ms INTEGER,
    PRIMARY KEY (plugin, shard, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS member (
    plugin TEXT NOT NULL, shard TEXT NOT NULL, key TEXT NOT NULL, member TEXT NOT NULL, score INTEGER NOT NULL,
    PRIMARY KEY (plugin, shard, key, member)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS once (
    plugin TEXT NOT NULL, shard TEXT NOT NULL, key TEXT NOT NULL, expires_ms INTEGER NOT NULL,
    PRIMARY KEY (plugin, shard, key)
) STRICT, WITHOUT ROWID;
";

const BYTES: i64 = 0;
const COUNTER: i64 = 1;
const SET: i64 = 2;
const RANKING: i64 = 3;

/// The checkpoint's file. One connection, used by one task.
#[derive(Debug)]
pub(super) struct Checkpoint {
    connection: SqliteConnection,
}

impl Checkpoint {
    /// Opens or makes the file.
    pub(super) async fn open(path: &Path) -> Result<Self, sqlx::Error> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full);
        let mut connection = options.connect().await?;
        sqlx::raw_sql(SCHEMA).execute(&mut connection).await?;
        Ok(Self { connection })
    }

    /// Loads everything into the buckets and returns the place from which the journal must be repeated.
    pub(super) async fn load(&mut self, buckets: &Buckets) -> Result<Position, sqlx::Error> {
        let mut names = Names::default();
        let mut rows = sqlx::query("SELECT plugin, shard, key, kind, bytes, counter, expires_ms FROM key")
            .fetch(&mut self.connection);
        while let Some(row) = rows.try_next().await? {
            let shard = names.shard(row.try_get(0)?, row.try_get(1)?);
            let expires_ms = row.try_get::<Option<i64>, _>(6)?.map_or(NEVER, i64::cast_unsigned);
            let copy = match row.try_get::<i64, _>(3)? {
                BYTES => SlotCopy::Bytes(Bytes::from(row.try_get::<Vec<u8>, _>(4)?), expires_ms),
                COUNTER => SlotCopy::Counter(row.try_get(5)?, expires_ms),
                SET => SlotCopy::Set,
                _ => SlotCopy::Ranking(expires_ms),
            };
            buckets.load_key(&shard, row.try_get::<&str, _>(2)?.into(), slot_of(copy));
        }
        drop(rows);
        let mut rows = sqlx::query("SELECT plugin, shard, key, member, score FROM member").fetch(&mut self.connection);
        while let Some(row) = rows.try_next().await? {
            let shard = names.shard(row.try_get(0)?, row.try_get(1)?);
            let (key, member, score) = (row.try_get(2)?, row.try_get::<&str, _>(3)?, row.try_get(4)?);
            buckets.load(&shard, |keys| keys.load_member(key, member.into(), score));
        }
        drop(rows);
        let mut rows = sqlx::query("SELECT plugin, shard, key, expires_ms FROM once").fetch(&mut self.connection);
        while let Some(row) = rows.try_next().await? {
            let shard = names.shard(row.try_get(0)?, row.try_get(1)?);
            let (key, expires_ms) = (row.try_get::<&str, _>(2)?, row.try_get::<i64, _>(3)?);
            buckets.load(&shard, |keys| keys.load_once(key.into(), expires_ms.cast_unsigned()));
        }
        drop(rows);
        let place: Option<i64> =
            sqlx::query_scalar("SELECT journal FROM place").fetch_optional(&mut self.connection).await?;
        Ok(Position(place.unwrap_or(0).cast_unsigned()))
    }

    /// Writes changes and the place they belong to, in one transaction.
    pub(super) async fn write(
        &mut self,
        place: Position,
        now_ms: u64,
        copies: &[ShardCopy],
    ) -> Result<(), sqlx::Error> {
        let mut transaction = self.connection.begin().await?;
        for copy in copies {
            for key in &copy.keys {
                write_key(&mut transaction, &copy.shard, key).await?;
            }
            for (key, expires_ms) in &copy.once {
                sqlx::query("INSERT OR REPLACE INTO once (plugin, shard, key, expires_ms) VALUES (?, ?, ?, ?)")
                    .bind(&*copy.shard.plugin)
                    .bind(&*copy.shard.name)
                    .bind(&**key)
                    .bind(expires_ms.cast_signed())
                    .execute(&mut *transaction)
                    .await?;
            }
        }
        sqlx::query("DELETE FROM once WHERE expires_ms <= ?")
            .bind(now_ms.cast_signed())
            .execute(&mut *transaction)
            .await?;
        sqlx::query("INSERT OR REPLACE INTO place (only, journal) VALUES (1, ?)")
            .bind(place.0.cast_signed())
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await
    }

    /// Closes the file.
    pub(super) async fn close(self) -> Result<(), sqlx::Error> {
        self.connection.close().await
    }
}

/// Shares the names of shards among their keys.
#[derive(Default)]
struct Names {
    plugins: HashMap<String, Arc<str>>,
    last: Option<Shard>,
}

impl Names {
    /// Rows come ordered by shard, so the last one fits nearly always.
    fn shard(&mut self, plugin: &str, name: &str) -> Shard {
        if let Some(last) = self.last.as_ref().filter(|last| *last.plugin == *plugin && *last.name == *name) {
            return last.clone();
        }
        let plugin = self.plugins.entry(plugin.into()).or_insert_with(|| plugin.into());
        let shard = Shard { plugin: Arc::clone(plugin), name: name.into() };
        self.last = Some(shard.clone());
        shard
    }
}

async fn write_key(connection: &mut SqliteConnection, shard: &Shard, copy: &KeyCopy) -> Result<(), sqlx::Error> {
    let (plugin, name, key) = (&*shard.plugin, &*shard.name, &*copy.key);
    if !copy.keeps_members {
        sqlx::query("DELETE FROM member WHERE plugin = ? AND shard = ? AND key = ?")
            .bind(plugin)
            .bind(name)
            .bind(key)
            .execute(&mut *connection)
            .await?;
    }
    let Some(slot) = &copy.slot else {
        sqlx::query("DELETE FROM key WHERE plugin = ? AND shard = ? AND key = ?")
            .bind(plugin)
            .bind(name)
            .bind(key)
            .execute(&mut *connection)
            .await?;
        return Ok(());
    };
    let (kind, bytes, counter, expires_ms) = match slot {
        SlotCopy::Bytes(bytes, expires_ms) => (BYTES, Some(&**bytes), None, *expires_ms),
        SlotCopy::Counter(value, expires_ms) => (COUNTER, None, Some(*value), *expires_ms),
        SlotCopy::Set => (SET, None, None, NEVER),
        SlotCopy::Ranking(expires_ms) => (RANKING, None, None, *expires_ms),
    };
    sqlx::query("INSERT OR REPLACE INTO key (plugin, shard, key, kind, bytes, counter, expires_ms) VALUES (?, ?, ?, ?, ?, ?, ?)")
        .bind(plugin)
        .bind(name)
        .bind(key)
        .bind(kind)
        .bind(bytes)
        .bind(counter)
        .bind((expires_ms != NEVER).then_some(expires_ms.cast_signed()))
        .execute(&mut *connection)
        .await?;
    for member in &copy.members {
        let statement = match member.score {
            Some(_) => "INSERT OR REPLACE INTO member (plugin, shard, key, member, score) VALUES (?, ?, ?, ?, ?)",
            None => "DELETE FROM member WHERE plugin = ? AND shard = ? AND key = ? AND member = ?",
        };
        let bound = sqlx::query(statement).bind(plugin).bind(name).bind(key).bind(&*member.member);
        match member.score {
            Some(score) => bound.bind(score).execute(&mut *connection).await?,
            None => bound.execute(&mut *connection).await?,
        };
    }
    Ok(())
}
