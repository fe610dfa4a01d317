//! The database in one SQLite file: the embedded home of the settled ledger and of what operators decide. Steps 8 and 9 of the way
//! of a gift end here.
//!
//! One connection writes, one transaction after another, in the order in which they asked; readers have connections of their
//! own and see the last commit. A commit has reached the disk when it returns (`synchronous = FULL`), because the offsets of
//! the queue are committed on the strength of it.
//!
//! Bounds: waiting for a connection ends after [`WAIT_MAX`] as `Unavailable`; at most one plugin's transaction is in the line for
//! the writer, so plugins cannot starve settling; plugins read through connections of their own and every statement of
//! theirs is interrupted after [`STATEMENT_TIME_MAX`]. It does not decide what is posted: that is the ledger's business.

mod authorizer;
mod bulk;
mod deadline;
mod deliveries;
mod differences;
mod error;
mod gate;
mod ledger;
mod plugins;
mod post;
mod pots;
mod records;
mod rooms;
mod schema;
mod statements;
mod transaction;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::ConnectOptions;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use tokio::sync::Semaphore;

use crate::ports::db::{Database, Error};
use deadline::Deadline;
use transaction::Transaction;

/// How long a caller waits for a connection.
pub const WAIT_MAX: Duration = Duration::from_secs(5);
/// How long one statement of a plugin may run.
pub const STATEMENT_TIME_MAX: Duration = Duration::from_secs(2);

// Four readers keep two cores busy while one waits for the disk; plugins have half as many of their own.
const READERS: u32 = 4;
const PLUGIN_READERS: u32 = 2;
// Pages of 4 KiB; the write-ahead log is folded into the file each time it has grown by 64 MB.
const CHECKPOINT_PAGES: &str = "16384";
const WRITER_CACHE: &str = "-131072";
const READER_CACHE: &str = "-16384";
const MMAP_BYTES: &str = "1073741824";

static MIGRATIONS: Migrator = sqlx::migrate!("../migrations/sqlite");

/// An open database file.
pub struct Sqlite {
    writer: SqlitePool,
    readers: SqlitePool,
    plugin_readers: SqlitePool,
    plugin_turn: Semaphore,
    writer_deadline: Arc<Deadline>,
    checked: moka::sync::Cache<String, authorizer::Checked>,
}

impl Sqlite {
    /// Opens the file, makes it if there is none, and brings its tables up to date.
    ///
    /// # Errors
    /// `Unavailable` if the file cannot be opened or is locked; `Refused` if it is no database, or one of a newer program.
    pub async fn open(path: &Path) -> Result<Arc<Self>, Error> {
        let writer_deadline = Arc::new(Deadline::default());
        let writer = open_writer(path, Arc::clone(&writer_deadline)).await?;
        MIGRATIONS.run(&writer).await.map_err(|fault| migration_error(fault, path))?;
        Ok(Arc::new(Self {
            writer,
            readers: open_readers(path, READERS).await?,
            plugin_readers: open_readers(path, PLUGIN_READERS).await?,
            plugin_turn: Semaphore::new(1),
            writer_deadline,
            checked: moka::sync::Cache::new(4_096),
        }))
    }

    /// Begins a writing transaction.
    async fn write(&self) -> Result<Transaction, Error> {
        let tx = Transaction::write(&self.writer).await?;
        self.writer_deadline.clear();
        Ok(tx)
    }

    async fn read(&self) -> Result<PoolConnection<sqlx::Sqlite>, Error> {
        self.readers.acquire().await.map_err(error::of)
    }
}

#[async_trait]
impl Database for Sqlite {
    async fn ping(&self) -> Result<(), Error> {
        sqlx::query("SELECT 1")
            .execute(&self.readers)
            .await
            .map(drop)
            .map_err(|fault| Error::Unavailable(fault.to_string()))
    }

    /// Also folds the write-ahead log into the file.
    async fn close(&self) {
        self.plugin_readers.close().await;
        self.readers.close().await;
        if let Err(fault) = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&self.writer).await {
            tracing::warn!(error = %fault, "the write-ahead log stays; the next start reads it");
        }
        self.writer.close().await;
    }
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .foreign_keys(true)
        .busy_timeout(WAIT_MAX)
        .pragma("mmap_size", MMAP_BYTES)
        .pragma("temp_store", "MEMORY")
        .pragma("trusted_schema", "OFF")
        .statement_cache_capacity(256)
        // A thread has its turn for so many rows, not for 50.
        .row_buffer_size(1_024)
        .disable_statement_logging()
}

async fn open_writer(path: &Path, deadline: Arc<Deadline>) -> Result<SqlitePool, Error> {
    let options = options(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("cache_size", WRITER_CACHE)
        .pragma("wal_autocheckpoint", CHECKPOINT_PAGES);
    pool(1)
        .after_connect(move |connection, _| {
            let deadline = Arc::clone(&deadline);
            Box::pin(async move {
                deadline.arm(&mut connection.lock_handle().await?);
                Ok(())
            })
        })
        .connect_with(options)
        .await
        .map_err(error::of)
}

async fn open_readers(path: &Path, count: u32) -> Result<SqlitePool, Error> {
    let options = options(path).read_only(true).pragma("cache_size", READER_CACHE);
    pool(count).connect_with(options).await.map_err(error::of)
}

fn pool(count: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(count)
        .acquire_timeout(WAIT_MAX)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
}

fn migration_error(fault: MigrateError, path: &Path) -> Error {
    let path = path.display();
    match fault {
        MigrateError::VersionMissing(version) => Error::Refused(format!(
            "{path} was written by a newer program (it has migration {version}, this one ends before it): start that program"
        )),
        MigrateError::VersionMismatch(version) => Error::Refused(format!(
            "migration {version} of {path} is not the one of this program: start the program that wrote it"
        )),
        MigrateError::Execute(fault) | MigrateError::ExecuteMigration(fault, _) => error::of(fault),
        other => Error::Refused(format!("{path}: {other}")),
    }
}
