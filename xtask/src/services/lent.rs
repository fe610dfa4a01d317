//! Services for as long as something needs them.

use super::{Fsync, Job, Service, Variable, down, folder, up};
use crate::workspace::Workspace;

/// All services, running. What did not run before is stopped when this is dropped.
pub(crate) struct Lent<'a> {
    workspace: &'a Workspace,
    started: Vec<Service>,
    /// Where everything is, for the environment of whoever needs it.
    pub(crate) variables: Vec<Variable>,
}

impl<'a> Lent<'a> {
    /// Starts what does not run.
    ///
    /// # Errors
    /// As `cargo xtask services up` has them; what was started by then is stopped.
    pub(crate) fn start(workspace: &'a Workspace) -> anyhow::Result<Self> {
        let jobs = Job::all(&folder(workspace), Fsync::default())?;
        let stopped = jobs.iter().filter(|job| job.given.is_none() && !job.place.any_running());
        let mut lent = Self { workspace, started: stopped.map(|job| job.service).collect(), variables: Vec::new() };
        lent.variables = up(workspace, &[], Fsync::default())?;
        Ok(lent)
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        // No service named would mean all of them.
        if self.started.is_empty() {
            return;
        }
        if let Err(error) = down(self.workspace, &self.started, false) {
            eprintln!("not everything was stopped: {error:#}");
        }
    }
}
