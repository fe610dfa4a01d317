//! Services for as long as something needs them.

use std::path::{Path, PathBuf};

use crate::job::Job;
use crate::leash::Leash;
use crate::{Fsync, Service, Variable, down, up};

/// All services, running. What did not run before is stopped when this is dropped, and killed if the program ends without that.
pub struct Lent {
    folder: PathBuf,
    started: Vec<Service>,
    leashes: Vec<Leash>,
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
            leashes: Vec::new(),
            variables: Vec::new(),
        };
        lent.variables = up(folder, &[], Fsync::default())?;
        lent.leashes = leashes(folder, &lent.started)?;
        Ok(lent)
    }
}

/// One for each server of these services.
fn leashes(folder: &Path, services: &[Service]) -> anyhow::Result<Vec<Leash>> {
    let jobs = Job::all(folder, Fsync::default())?;
    let servers = jobs.iter().filter(|job| services.contains(&job.service)).flat_map(|job| &job.place.servers);
    servers.filter_map(|server| server.process.as_ref()).map(|process| Leash::new(process.pid)).collect()
}

impl Drop for Lent {
    fn drop(&mut self) {
        // No service named would mean all of them.
        if self.started.is_empty() {
            return;
        }
        self.leashes.clear();
        if let Err(error) = down(&self.folder, &self.started, false) {
            eprintln!("not everything was stopped: {error:#}");
        }
    }
}
