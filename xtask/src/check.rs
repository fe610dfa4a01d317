//! `cargo xtask check`: formatting, lints, documentation and dependencies. A warning is an error.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::bail;

use crate::workspace::{Workspace, cargo};
use greenroom_services::progress::{self, run_quietly};

/// The release whose configuration `deny.toml` is written for.
const DENY_VERSION: &str = "0.20.2";
const FETCH_TIMEOUT: Duration = Duration::from_secs(60);

type Check = fn(&Workspace) -> anyhow::Result<()>;

const CHECKS: [(&str, Check); 4] =
    [("formatting", formatting), ("lints", lints), ("documentation", documentation), ("dependencies", dependencies)];

/// Runs all checks, also after one has failed, and says how long each took.
///
/// # Errors
/// If one failed, with its name.
pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<()> {
    let mut failed = Vec::new();
    for (name, check) in CHECKS {
        let started = Instant::now();
        eprintln!("checking {name}");
        let result = check(workspace);
        let verdict = if result.is_ok() { "passed" } else { "FAILED" };
        println!("{name}: {verdict} ({:.0?})", started.elapsed());
        if let Err(error) = result {
            eprintln!("{error:#}");
            failed.push(name);
        }
    }
    if failed.is_empty() { Ok(()) } else { bail!("failed: {}", failed.join(", ")) }
}

fn formatting(workspace: &Workspace) -> anyhow::Result<()> {
    progress::run(cargo().current_dir(&workspace.root).args(["fmt", "--all", "--check"]))
}

fn lints(workspace: &Workspace) -> anyhow::Result<()> {
    let args = ["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
    progress::run(cargo().current_dir(&workspace.root).args(args))
}

/// Uses the metadata of the dependencies that the lints have compiled.
fn documentation(workspace: &Workspace) -> anyhow::Result<()> {
    let args = ["doc", "--workspace", "--no-deps", "--locked"];
    progress::run(cargo().current_dir(&workspace.root).args(args).env("RUSTDOCFLAGS", "-D warnings"))
}

fn dependencies(workspace: &Workspace) -> anyhow::Result<()> {
    let program = cargo_deny(workspace)?;
    let deny = |args: &[&str]| {
        let mut command = Command::new(&program);
        command.current_dir(&workspace.root).args(["--workspace", "--locked"]).args(args);
        command
    };
    progress::run(&mut deny(&["check", "licenses", "bans", "sources"]))?;
    match run_quietly(&mut deny(&["fetch", "db"]), FETCH_TIMEOUT) {
        Ok(_) => progress::run(&mut deny(&["check", "--disable-fetch", "advisories"])),
        Err(error) => {
            println!("advisories: NOT CHECKED, because the advisory database could not be fetched: {error:#}");
            Ok(())
        }
    }
}

/// The installed one if its version fits, else compiled once into `target/tools`; unoptimised, which halves the time.
fn cargo_deny(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    let tools = workspace.target.join("tools");
    for program in [tools.join("bin/cargo-deny"), PathBuf::from("cargo-deny")] {
        let version = run_quietly(Command::new(&program).arg("--version"), Duration::from_secs(10)).unwrap_or_default();
        if version.split_whitespace().nth(1) == Some(DENY_VERSION) {
            return Ok(program);
        }
    }
    eprintln!("installing cargo-deny {DENY_VERSION} into {}", tools.display());
    let mut install = cargo();
    install
        .args(["install", "cargo-deny", "--version", DENY_VERSION, "--locked", "--debug", "--quiet", "--root"])
        .arg(&tools);
    install.env("CARGO_TARGET_DIR", tools.join("build")).env("CARGO_PROFILE_DEV_DEBUG", "0");
    progress::run(&mut install)?;
    Ok(tools.join("bin/cargo-deny"))
}
