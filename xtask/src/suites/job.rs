//! What is run: the test binaries that cargo has built, and the examples in the docs.

use std::io::{BufRead, BufReader};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::available_parallelism;

use anyhow::{Context, bail};
use serde::Deserialize;

use crate::workspace::{Workspace, cargo};
use greenroom_services::progress::shown;

/// Each has several hosts and servers under load, and on two cores side by side none of them is answered in time: never two of them at once.
/// The longest are first.
const CROWDED: [&str; 3] = ["faults", "show_distributed", "e2e_distributed"];
/// Those that take longest of the others, which begin before the rest, so that none of them runs alone at the end.
const LONGEST: [&str; 3] = ["e2e_embedded", "contracts_postgres", "show_embedded"];
/// Each of their tests waits ten seconds until a new installation begins to hold: more of them at once than there are cores.
const WAITING: [&str; 1] = ["e2e_distributed"];
const WAITING_TESTS_EACH_CORE: usize = 2;

/// One program that runs tests.
#[derive(Debug)]
pub(super) struct Job {
    /// For the lines that tell how far it is.
    pub(super) name: String,
    /// What cargo would say of it; nothing if it is cargo itself.
    pub(super) announcement: Option<String>,
    pub(super) command: Command,
    /// Whether no other crowded one may run beside it.
    pub(super) is_crowded: bool,
}

/// A line of what cargo tells of a build.
#[derive(Debug, Deserialize)]
struct Message {
    executable: Option<PathBuf>,
    manifest_path: Option<PathBuf>,
    profile: Option<Profile>,
    target: Option<Target>,
}

#[derive(Debug, Deserialize)]
struct Profile {
    test: bool,
}

#[derive(Debug, Deserialize)]
struct Target {
    name: String,
    src_path: PathBuf,
}

fn cargo_test(workspace: &Workspace) -> Command {
    let mut command = cargo();
    command.current_dir(&workspace.root).args(["test", "--workspace", "--locked"]);
    command
}

/// Builds all tests, and gives a job for each binary, in the order in which they are to start.
///
/// # Errors
/// If something does not compile.
pub(super) fn build(workspace: &Workspace) -> anyhow::Result<Vec<Job>> {
    let mut command = cargo_test(workspace);
    command.args(["--no-run", "--message-format=json-render-diagnostics"]);
    let mut child = command.stdout(Stdio::piped()).spawn().context("cannot start cargo test")?;
    let mut jobs = Vec::new();
    for line in BufReader::new(child.stdout.take().context("cargo has no output")?).lines() {
        jobs.extend(job(&line.context("cannot read what cargo has built")?)?);
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("{} failed ({status})", shown(&command));
    }
    let place = |job: &Job| CROWDED.iter().chain(&LONGEST).position(|name| *name == job.name);
    jobs.sort_by_key(|job| place(job).unwrap_or(usize::MAX));
    Ok(jobs)
}

/// The examples in the docs, which only cargo can run: it compiles them.
pub(super) fn examples(workspace: &Workspace) -> Job {
    let mut command = cargo_test(workspace);
    command.args(["--doc", "--no-fail-fast"]);
    Job { name: "examples in the docs".into(), announcement: None, command, is_crowded: false }
}

/// The job of a test binary, run as cargo would: in its package's folder.
fn job(line: &str) -> anyhow::Result<Option<Job>> {
    let message: Message = serde_json::from_str(line).with_context(|| format!("cargo says {line}"))?;
    let Message {
        executable: Some(program),
        manifest_path: Some(manifest),
        profile: Some(profile),
        target: Some(target),
    } = message
    else {
        return Ok(None);
    };
    if !profile.test {
        return Ok(None);
    }
    let package = manifest.parent().unwrap_or(Path::new("/"));
    let source = target.src_path.strip_prefix(package).unwrap_or(&target.src_path);
    let announcement = format!("     Running {} ({})", source.display(), program.display());
    let mut command = Command::new(program);
    command.current_dir(package).env("CARGO_MANIFEST_DIR", package);
    if WAITING.contains(&&*target.name) {
        let threads = available_parallelism().map_or(1, NonZero::get) * WAITING_TESTS_EACH_CORE;
        command.env("RUST_TEST_THREADS", threads.to_string());
    }
    let is_crowded = CROWDED.contains(&&*target.name);
    Ok(Some(Job { name: target.name, announcement: Some(announcement), command, is_crowded }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_binary_is_a_job_and_nothing_else_is() {
        let built = r#"{"reason":"compiler-artifact","manifest_path":"/a/host/Cargo.toml","profile":{"test":true},"fresh":true,
            "target":{"kind":["test"],"name":"faults","src_path":"/a/host/tests/faults/main.rs"},"executable":"/t/faults-0b1f"}"#;
        let found = job(built).unwrap().unwrap();
        assert_eq!(found.name, "faults");
        assert_eq!(found.announcement.unwrap(), "     Running tests/faults/main.rs (/t/faults-0b1f)");
        assert_eq!(found.command.get_current_dir(), Some(Path::new("/a/host")));
        assert!(found.is_crowded);
        assert!(!job(&built.replace("faults", "model")).unwrap().unwrap().is_crowded);
        assert!(job(&built.replace("true}", "false}")).unwrap().is_none());
        assert!(job(&built.replace(r#""/t/faults-0b1f""#, "null")).unwrap().is_none());
        assert!(job(r#"{"reason":"build-finished","success":true}"#).unwrap().is_none());
        assert!(job("warning: a line that is no message").is_err());
    }
}
