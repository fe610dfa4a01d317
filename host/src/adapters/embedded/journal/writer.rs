//! The thread that makes the journal durable.
//!
//! It swaps the buffer, appends it to the segment with one write and one sync, tells the queue, then wakes who waits. What could not
//! be written is tried again in a fresh segment that starts at the last durable place, with a growing pause; the old segment's tail
//! beyond that place is never read.

use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::super::queue::log::Change;
use super::segment::{self, Head, Segment};
use super::{Closed, Refused, Shared};

const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// How often a closing journal still tries a failing disk.
const TRIES_WHEN_CLOSING: u32 = 3;

/// A buffer that grew beyond this in a burst is not kept.
const KEPT_BUFFER_BYTES: usize = 4 << 20;

pub(super) struct Writer {
    shared: Arc<Shared>,
    next_number: u64,
    segment: Option<Segment>,
    spare: (Vec<u8>, Vec<Change>),
}

/// What is written at once.
struct Batch {
    bytes: Vec<u8>,
    changes: Vec<Change>,
    end: u64,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, next_number: u64) -> Self {
        Self { shared, next_number, segment: None, spare: Default::default() }
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
        self.shared.waiters.lock().clear();
    }

    /// Waits for something to write; none once the journal closes and all is written.
    fn next_batch(&mut self) -> Option<Batch> {
        let mut buffer = self.shared.buffer.lock();
        while buffer.bytes.is_empty() {
            if buffer.closing {
                buffer.refusing = Some(Refused::Unavailable("the journal is closed".into()));
                return None;
            }
            self.shared.filled.wait(&mut buffer);
        }
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
        loop {
            let Err(error) = self.try_store(bytes) else { break };
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

    fn complete(&mut self, end: u64) {
        self.shared.durable.store(end, Ordering::Release);
        let mut waiters = self.shared.waiters.lock();
        let mut kept = Vec::new();
        for (place, waiter) in waiters.drain(..) {
            if place > end {
                kept.push((place, waiter));
            } else {
                // The caller may have gone away; the step is durable all the same.
                let _ = waiter.send(());
            }
        }
        *waiters = kept;
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
