//! One file of the journal: a head that tells where it starts and how the queue stood, then frames.
//!
//! A place in the journal is a byte count from its very beginning. Each write to a segment starts with a mark, which says that
//! everything before it was durable when it was written; so a damaged frame with a mark after it is a fault, and one without is
//! the torn end of a write that nobody was told of.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::super::queue::log::LogState;
use super::super::record::{self, FRAME_HEAD_LEN};

const FILE_MAGIC: [u8; 8] = *b"GRJRNL\x00\x01";

/// No record starts with this: the first byte of a record is the number of its variant.
const MARK_MAGIC: [u8; 8] = *b"\xFF\xFEmark\xFE\xFF";

const MARK_CONTENT_LEN: usize = 16;

/// The length of a mark in bytes.
pub(super) const MARK_LEN: usize = FRAME_HEAD_LEN + MARK_CONTENT_LEN;

/// What the head of a segment says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) struct Head {
    /// The place of the first frame.
    pub(in super::super) start: u64,
    /// How the queue stood there.
    pub(in super::super) log: LogState,
}

/// A segment that is being written.
#[derive(Debug)]
pub(super) struct Segment {
    file: File,
    pub(super) path: PathBuf,
    pub(super) start: u64,
    pub(super) len: u64,
}

/// The path of the segment with this number.
pub(super) fn path_of(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:010}.log"))
}

/// Makes what was created or removed in the directory durable.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// A mark for this place.
pub(super) fn mark(place: u64) -> [u8; MARK_LEN] {
    let mut frame = [0; MARK_LEN];
    let (_, content) = frame.split_at_mut(FRAME_HEAD_LEN);
    let (magic, told) = content.split_at_mut(MARK_MAGIC.len());
    magic.copy_from_slice(&MARK_MAGIC);
    told.copy_from_slice(&place.to_le_bytes());
    record::seal(&mut frame);
    frame
}

/// The place that a mark tells; none if the content of the frame is no mark.
fn marked_place(content: &[u8]) -> Option<u64> {
    let told = content.strip_prefix(&MARK_MAGIC)?;
    told.try_into().ok().map(u64::from_le_bytes)
}

impl Segment {
    /// Makes the file, durably, with its head.
    pub(super) fn create(dir: &Path, number: u64, head: &Head) -> io::Result<Self> {
        let path = path_of(dir, number);
        let mut file = OpenOptions::new().create(true).write(true).truncate(true).open(&path)?;
        let mut bytes = FILE_MAGIC.to_vec();
        record::encode(&mut bytes, head).map_err(io::Error::other)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        sync_dir(dir)?;
        Ok(Self { file, path, start: head.start, len: 0 })
    }

    /// Appends and returns once it is durable. After an error the end of the file is not known: use another segment.
    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.file.sync_data()?;
        self.len += bytes.len() as u64;
        Ok(())
    }
}

/// A segment that was read back.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) path: PathBuf,
    pub(super) bytes: Vec<u8>,
    /// None if the head was torn: the segment has nothing in it.
    pub(super) head: Option<(Head, usize)>,
}

impl Read {
    /// Reads the whole file.
    pub(super) fn open(path: PathBuf) -> io::Result<Self> {
        let bytes = fs::read(&path)?;
        let head = bytes.strip_prefix(&FILE_MAGIC).and_then(|rest| {
            let content = record::content(rest).ok()?;
            let head: Head = postcard::from_bytes(content).ok()?;
            Some((head, FILE_MAGIC.len() + FRAME_HEAD_LEN + content.len()))
        });
        Ok(Self { path, bytes, head })
    }

    /// Calls `each` with the content and the end of every frame that is no mark, up to the place `until`. Returns the place after
    /// the last good frame.
    pub(super) fn frames<E>(
        &self,
        until: Option<u64>,
        mut each: impl FnMut(&[u8], u64) -> Result<(), E>,
    ) -> Result<u64, E> {
        let Some((head, head_len)) = &self.head else { return Ok(0) };
        let mut rest = self.bytes.get(*head_len..).unwrap_or_default();
        let mut place = head.start;
        while until.is_none_or(|until| place < until) {
            let Ok(content) = record::content(rest) else { break };
            let frame_len = FRAME_HEAD_LEN + content.len();
            place += frame_len as u64;
            if marked_place(content).is_none() {
                each(content, place)?;
            }
            rest = rest.get(frame_len..).unwrap_or_default();
        }
        Ok(place)
    }

    /// The byte in the file at which a place of the journal is.
    pub(super) fn offset_of(&self, place: u64) -> u64 {
        match &self.head {
            Some((head, head_len)) => *head_len as u64 + place.saturating_sub(head.start),
            None => 0,
        }
    }

    /// Whether a mark says that more was durable than the bytes up to this offset in the file.
    pub(super) fn is_marked_after(&self, offset: u64) -> bool {
        let from = usize::try_from(offset).unwrap_or(usize::MAX).saturating_add(1);
        let Some(rest) = self.bytes.get(from..) else { return false };
        rest.windows(MARK_LEN).enumerate().any(|(index, window)| {
            // Looked at first because it is cheap: the checksum of every window would take minutes.
            let Some(place) = window.get(FRAME_HEAD_LEN..).and_then(marked_place) else { return false };
            // A payload could contain the bytes of a mark, but hardly of one for this very place.
            let is_here = self.head.is_none() || self.offset_of(place) == (from + index) as u64;
            is_here && record::content(window).is_ok()
        })
    }
}
