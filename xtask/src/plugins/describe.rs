//! Asks plugins that are programs what the code says: routes, schemas, refusals. They are built for this machine and run.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use greenroom_services::progress;

use crate::workspace::{Workspace, cargo};

/// Builds the programs; gives the folder in which they are. Not optimised: each runs for a moment. With the features of the whole
/// workspace, as the tests have them, so that what they are made of is compiled once.
pub(super) fn build(workspace: &Workspace, programs: &[&str]) -> anyhow::Result<PathBuf> {
    let mut cargo = cargo();
    cargo.current_dir(&workspace.root).args(["build", "--locked", "--workspace"]);
    for program in programs {
        cargo.args(["--bin", program]);
    }
    progress::run(&mut cargo)?;
    Ok(workspace.target.join("debug"))
}

/// What a program prints.
pub(super) fn run(folder: &Path, name: &str) -> anyhow::Result<Vec<u8>> {
    let program = folder.join(name).with_extension(std::env::consts::EXE_EXTENSION);
    let output = Command::new(&program).output().with_context(|| format!("cannot start {}", program.display()))?;
    if !output.status.success() {
        bail!("{name} cannot be described:\n{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(output.stdout)
}
