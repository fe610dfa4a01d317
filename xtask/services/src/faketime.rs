//! A clock that tests can set: the library that stands between a program and the time of day.

use std::path::PathBuf;

use anyhow::Context;

use crate::install::{self, Missing};

const MISSING: Missing = Missing { program: "libfaketimeMT.so.1", package: "libfaketime" };

/// The library, to be named by `LD_PRELOAD`; installed if it is not there.
///
/// # Errors
/// If it is missing and cannot be installed; with what to install.
pub fn faketime() -> anyhow::Result<PathBuf> {
    install::ensure(|| if find().is_some() { Vec::new() } else { vec![MISSING] })?;
    find().context("libfaketimeMT.so.1 is not where Debian has it")
}

/// Where Debian has it, whatever the machine's kind.
fn find() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok()?;
    let files = folders.filter_map(|folder| Some(folder.ok()?.path().join("faketime/libfaketimeMT.so.1")));
    files.into_iter().find(|file| file.is_file())
}
