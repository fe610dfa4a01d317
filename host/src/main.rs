//! The `greenroom` program: the server and the command line.

mod cli;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;

/// A seventh of the time of a gift went into the system's allocator, which makes threads wait for each other.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long calls that block a thread are waited for at the end. A backend that does not answer keeps no process from ending: what such a call
/// was to do is done after the next start.
const BLOCKED_MAX: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let ended = tokio::runtime::Runtime::new().context("cannot start the runtime").and_then(|runtime| {
        let ended = runtime.block_on(cli::run(cli));
        runtime.shutdown_timeout(BLOCKED_MAX);
        ended
    });
    ended.unwrap_or_else(|error| {
        eprintln!("greenroom: {error:#}");
        ExitCode::FAILURE
    })
}
