//! The journal: the one durable log of the embedded mode. Steps 5 and 7 of the way of a gift.
//!
//! An append encodes into a shared buffer under a short lock, so the journal's order is the order of the steps; one thread writes
//! and syncs whatever has gathered (group commit), hands the events to the queue and then says how far it is. One task wakes all who
//! waited for that: it runs where they run, so waking costs no lock and no system call each. A place in the journal, a [`Position`],
//! is the count of bytes up to the end of the step.
//!
//! Bounds: the buffer (`buffer_bytes_max`, then [`Refused::Full`]) and the time that [`Journal::durable`] waits. When the disk
//! fails, new steps are refused, what was appended is kept, and the writer goes on trying in fresh segments.

mod read;
mod segment;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::{oneshot, watch};

pub use read::Corrupt;
pub(super) use read::{Error as ReadError, Replayed, replay};

use super::queue::log::{Change, Log};
use crate::ports::cache::Position;

/// Where the journal lies and what bounds it.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    /// The directory of the segments; it exists.
    pub(super) dir: PathBuf,
    /// A segment that is longer gets a successor.
    pub(super) segment_bytes: u64,
    /// What may wait for the disk.
    pub(super) buffer_bytes_max: usize,
    /// How long [`Journal::durable`] waits at most.
    pub(super) durable_wait: Duration,
}

/// Why nothing was appended, or why durability is not known.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum Refused {
    #[error("{0} is full")]
    Full(&'static str),
    #[error("{0}")]
    Unavailable(String),
}

/// A segment that is written no more.
#[derive(Debug, Clone)]
pub(super) struct Closed {
    /// The file.
    pub(super) path: PathBuf,
    /// The place of its end.
    pub(super) end: u64,
    /// The offsets of the first events after it.
    pub(super) next_offsets: Vec<u64>,
}

/// The handle to append; shared by the cache and the queue. Dropping the last one ends the writer after what was appended.
#[derive(Debug)]
pub(super) struct Journal {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    limits: Limits,
    log: Arc<Log>,
    buffer: Mutex<Buffer>,
    /// Something was appended to an empty buffer, or the journal closes.
    filled: Condvar,
    durable: AtomicU64,
    waiters: Mutex<Vec<(u64, oneshot::Sender<()>)>>,
    closed_segments: Mutex<Vec<Closed>>,
}

#[derive(Debug, Default)]
struct Buffer {
    bytes: Vec<u8>,
    changes: Vec<Change>,
    /// How many frames are in it.
    frames: usize,
    /// The place of the first byte.
    start: u64,
    refusing: Option<Refused>,
    closing: bool,
}

impl Buffer {
    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }
}

impl Journal {
    /// Starts the writer at the end of what was replayed. Call within the runtime that waits for durability; what wakes them there
    /// ends with the writer.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub(super) fn start(limits: Limits, log: Arc<Log>, replayed: Replayed) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            limits,
            log,
            buffer: Mutex::new(Buffer { start: replayed.end, ..Buffer::default() }),
            filled: Condvar::new(),
            durable: AtomicU64::new(replayed.end),
            waiters: Mutex::new(Vec::new()),
            closed_segments: Mutex::new(replayed.segments),
        });
        let (durable, reached) = watch::channel(replayed.end);
        tokio::spawn(wake(Arc::clone(&shared), reached));
        let writer = writer::Writer::new(Arc::clone(&shared), replayed.next_number, durable);
        let thread = std::thread::Builder::new().name("journal".into()).spawn(move || writer.run())?;
        Ok(Self { shared, writer: Mutex::new(Some(thread)) })
    }

    /// Appends a frame and what it means for the queue. Never waits for the disk.
    ///
    /// # Errors
    /// If the buffer is full or the disk fails; then nothing was appended.
    pub(super) fn append(&self, frame: &[u8], changes: impl IntoIterator<Item = Change>) -> Result<Position, Refused> {
        let mut buffer = self.shared.buffer.lock();
        if let Some(refused) = &buffer.refusing {
            return Err(refused.clone());
        }
        let was_empty = buffer.bytes.is_empty();
        if !was_empty && buffer.bytes.len() + frame.len() > self.shared.limits.buffer_bytes_max {
            return Err(Refused::Full("the journal's buffer"));
        }
        if was_empty {
            let mark = segment::mark(buffer.start);
            buffer.bytes.extend_from_slice(&mark);
        }
        buffer.bytes.extend_from_slice(frame);
        buffer.changes.extend(changes);
        buffer.frames += 1;
        let end = buffer.end();
        drop(buffer);
        if was_empty {
            self.shared.filled.notify_one();
        }
        Ok(Position(end))
    }

    /// The place after everything that was appended so far.
    pub(super) fn position(&self) -> Position {
        Position(self.shared.buffer.lock().end())
    }

    /// Returns once everything up to the position is on the disk.
    ///
    /// # Errors
    /// If that takes longer than the bound, or the journal was closed before. It may still become durable.
    pub(super) async fn durable(&self, position: Position) -> Result<(), Refused> {
        let reached = || self.shared.durable.load(Ordering::Acquire) >= position.0;
        if reached() {
            return Ok(());
        }
        let (sender, receiver) = oneshot::channel();
        {
            let mut waiters = self.shared.waiters.lock();
            if reached() {
                return Ok(());
            }
            waiters.push((position.0, sender));
        }
        match tokio::time::timeout(self.shared.limits.durable_wait, receiver).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Refused::Unavailable("the journal was closed".into())),
            Err(_) => Err(Refused::Unavailable("the disk does not keep up".into())),
        }
    }

    /// Removes the oldest segments that end at or before this place and whose events are all consumed. Returns how many. The
    /// newest of those that are written no more stays, so that there is always a head to start from.
    ///
    /// # Errors
    /// If a file cannot be removed; it is tried again the next time.
    pub(super) fn remove_segments(&self, before: Position) -> std::io::Result<usize> {
        let first = self.shared.log.first_offsets();
        let consumed = |closed: &Closed| closed.next_offsets.iter().zip(&first).all(|(next, first)| next <= first);
        let mut removed = 0;
        loop {
            let mut segments = self.shared.closed_segments.lock();
            let oldest = segments.first().filter(|closed| closed.end <= before.0 && consumed(closed));
            let Some(oldest) = oldest.filter(|_| segments.len() > 1) else { break };
            std::fs::remove_file(&oldest.path)?;
            segments.remove(0);
            removed += 1;
        }
        if removed > 0 {
            segment::sync_dir(&self.shared.limits.dir)?;
        }
        Ok(removed)
    }

    /// Writes what was appended, refuses more, and joins the thread. Blocks. Idempotent.
    pub(super) fn close(&self) {
        self.shared.buffer.lock().closing = true;
        self.shared.filled.notify_one();
        let thread = self.writer.lock().take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the journal's thread has panicked");
        }
    }
}

/// Wakes who waits, each time more has become durable; when the writer has ended, nobody needs to wait any more.
async fn wake(shared: Arc<Shared>, mut reached: watch::Receiver<u64>) {
    while reached.changed().await.is_ok() {
        let end = *reached.borrow_and_update();
        for (_, waiter) in shared.waiters.lock().extract_if(.., |(place, _)| *place <= end) {
            // The caller may have gone away; the step is durable all the same.
            let _ = waiter.send(());
        }
    }
    shared.waiters.lock().clear();
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.close();
    }
}
