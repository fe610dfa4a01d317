//! `cargo xtask check` beside the tests: it compiles, they mostly wait.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command};

use anyhow::{Context, bail};

use crate::workspace::Workspace;

/// The checks, running. What they say is kept until their end.
pub(super) struct Checks {
    child: Child,
    output: PathBuf,
}

impl Checks {
    /// Starts them with the lowest priority, so that no test misses a deadline for it.
    ///
    /// # Errors
    /// If they cannot be started.
    pub(super) fn start(workspace: &Workspace) -> anyhow::Result<Self> {
        let output = workspace.target.join("check.log");
        let log = File::create(&output).with_context(|| format!("cannot make {}", output.display()))?;
        let mut command = Command::new("nice");
        command.args(["-n", "19"]).arg(std::env::current_exe()?).arg("check").current_dir(&workspace.root);
        let child = command.stdout(log.try_clone()?).stderr(log).spawn().context("cannot start the checks")?;
        eprintln!("checking beside the tests; what the checks say is in {} meanwhile", output.display());
        Ok(Self { child, output })
    }

    /// Waits for them, and prints what they said.
    ///
    /// # Errors
    /// If one failed.
    pub(super) fn end(mut self) -> anyhow::Result<()> {
        eprintln!("waiting for the checks …");
        let status = self.child.wait()?;
        let said = std::fs::read(&self.output).with_context(|| format!("cannot read {}", self.output.display()))?;
        println!("\nchecks:\n{}", String::from_utf8_lossy(&said));
        if status.success() { Ok(()) } else { bail!("checks failed") }
    }
}
