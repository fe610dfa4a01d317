//! A transaction that never leaves its connection in doubt.
//!
//! When the disk is full or a statement is interrupted, SQLite rolls the whole transaction back by itself, and the driver's own
//! transactions then count one that is no longer there and refuse every later one. So a transaction that ends neither by
//! `commit` nor by `rollback`, because of a fault or because its future was dropped, closes the connection, which rolls back
//! whatever is left; the pool opens another.

use std::ops::{Deref, DerefMut};

use sqlx::pool::PoolConnection;
use sqlx::{Executor, SqliteConnection, SqlitePool};

use crate::ports::db::Error;

use super::error;

/// An open transaction, with its connection.
pub(super) struct Transaction {
    connection: PoolConnection<sqlx::Sqlite>,
    open: bool,
}

impl Transaction {
    /// Takes the lock for writing.
    pub(super) async fn write(pool: &SqlitePool) -> Result<Self, Error> {
        Self::begin(pool, "BEGIN IMMEDIATE").await
    }

    /// Sees one state of the database however long it reads.
    pub(super) async fn snapshot(pool: &SqlitePool) -> Result<Self, Error> {
        Self::begin(pool, "BEGIN").await
    }

    async fn begin(pool: &SqlitePool, sql: &'static str) -> Result<Self, Error> {
        let connection = pool.acquire().await.map_err(error::of)?;
        let mut begun = Self { connection, open: true };
        begun.connection.execute(sql).await.map_err(error::of)?;
        Ok(begun)
    }

    /// Makes it lasting.
    pub(super) async fn commit(mut self) -> Result<(), sqlx::Error> {
        self.connection.execute("COMMIT").await?;
        self.open = false;
        Ok(())
    }

    /// Leaves everything as it was.
    pub(super) async fn rollback(mut self) {
        // A fault leaves `open` as it is, so the connection is closed, which rolls back as well.
        self.open = self.connection.execute("ROLLBACK").await.is_err();
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if self.open {
            self.connection.close_on_drop();
        }
    }
}

impl Deref for Transaction {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.connection
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }
}
