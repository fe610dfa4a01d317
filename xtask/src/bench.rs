//! `cargo xtask bench`: every speed that the documents claim, measured in one run on this machine, beside its limit.

use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use anyhow::Context;
use serde_json::{Value, json};

use crate::server::{Options, Server, interrupts};
use crate::workspace::Workspace;
use crate::{demo, plugins, progress};

/// One row of the table: a run of `greenroom bench`.
struct Bench {
    name: &'static str,
    /// What it loads; a server gets a fresh data directory for each.
    target: Target,
    args: &'static [&'static str],
}

enum Target {
    /// Bare axum in the generator's own process.
    Bare,
    /// A server with the embedded backends.
    Embedded,
}

/// The limit first: the other rows are held against it.
const BENCHES: &[Bench] = &[
    Bench { name: "bare axum, the limit", target: Target::Bare, args: &[] },
    Bench { name: "gifts, 20 rooms", target: Target::Embedded, args: &[] },
    Bench { name: "gifts, one room", target: Target::Embedded, args: &["--one-room"] },
    Bench { name: "gifts, 5,000/s", target: Target::Embedded, args: &["--rate", "5000"] },
];

/// The limit of one user's requests would be what is measured.
const SERVER_ENV: &[(&str, &str)] = &[("GREENROOM_RATE_LIMITS_USER_PER_SECOND", "0"), ("GREENROOM_LOG_FILTER", "warn")];

/// Options of `cargo xtask bench`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Seconds of each run.
    #[arg(long, default_value_t = 10)]
    duration: u32,
    /// Only the runs whose names contain this.
    filter: Option<String>,
}

/// Builds for production, runs the list, prints a table and writes `target/bench.json`.
///
/// # Errors
/// If something does not build or start, or an audit finds a fault.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> anyhow::Result<()> {
    let plugins = plugins::run(workspace)?;
    let program = demo::build_host(workspace, true)?;
    let interrupted = interrupts()?;
    let mut results = Vec::new();
    for bench in BENCHES.iter().filter(|bench| args.filter.as_ref().is_none_or(|word| bench.name.contains(word))) {
        println!("== {}", bench.name);
        let report = measure(workspace, bench, &program, &plugins, args.duration)?;
        results.push(json!({ "name": bench.name, "report": report }));
        if interrupted.try_recv().is_ok() {
            break;
        }
    }
    println!("\n{}", table(&results));
    let file = workspace.target.join("bench.json");
    let json = json!({ "machine": machine(), "benches": results });
    std::fs::write(&file, serde_json::to_vec_pretty(&json)?)
        .with_context(|| format!("cannot write {}", file.display()))?;
    println!("all figures: {}", file.display());
    Ok(())
}

fn measure(
    workspace: &Workspace,
    bench: &Bench,
    program: &Path,
    plugins: &Path,
    duration: u32,
) -> anyhow::Result<Value> {
    let file = workspace.target.join("bench-run.json");
    let mut command = Command::new(program);
    command.args(["bench", "--duration", &duration.to_string(), "--json"]).arg(&file).args(bench.args);
    match bench.target {
        Target::Bare => progress::run(command.arg("--bare"))?,
        Target::Embedded => {
            let data_dir = workspace.target.join("bench-data");
            let options = Options { program, plugins, data_dir: &data_dir, listen: "127.0.0.1:0", env: SERVER_ENV };
            let server = Server::start(&options)?;
            command.arg("--server").arg(format!("http://{}", server.authority));
            command.arg("--secret-file").arg(server.secret_file());
            progress::run(&mut command)?;
            server.stop()?;
        }
    }
    let report = std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(serde_json::from_slice(&report)?)
}

/// Rates as whole numbers a second, times in milliseconds.
fn table(results: &[Value]) -> String {
    let mut text = format!(
        "{:<24} {:>10} {:>10} {:>10} {:>9} {:>9} {:>9}\n",
        "", "answers/s", "gifts/s", "settled/s", "p50 ms", "p99 ms", "of limit"
    );
    let limit = results.first().and_then(|first| figure(first, "/report/answersPerS"));
    for result in results {
        let name = result.get("name").and_then(Value::as_str).unwrap_or_default();
        let rate = |path: &str| figure(result, path).map_or_else(|| "-".into(), |rate| format!("{rate:.0}"));
        // Writing to memory does not fail.
        let _ = writeln!(
            text,
            "{name:<24} {:>10} {:>10} {:>10} {:>9} {:>9} {:>9}",
            rate("/report/answersPerS"),
            rate("/report/acknowledgedPerS"),
            rate("/report/settledPerS"),
            milliseconds(result, "/report/latencyUs/p50"),
            milliseconds(result, "/report/latencyUs/p99"),
            share(figure(result, "/report/answersPerS"), limit),
        );
    }
    text
}

fn figure(result: &Value, path: &str) -> Option<f64> {
    result.pointer(path).and_then(Value::as_f64)
}

#[expect(clippy::float_arithmetic, reason = "times for the eye")]
fn milliseconds(result: &Value, path: &str) -> String {
    figure(result, path).map_or_else(|| "-".into(), |us| format!("{:.2}", us / 1000.0))
}

#[expect(clippy::float_arithmetic, reason = "a ratio for the eye")]
fn share(rate: Option<f64>, limit: Option<f64>) -> String {
    match (rate, limit) {
        (Some(rate), Some(limit)) if limit > 0.0 => format!("{:.0} %", rate / limit * 100.0),
        _ => "-".into(),
    }
}

/// What it was measured on.
fn machine() -> Value {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown");
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    json!({ "cores": cores, "processor": model.trim_start_matches([' ', '\t', ':']), "system": std::env::consts::OS })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_held_against_the_first() {
        let row = |name: &str, rate: f64| {
            json!({ "name": name, "report": { "answersPerS": rate, "acknowledgedPerS": rate, "settledPerS": null,
                    "latencyUs": { "p50": 640, "p99": 2500 } } })
        };
        let text = table(&[row("limit", 100_000.0), row("gifts", 40_000.4)]);
        let words: Vec<&str> = text.lines().nth(2).unwrap().split_whitespace().collect();
        assert_eq!(words, ["gifts", "40000", "40000", "-", "0.64", "2.50", "40", "%"]);
    }
}
