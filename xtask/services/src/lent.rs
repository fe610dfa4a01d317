//! Services for as long as something needs them.

use std::path::{Path, PathBuf};

use crate::job::Job;
use crate::{Fsync, Service, Variable, down, up};

/// All services, running. What did not run before is stopped when this is dropped.
pub struct Lent {
    folder: PathBuf,
    started: Vec<Service>,
    /// Where everything is, for the environment of whoever needs it.
    pub variables: Vec<Variable>,
}

impl Lent {
    /// Starts what does not run, with its data in `folder`.
    ///
    /// # Errors
    /// As `cargo xtask services up` has them; what was started by then is stopped.
    pub fn start(folder: &Path) -> anyhow::Result<Self> {
        let jobs = Job::all(folder, Fsync::default())?;
        let stopped = jobs.iter().filter(|job| job.given.is_none() && !job.place.any_running());
        let mut lent = Self {
            folder: folder.to_owned(),
            started: stopped.map(|job| job.service).collect(),
            variables: Vec::new(),
        };
        lent.variables = up(folder, &[], Fsync::default())?;
        Ok(lent)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        // No service named would mean all of them.
        if self.started.is_empty() {
            return;
        }
        if let Err(error) = down(&self.folder, &self.started, false) {
            eprintln!("not everything was stopped: {error:#}");
        }
    }
}
