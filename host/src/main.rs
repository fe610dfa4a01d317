//! The `greenroom` program: the server and the command line.

mod cli;

use std::process::ExitCode;

use clap::Parser;

/// A seventh of the time of a gift went into the system's allocator, which makes threads wait for each other.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    match cli::run(cli::Cli::parse()).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("greenroom: {error:#}");
            ExitCode::FAILURE
        }
    }
}
