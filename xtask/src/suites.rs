//! `cargo xtask test`: every test of the workspace, with a count at the end that cannot hide anything.
//!
//! The tests themselves find the plugins in `target/plugins`, so those are built first, and the servers of the distributed mode through
//! the environment, so those are started. Suites run side by side, but for the crowded ones; what one says is printed whole when it ends. Each suite's closing line
//! is read and added up, and a table at the end says what ran over which backend.

mod follow;
mod job;
mod lanes;
mod table;

use std::time::Instant;

use anyhow::bail;

use self::job::Job;
use self::lanes::Ended;
use self::table::Table;
use crate::workspace::Workspace;
use crate::{check, plugins, services};
use greenroom_services::Lent;

/// Tests counted, of one suite or of all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Tally {
    passed: u64,
    failed: u64,
    skipped: u64,
}

impl Tally {
    fn add(&mut self, other: Tally) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

#[derive(Debug)]
struct Suite {
    name: String,
    tally: Tally,
    /// As the suite itself says it, such as `0.07s`; empty if it does not.
    took: String,
}

/// What the output has said so far.
#[derive(Debug, Default)]
struct Report {
    total: Tally,
    /// Each suite that ended, in order.
    suites: Vec<Suite>,
    running: Option<String>,
    table: Table,
}

/// Builds the plugins and the tests, starts the services, then runs all tests, or those whose names contain a word of `filter`.
/// With `checks` those of `cargo xtask check` run after the tests, also if these do not compile or fail.
///
/// # Errors
/// If a test failed, none ran, or, in CI, one was skipped; or if a check failed.
pub(crate) fn run(workspace: &Workspace, filter: &[String], checks: bool) -> anyhow::Result<()> {
    let started = Instant::now();
    let built = plugins::run(workspace).and_then(|_| job::build(workspace));
    let mut report = Report::default();
    // Cargo compiles them, so they run before anything that this would slow down.
    let examples = built.is_ok().then(|| filtered(job::examples(workspace), filter));
    lanes::run(examples.into_iter().collect(), |ended| report.take(ended));
    let tested = built.and_then(|jobs| {
        let services = Lent::start(&services::folder(workspace))?;
        let with_services = |mut job: Job| {
            job.command.envs(services.variables.iter().cloned());
            filtered(job, filter)
        };
        lanes::run(jobs.into_iter().map(with_services).collect(), |ended| report.take(ended));
        drop(services);
        report.print(started);
        report.verdict(std::env::var_os("CI").is_some())
    });
    let checked = if checks { check::run(workspace) } else { Ok(()) };
    match (tested, checked) {
        (Err(tests), Err(checks)) => bail!("{tests:#}; {checks:#}"),
        (tested, checked) => tested.and(checked),
    }
}

fn filtered(mut job: Job, filter: &[String]) -> Job {
    if job.announcement.is_none() {
        job.command.arg("--");
    }
    job.command.args(filter);
    job
}

impl Report {
    fn read(&mut self, line: &str) {
        if let Some(suite) = suite(line) {
            self.crashed();
            self.running = Some(suite);
        } else if let Some(tally) = tally(line) {
            self.total.add(tally);
            let name = self.running.take().unwrap_or_else(|| "unnamed".into());
            self.table.end(binary(&name), tally);
            self.suites.push(Suite { name, tally, took: took(line).into() });
        } else if let Some(name) = &self.running {
            self.table.read(binary(name), line);
        }
    }

    /// A suite that crashed has no closing line, and must not be lost.
    fn crashed(&mut self) {
        if let Some(crashed) = self.running.take() {
            let tally = Tally { failed: 1, ..Tally::default() };
            self.total.add(tally);
            self.table.read(binary(&crashed), "test it ended without a result ... FAILED");
            self.table.end(binary(&crashed), Tally::default());
            self.suites.push(Suite { name: format!("{crashed} (ended without a result)"), tally, took: String::new() });
        }
    }

    /// One program has ended, in which suites may have run. If it failed and no test of it did, that is a failure of its own.
    fn take(&mut self, Ended { output, status }: Ended) {
        print!("{output}");
        let before = self.total.failed;
        output.lines().for_each(|line| self.read(line));
        self.crashed();
        if let Err(error) = &status {
            println!("{error:#}");
        }
        if !status.is_ok_and(|status| status.success()) && self.total.failed == before {
            self.total.failed += 1;
        }
    }

    fn print(&self, started: Instant) {
        println!("\nsuites, {:.0?}:", started.elapsed());
        for Suite { name, tally, took } in self.suites.iter().filter(|suite| suite.tally != Tally::default()) {
            println!(
                "  {took:>8}  {name}: {} passed, {} failed, {} skipped",
                tally.passed, tally.failed, tally.skipped
            );
        }
        println!("\nwhat ran where: passed, and if any, failed and skipped\n{}", self.table);
        let Tally { passed, failed, skipped } = self.total;
        println!("{passed} passed, {failed} failed, {skipped} skipped");
    }

    fn verdict(&self, in_ci: bool) -> anyhow::Result<()> {
        let Tally { passed, failed, skipped } = self.total;
        if failed > 0 {
            bail!("{failed} failed");
        }
        if in_ci && skipped > 0 {
            bail!("{skipped} skipped, and in CI nothing may be");
        }
        if passed == 0 {
            bail!("no test ran");
        }
        Ok(())
    }
}

/// The binary of a suite.
fn binary(suite: &str) -> &str {
    suite.split(',').next().unwrap_or(suite)
}

/// The suite that a line of cargo announces.
fn suite(line: &str) -> Option<String> {
    let line = line.trim_start();
    if let Some(package) = line.strip_prefix("Doc-tests ") {
        return Some(format!("examples in the docs of {package}"));
    }
    let (what, binary) = line.strip_prefix("Running ")?.rsplit_once(" (")?;
    let binary = binary.strip_suffix(')')?.rsplit('/').next()?;
    let name = binary.rsplit_once('-').map_or(binary, |(name, _hash)| name);
    Some(format!("{name}, {}", what.trim_start_matches("unittests ")))
}

/// The count in `test result: ok. 9 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.07s`.
fn tally(line: &str) -> Option<Tally> {
    let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let mut tally = Tally::default();
    for count in counts.split("; ") {
        let Some((number, what)) = count.split_once(' ') else { continue };
        match what {
            "passed" => tally.passed = number.parse().ok()?,
            "failed" => tally.failed = number.parse().ok()?,
            "ignored" => tally.skipped = number.parse().ok()?,
            _ => {}
        }
    }
    Some(tally)
}

/// The time at the end of such a line.
fn took(line: &str) -> &str {
    let (_, time) = line.split_once("finished in ").unwrap_or_default();
    time.split(';').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::process::ExitStatus;

    use super::*;

    const OUTPUT: &str = "    Finished `test` profile [unoptimized + debuginfo] target(s) in 2m 12s
     Running unittests src/lib.rs (target/debug/deps/greenroom-0b1f2c15c5029f5b)
running 2 tests
test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.07s
     Running tests/ledger.rs (target/debug/deps/ledger-9f2c15c5029f5b0b)
test result: FAILED. 3 passed; 1 failed; 2 ignored; 0 measured; 4 filtered out; finished in 1.07s
   Doc-tests greenroom_sdk
test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.07s; merged doctests";

    /// What is reported after programs that said so, and ended with these codes.
    fn read(ended: &[(&str, i32)]) -> Report {
        use std::os::unix::process::ExitStatusExt;
        let mut report = Report::default();
        for (output, code) in ended {
            report.take(Ended { output: (*output).to_owned(), status: Ok(ExitStatus::from_raw(code << 8)) });
        }
        report
    }

    #[test]
    fn results_are_added_up_over_all_suites() {
        let report = read(&[(OUTPUT, 101)]);
        assert_eq!(report.total, Tally { passed: 6, failed: 1, skipped: 2 });
        let names: Vec<&str> = report.suites.iter().map(|suite| suite.name.as_str()).collect();
        assert_eq!(
            names,
            ["greenroom, src/lib.rs", "ledger, tests/ledger.rs", "examples in the docs of greenroom_sdk"]
        );
        assert_eq!(
            report.suites.iter().map(|suite| suite.took.as_str()).collect::<Vec<_>>(),
            ["0.07s", "1.07s", "0.07s"]
        );
        assert!(report.verdict(false).is_err());
    }

    #[test]
    fn a_suite_that_crashed_counts_as_failed() {
        let crashed = "     Running tests/a.rs (target/debug/deps/a-0b1f)\nrunning 2 tests\ntest one ... ok\n";
        let report = read(&[(OUTPUT, 101), (crashed, 0)]);
        assert_eq!(report.total.failed, 2);
        assert!(report.verdict(false).is_err());
    }

    #[test]
    fn a_program_that_fails_without_a_failed_test_is_a_failure_also_beside_others() {
        let passed = "test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out";
        assert_eq!(read(&[(passed, 101), (passed, 0)]).verdict(false).unwrap_err().to_string(), "1 failed");
        assert_eq!(read(&[(OUTPUT, 101), (passed, 101)]).verdict(false).unwrap_err().to_string(), "2 failed");
        let mut report = read(&[(passed, 0)]);
        report.take(Ended { output: String::new(), status: Err(anyhow::anyhow!("it cannot start")) });
        assert!(report.verdict(false).is_err());
    }

    #[test]
    fn a_skipped_test_is_accepted_only_outside_ci() {
        let report = read(&[("test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out", 0)]);
        assert!(report.verdict(false).is_ok());
        assert!(report.verdict(true).unwrap_err().to_string().contains("1 skipped"));
    }

    #[test]
    fn a_run_without_tests_is_a_failure() {
        assert_eq!(read(&[("", 0)]).verdict(false).unwrap_err().to_string(), "no test ran");
    }
}
