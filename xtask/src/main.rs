//! `cargo xtask`: the one door to building, running, testing and measuring Greenroom.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

mod pack;
mod plugins;
mod progress;
mod wasm_target;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

/// Builds, runs, tests and measures Greenroom.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Builds every plugin into `target/plugins/<name>.wasm`.
    Plugins,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(args.task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> anyhow::Result<()> {
    let workspace = Workspace::read()?;
    match task {
        Task::Plugins => plugins::run(&workspace).map(|_| ()),
    }
}
