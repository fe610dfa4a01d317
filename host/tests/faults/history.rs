//! Recording what clients do and see, in Jepsen's format: EDN, one operation a line.
//!
//! It shares nothing with the checker's reading of that format, on purpose: a mistake in one of them shows, rather than cancels out.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::services::folder;

/// What an operation is.
#[derive(Debug, Clone, Copy)]
pub enum Function {
    Transfer,
    Read,
    Balance,
    Entries,
    DeadLetters,
}

impl Function {
    fn word(self) -> &'static str {
        match self {
            Self::Transfer => "transfer",
            Self::Read => "read",
            Self::Balance => "balance",
            Self::Entries => "entries",
            Self::DeadLetters => "dead-letters",
        }
    }
}

/// A history as it grows. What is told under one lock has one order: an operation's line is written before it begins, and after it ended.
pub struct Recorder {
    begun: Instant,
    lines: Mutex<(u64, String)>,
}

impl Recorder {
    pub fn new() -> Self {
        Self { begun: Instant::now(), lines: Mutex::default() }
    }

    /// Milliseconds since it began.
    pub fn now_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap()
    }

    /// An operation begins; `value` is EDN.
    pub fn invoke(&self, process: i64, function: Function, value: &str) {
        self.line(process, "invoke", function, value);
    }

    /// It was done.
    pub fn ok(&self, process: i64, function: Function, value: &str) {
        self.line(process, "ok", function, value);
    }

    /// It was surely not done.
    pub fn fail(&self, process: i64, function: Function, value: &str) {
        self.line(process, "fail", function, value);
    }

    /// It is not known whether it was done; the process does nothing more.
    pub fn info(&self, process: i64, function: Function, value: &str) {
        self.line(process, "info", function, value);
    }

    fn line(&self, process: i64, kind: &str, function: Function, value: &str) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let (index, text) = &mut *lines;
        let (time, function) = (self.begun.elapsed().as_nanos(), function.word());
        writeln!(
            text,
            "{{:index {index}, :time {time}, :process {process}, :type :{kind}, :f :{function}, :value {value}}}"
        )
        .unwrap();
        *index += 1;
    }

    /// Writes `target/faults/<scenario>/history.edn`, and says where that is.
    pub fn write(&self, scenario: &str) -> PathBuf {
        let folder = folder().join(scenario);
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("history.edn");
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        std::fs::write(&file, &lines.1).unwrap();
        file
    }
}

/// Reads a file, as anybody could.
pub fn read(file: &Path) -> greenroom_checker::History {
    greenroom_checker::History::parse(&std::fs::read_to_string(file).unwrap()).unwrap()
}
