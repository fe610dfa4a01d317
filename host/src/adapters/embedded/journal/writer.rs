//! The thread that makes the journal durable.
//!
//! It swaps the buffer, appends it to the segment with one write and one sync, tells the queue, then says how far it is. Under load it
//! lets more gather before the next sync. What could not be written is tried again in a fresh segment that starts at the last durable place, with a growing pause; the old segment's tail
//! beyond that place is never read.

use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;

use super::super::queue::log::Change;
use super::segment::{self, Head, MARK_LEN, Segment};
use super::{Closed, Refused, Shared};

const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// How often a closing journal still tries a failing disk.
const TRIES_WHEN_CLOSING: u32 = 3;

/// From so many frames in one batch on, the next one is let gather for this long: a sync costs the machine as much as several gifts.
const GATHER_FROM: usize = 4;
const GATHER: Duration = Duration::from_micros(500);

/// A buffer that grew beyond this in a burst is not kept.
const KEPT_BUFFER_BYTES: usize = 4 << 20;

pub(super) struct Writer {
    shared: Arc<Shared>,
    durable: watch::Sender<u64>,
    next_number: u64,
    segment: Option<Segment>,
    /// How many frames the last batch had.
    gathered: usize,
    /// Something was written that no mark follows yet.
    is_unsealed: bool,
    spare: (Vec<u8>, Vec<Change>),
}

/// What is written at once.
struct Batch {
    bytes: Vec<u8>,
    changes: Vec<Change>,
    end: u64,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, next_number: u64, durable: watch::Sender<u64>) -> Self {
        Self { shared, durable, next_number, segment: None, gathered: 0, is_unsealed: false, spare: Default::default() }
    }

    /// Until the journal is closed.
    pub(super) fn run(mut self) {
        while let Some(mut batch) = self.next_batch() {
            if !self.store(&batch.bytes) {
                tracing::error!(bytes = batch.bytes.len(), "closed with steps that the disk did not take");
                break;
            }
            self.shared.log.apply(batch.changes.drain(..));
            self.complete(batch.end);
            self.recycle(batch);
        }
        self.shared.buffer.lock().refusing = Some(Refused::Unavailable("the journal is closed".into()));
    }

    /// Waits for something to write; none once the journal closes and all is written.
    fn next_batch(&mut self) -> Option<Batch> {
        let mut buffer = self.shared.buffer.lock();
        while buffer.bytes.is_empty() {
            if !buffer.closing {
                self.shared.filled.wait(&mut buffer);
                continue;
            }
            buffer.refusing = Some(Refused::Unavailable("the journal is closed".into()));
            if !self.is_unsealed {
                return None;
            }
            // The last mark: damage to anything before it is then known to be damage.
            let seal = segment::mark(buffer.start);
            buffer.bytes.extend_from_slice(&seal);
        }
        if self.gathered >= GATHER_FROM && !buffer.closing {
            self.shared.filled.wait_for(&mut buffer, GATHER);
        }
        self.gathered = std::mem::take(&mut buffer.frames);
        self.is_unsealed = buffer.bytes.len() > MARK_LEN;
        let (bytes, changes) = std::mem::take(&mut self.spare);
        let end = buffer.end();
        buffer.start = end;
        let bytes = std::mem::replace(&mut buffer.bytes, bytes);
        let changes = std::mem::replace(&mut buffer.changes, changes);
        Some(Batch { bytes, changes, end })
    }

    /// Tries until the bytes are durable. False if the journal closes meanwhile.
    fn store(&mut self, bytes: &[u8]) -> bool {
        let mut pause = PAUSE_MIN;
        let mut tries_left = TRIES_WHEN_CLOSING;
        while let Err(error) = self.try_store(bytes) {
            tracing::error!(%error, pause_ms = pause.as_millis(), "the journal cannot be written; new steps are refused");
            self.retire();
            let mut buffer = self.shared.buffer.lock();
            buffer.refusing = Some(refusal(&error));
            if buffer.closing {
                tries_left -= 1;
            }
            if tries_left == 0 {
                return false;
            }
            self.shared.filled.wait_for(&mut buffer, pause);
            drop(buffer);
            self.shared.waiters.lock().retain(|(_, waiter)| !waiter.is_closed());
            pause = (pause * 2).min(PAUSE_MAX);
        }
        if pause > PAUSE_MIN {
            tracing::info!("the journal can be written again");
            self.shared.buffer.lock().refusing = None;
        }
        true
    }

    fn try_store(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.segment.as_ref().is_some_and(|segment| segment.len >= self.shared.limits.segment_bytes) {
            self.retire();
        }
        let segment = match &mut self.segment {
            Some(segment) => segment,
            empty => {
                let head = Head { start: self.shared.durable.load(Ordering::Acquire), log: self.shared.log.state() };
                let number = self.next_number;
                self.next_number += 1;
                let dir = &self.shared.limits.dir;
                let made = Segment::create(dir, number, &head);
                if made.is_err() {
                    // Without a head it means nothing to a reader; what cannot be removed now does no harm.
                    let _ = fs::remove_file(segment::path_of(dir, number));
                }
                empty.insert(made?)
            }
        };
        segment.append(bytes)
    }

    /// Ends the current segment. Everything durable in it is known to the queue by now.
    fn retire(&mut self) {
        let Some(segment) = self.segment.take() else { return };
        let end = self.shared.durable.load(Ordering::Acquire);
        if end == segment.start {
            let _ = fs::remove_file(&segment.path);
            return;
        }
        let next_offsets = self.shared.log.state().next_offsets;
        self.shared.closed_segments.lock().push(Closed { path: segment.path, end, next_offsets });
    }

    fn complete(&self, end: u64) {
        self.shared.durable.store(end, Ordering::Release);
        self.durable.send_replace(end);
    }

    fn recycle(&mut self, mut batch: Batch) {
        if batch.bytes.capacity() <= KEPT_BUFFER_BYTES {
            batch.bytes.clear();
            self.spare = (batch.bytes, batch.changes);
        }
    }
}

fn refusal(error: &io::Error) -> Refused {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Refused::Full("the journal's disk"),
        _ => Refused::Unavailable(format!("the journal cannot be written: {error}")),
    }
}
