//! Reads the journal back when the process starts.
//!
//! The segments are one after the other; each is read up to the place where the next one starts. Only the end of the last may be
//! torn, and only if no mark says that it had been durable. Anything else refuses to start and names the file and the byte.

use std::io;
use std::path::PathBuf;

use super::super::queue::log::{Log, LogState};
use super::super::record::Record;
use super::Closed;
use super::segment::Read;

/// The journal is damaged where it had been durable.
#[derive(Debug, thiserror::Error)]
#[error("the journal is damaged: {path} at byte {offset}: {reason}")]
pub struct Corrupt {
    /// The file.
    pub path: PathBuf,
    /// The byte in the file at which the damage begins.
    pub offset: u64,
    /// What was found.
    pub reason: String,
}

/// Why the journal could not be read.
#[derive(Debug, thiserror::Error)]
pub(in super::super) enum Error {
    #[error(transparent)]
    Corrupt(#[from] Corrupt),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Where the journal ends, and the files it is in.
#[derive(Debug, Default)]
pub(in super::super) struct Replayed {
    pub(in super::super) end: u64,
    pub(in super::super) next_number: u64,
    pub(in super::super) segments: Vec<Closed>,
    pub(in super::super) records: u64,
}

/// Reads every record in order: first `start` with the head of the oldest segment, then `each` with a record and the place of its
/// end. `log` is asked for its offsets after each segment.
pub(in super::super) fn replay(
    dir: &std::path::Path,
    log: &Log,
    mut start: impl FnMut(&LogState),
    mut each: impl FnMut(Record<'_>, u64) -> Result<(), String>,
) -> Result<Replayed, Error> {
    let files = numbered_files(dir)?;
    let mut replayed = Replayed::default();
    let mut is_first = true;
    let mut pending: Option<Read> = None;
    for (number, path) in files {
        replayed.next_number = number + 1;
        let read = Read::open(path)?;
        let Some((head, _)) = &read.head else {
            if read.is_marked_after(0) {
                return Err(corrupt(&read, 0, "the head of the segment is damaged"));
            }
            // A segment without a head never held a step.
            std::fs::remove_file(&read.path)?;
            continue;
        };
        let until = head.start;
        match pending.take() {
            Some(before) => finish(&before, Some(until), log, &mut replayed, &mut each)?,
            None => replayed.end = until,
        }
        if std::mem::take(&mut is_first) {
            start(&head.log);
        }
        pending = Some(read);
    }
    if let Some(last) = pending {
        finish(&last, None, log, &mut replayed, &mut each)?;
    }
    Ok(replayed)
}

fn numbered_files(dir: &std::path::Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        let is_segment = path.extension().is_some_and(|extension| extension == "log");
        if let Some(number) = stem.filter(|_| is_segment).and_then(|stem| stem.parse().ok()) {
            files.push((number, path));
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// Replays one segment up to where the next one starts; the last up to its end.
fn finish(
    read: &Read,
    until: Option<u64>,
    log: &Log,
    replayed: &mut Replayed,
    each: &mut impl FnMut(Record<'_>, u64) -> Result<(), String>,
) -> Result<(), Error> {
    let start = read.head.as_ref().map_or(0, |(head, _)| head.start);
    let mut place = start;
    let end = read.frames(until, |content, end| {
        let fault = |reason: String| corrupt(read, place, &reason);
        let record = postcard::from_bytes(content).map_err(|error| fault(error.to_string()))?;
        each(record, end).map_err(fault)?;
        replayed.records += 1;
        if replayed.records.is_multiple_of(250_000) {
            tracing::info!(records = replayed.records, "reading the journal");
        }
        place = end;
        Ok::<(), Error>(())
    })?;
    match until {
        Some(until) if end < until => return Err(corrupt(read, end, "a step that was durable cannot be read")),
        Some(_) => {}
        None if read.is_marked_after(read.offset_of(end)) => {
            return Err(corrupt(read, end, "a step that was durable cannot be read"));
        }
        None => {
            let torn = read.bytes.len() as u64 - read.offset_of(end);
            if torn > 0 {
                tracing::warn!(path = %read.path.display(), bytes = torn, "cut the torn end of the journal");
            }
        }
    }
    replayed.end = end;
    if end == start {
        std::fs::remove_file(&read.path)?;
    } else {
        let next_offsets = log.state().next_offsets;
        replayed.segments.push(Closed { path: read.path.clone(), end, next_offsets });
    }
    Ok(())
}

fn corrupt(read: &Read, place: u64, reason: &str) -> Error {
    Corrupt { path: read.path.clone(), offset: read.offset_of(place), reason: reason.into() }.into()
}
