//! `cargo xtask`: the one door to building, running, testing and measuring Greenroom.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

mod bench;
mod check;
mod demo;
mod http;
mod pack;
mod plugins;
mod server;
mod services;
mod suites;
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
    /// Builds the plugins, then builds and runs all tests.
    Test {
        /// What comes after `--`: words that tests' names contain, or options of the test runner.
        #[arg(last = true)]
        filter: Vec<String>,
        /// Runs the checks of `cargo xtask check`, too, after the tests.
        #[arg(long)]
        check: bool,
    },
    /// Starts a server with a live room and a viewer with money, and says what to try.
    Run(demo::Args),
    /// Starts, shows or stops real Redis, PostgreSQL and Kafka servers on this machine, for development and tests.
    Services(services::Args),
    /// Measures every speed that the documents claim, beside its limit.
    Bench(bench::Args),
    /// Checks formatting, lints, documentation and dependencies.
    Check,
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
        Task::Test { filter, check } => suites::run(&workspace, &filter, check),
        Task::Run(args) => demo::run(&workspace, &args),
        Task::Services(args) => services::run(&workspace, &args),
        Task::Bench(args) => bench::run(&workspace, &args),
        Task::Check => check::run(&workspace),
    }
}
