//! `cargo xtask services`: real Redis, PostgreSQL and Kafka servers on loopback, with their data under `target/services/<name>/`.

use std::io::{Write, stdout};
use std::path::PathBuf;

use clap::Subcommand;
use greenroom_services::{Fsync, Service, down, export, status, up};

use crate::workspace::Workspace;

/// Options of `cargo xtask services`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Starts what does not run yet, and prints the variables that tell where everything is.
    Up {
        /// All of them if none is named.
        services: Vec<Service>,
        /// When Redis calls fsync on its append-only file.
        #[arg(long, value_enum, default_value_t)]
        appendfsync: Fsync,
    },
    /// Says of each whether it runs, and where.
    Status,
    /// Stops what `up` has started; its data stays.
    Down {
        /// All of them if none is named.
        services: Vec<Service>,
        /// Removes the data too.
        #[arg(long)]
        purge: bool,
    },
}

/// Starts, shows or stops.
///
/// # Errors
/// If a service cannot be started or stopped.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> anyhow::Result<()> {
    let folder = folder(workspace);
    let lines = match &args.action {
        Action::Up { services, appendfsync } => up(&folder, services, *appendfsync)?.iter().map(export).collect(),
        Action::Status => status(&folder)?,
        Action::Down { services, purge } => {
            down(&folder, services, *purge)?;
            Vec::new()
        }
    };
    lines.iter().try_for_each(|line| writeln!(stdout(), "{line}"))?;
    Ok(())
}

/// Where the services of this tree are.
pub(crate) fn folder(workspace: &Workspace) -> PathBuf {
    workspace.target.join("services")
}
