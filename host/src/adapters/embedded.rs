//! The backends of one process, with nothing to install: cache and queue over one durable journal, a push bus, a clock.
//!
//! In the data directory: `lock` (one process at a time), `journal/` (the segments of the journal) and `cache.db` (the checkpoint
//! of the plugins' keys). One thread writes the journal and one task makes checkpoints and removes old segments; [`Embedded::close`]
//! joins both. What is bounded is in [`Settings`]. A crash at any moment loses only steps that nobody was told of.

mod cache;
mod checkpoint;
mod clock;
mod journal;
mod key_space;
mod push_bus;
mod queue;
mod record;
mod recovery;

use std::fs::{File, TryLockError};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use cache::EmbeddedCache;
pub use clock::SystemClock;
pub use journal::Corrupt;
pub use push_bus::LocalPushBus;
pub use queue::EmbeddedQueue;
pub(super) use record::stable_hash;

use self::cache::{Bounds, Buckets, Lifetimes};
use self::checkpoint::Checkpoint;
use self::journal::{Journal, Limits, ReadError};
use self::queue::log::Log;
use crate::domain::Event;
use crate::ports::cache::Position;
use crate::ports::clock::Clock;

/// Where the data lie and what bounds them.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The data directory; made if it is not there. No other process may use it.
    pub dir: PathBuf,
    /// Locks that the cache is divided by.
    pub buckets: usize,
    /// Partitions of the queue. A directory keeps the number it was made with while there is something in its journal.
    pub partitions: usize,
    /// Events that some group has not consumed; then holds and publishing are refused as full.
    pub outbox_len_max: u64,
    /// Outcomes that are remembered; the database knows the others.
    pub outcomes_max: usize,
    /// Accounts without open holds that are kept.
    pub accounts_max: usize,
    /// Keys and members of the plugins' key space; beyond, commits that could grow are refused as full. Looked at by the sweep.
    pub entries_max: u64,
    /// How long an account without open holds is kept after its last use.
    pub account_lifetime: Duration,
    /// How long a user who does not exist is remembered as such.
    pub absent_lifetime: Duration,
    /// How long a load of an account may take.
    pub lease_lifetime: Duration,
    /// The journal goes on in another file after so many bytes.
    pub segment_bytes: u64,
    /// Bytes that may wait for the disk; then steps are refused as full.
    pub buffer_bytes_max: usize,
    /// How long to wait for the disk before saying that the durability of a step is not known.
    pub durable_wait: Duration,
    /// The journal's growth after which the key space is written to the checkpoint.
    pub checkpoint_bytes: u64,
    /// How often to sweep what has expired, and to look whether a checkpoint is due.
    pub sweep_interval: Duration,
}

impl Settings {
    /// Defaults for a server: a million events, two million outcomes, a million accounts.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            buckets: 64,
            partitions: 4,
            outbox_len_max: 1_000_000,
            outcomes_max: 2_000_000,
            accounts_max: 1_000_000,
            entries_max: 20_000_000,
            account_lifetime: Duration::from_secs(3_600),
            absent_lifetime: Duration::from_secs(1),
            lease_lifetime: Duration::from_secs(5),
            segment_bytes: 64 << 20,
            buffer_bytes_max: 64 << 20,
            durable_wait: Duration::from_secs(5),
            checkpoint_bytes: 256 << 20,
            sweep_interval: Duration::from_secs(5),
        }
    }

    fn bounds(&self) -> Bounds {
        let lifetimes =
            Lifetimes { account: self.account_lifetime, absent: self.absent_lifetime, lease: self.lease_lifetime };
        Bounds {
            buckets: self.buckets,
            accounts_max: self.accounts_max,
            outcomes_max: self.outcomes_max,
            entries_max: self.entries_max,
            lifetimes,
        }
    }
}

/// Why the data directory could not be opened or closed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process uses it.
    #[error("{0} is in use by another process")]
    InUse(PathBuf),
    /// The journal is damaged; a person must decide.
    #[error(transparent)]
    Corrupt(#[from] Corrupt),
    /// The file system does not do what it should.
    #[error("{path}: {source}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// The checkpoint cannot be read or written.
    #[error("the checkpoint of the cache: {0}")]
    Checkpoint(#[from] sqlx::Error),
    /// The journal cannot be written.
    #[error("the journal: {0}")]
    Journal(String),
}

/// The open backends.
#[derive(Debug)]
pub struct Embedded {
    /// The cache.
    pub cache: Arc<EmbeddedCache>,
    /// The queue.
    pub queue: Arc<EmbeddedQueue>,
    stop: CancellationToken,
    upkeep: Option<JoinHandle<Upkeep>>,
}

/// Opens a data directory and reads back what it holds. The answer comes once every unsettled event has its hold again.
///
/// # Errors
/// If another process uses it, it cannot be read, or the journal is damaged where it had been durable.
pub async fn open(settings: Settings) -> Result<Embedded, Error> {
    let opened_ms = SystemClock.now_ms();
    let journal_dir = settings.dir.join("journal");
    std::fs::create_dir_all(&journal_dir).map_err(|source| Error::Io { path: journal_dir.clone(), source })?;
    let lock = lock(settings.dir.join("lock"))?;
    let synced = File::open(&settings.dir).and_then(|dir| dir.sync_all());
    synced.map_err(|source| Error::Io { path: settings.dir.clone(), source })?;
    let buckets = Arc::new(Buckets::new(settings.bounds()));
    let mut checkpoint = Checkpoint::open(&settings.dir.join("cache.db")).await?;
    let place = checkpoint.load(&buckets).await?;
    let log = Arc::new(Log::new(settings.partitions.max(1), settings.outbox_len_max));
    let replayed = {
        let (dir, buckets, log) = (journal_dir.clone(), Arc::clone(&buckets), Arc::clone(&log));
        let read = tokio::task::spawn_blocking(move || recovery::recover(&dir, &buckets, &log, place));
        let read = read.await.map_err(|error| Error::Journal(error.to_string()))?;
        read.map_err(|error| match error {
            ReadError::Corrupt(corrupt) => Error::Corrupt(corrupt),
            ReadError::Io(source) => Error::Io { path: journal_dir.clone(), source },
        })?
    };
    if replayed.end < place.0 {
        let reason =
            format!("{} ends before the checkpoint cache.db beside it: files are missing", journal_dir.display());
        return Err(Error::Journal(reason));
    }
    buckets.incomplete_before(opened_ms.max(log.state().id_time_max_ms.saturating_add(1)));
    let limits = Limits {
        dir: journal_dir.clone(),
        segment_bytes: settings.segment_bytes,
        buffer_bytes_max: settings.buffer_bytes_max,
        durable_wait: settings.durable_wait,
    };
    let journal =
        Journal::start(limits, Arc::clone(&log), replayed).map_err(|source| Error::Io { path: journal_dir, source })?;
    let journal = Arc::new(journal);
    let stop = CancellationToken::new();
    let upkeep = Upkeep {
        buckets: Arc::clone(&buckets),
        journal: Arc::clone(&journal),
        checkpoint,
        place,
        settings,
        _lock: lock,
    };
    let upkeep = tokio::spawn(upkeep.run(stop.clone()));
    let next_lease = AtomicU64::new(1);
    let cache = EmbeddedCache { buckets, journal: Arc::clone(&journal), log: Arc::clone(&log), next_lease };
    let queue = EmbeddedQueue { journal, log };
    Ok(Embedded { cache: Arc::new(cache), queue: Arc::new(queue), stop, upkeep: Some(upkeep) })
}

fn lock(path: PathBuf) -> Result<File, Error> {
    let opened = File::options().create(true).truncate(false).write(true).open(&path);
    let file = opened.map_err(|source| Error::Io { path: path.clone(), source })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::InUse(path)),
        Err(TryLockError::Error(source)) => Err(Error::Io { path, source }),
    }
}

impl Embedded {
    /// Opens the holds of events that wait in the database for another try or for an operator, and remembers their outcomes. To be
    /// called before anybody may hold. Idempotent.
    pub fn recover(&self, events: &[Event]) {
        // Outcomes of open holds are never let go, so every hold comes first.
        events.iter().for_each(|event| self.cache.buckets.recover_hold(event));
        events.iter().for_each(|event| self.cache.buckets.recover_outcome(event, Position(0)));
    }

    /// Stops taking steps, makes everything durable, writes a checkpoint, and joins the thread and the task.
    ///
    /// # Errors
    /// If the disk does not take the rest; nothing that was told to be durable is lost.
    pub async fn close(mut self) -> Result<(), Error> {
        self.stop.cancel();
        let Some(upkeep) = self.upkeep.take() else { return Ok(()) };
        let mut upkeep = upkeep.await.map_err(|error| Error::Journal(error.to_string()))?;
        let journal = Arc::clone(&upkeep.journal);
        let closing = tokio::task::spawn_blocking(move || journal.close());
        closing.await.map_err(|error| Error::Journal(error.to_string()))?;
        upkeep.write_checkpoint().await?;
        upkeep.checkpoint.close().await?;
        Ok(())
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// The task that sweeps, makes checkpoints and removes old segments. It holds the lock of the directory.
#[derive(Debug)]
struct Upkeep {
    buckets: Arc<Buckets>,
    journal: Arc<Journal>,
    checkpoint: Checkpoint,
    /// Where the last checkpoint was made.
    place: Position,
    settings: Settings,
    _lock: File,
}

impl Upkeep {
    async fn run(mut self, stop: CancellationToken) -> Self {
        while stop.run_until_cancelled(tokio::time::sleep(self.settings.sweep_interval)).await.is_some() {
            self.buckets.sweep().await;
            let grown = self.journal.position().0.saturating_sub(self.place.0);
            if grown < self.settings.checkpoint_bytes {
                self.remove_segments();
            } else if let Err(error) = self.write_checkpoint().await {
                tracing::error!(%error, "no checkpoint of the cache; the journal grows until there is one");
            }
        }
        self
    }

    async fn write_checkpoint(&mut self) -> Result<(), Error> {
        let place = self.journal.position();
        let copies = self.buckets.take_dirty().await;
        // The checkpoint must not know of steps that the journal could still lose.
        let copied = self.journal.position();
        let written = match self.journal.durable(copied).await {
            Ok(()) => self.checkpoint.write(place, self.buckets.now_ms(), &copies).await.map_err(Error::from),
            Err(refused) => Err(Error::Journal(refused.to_string())),
        };
        if let Err(error) = written {
            self.buckets.mark_dirty(&copies);
            return Err(error);
        }
        self.place = place;
        self.remove_segments();
        Ok(())
    }

    fn remove_segments(&self) {
        match self.journal.remove_segments(self.place) {
            Ok(0) => {}
            Ok(segments) => tracing::debug!(segments, "removed segments of the journal"),
            Err(error) => tracing::warn!(%error, "a segment of the journal cannot be removed"),
        }
    }
}
