//! `cargo xtask bench`: every speed that the documents claim, measured in one run on this machine, beside its limit.

mod distributed;
mod load;
mod micro;

use std::fmt::Write;

use anyhow::Context;
use serde_json::{Value, json};

use crate::server::interrupts;
use crate::workspace::Workspace;
use crate::{demo, plugins};

/// What can be measured alone, in the order of the table: `http` is load on a server from outside, `distributed` the same and more over
/// real Redis, Kafka and PostgreSQL, the others are `host/benches`.
const GROUPS: [&str; 7] = ["http", "distributed", "plugins", "engine", "recovery", "rooms", "viewers"];

/// Options of `cargo xtask bench`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Seconds of each run of load.
    #[arg(long, default_value_t = 10)]
    duration: u32,
    /// Only these groups: http, distributed, plugins, engine, recovery, rooms, viewers.
    groups: Vec<String>,
}

/// One line of the table.
#[derive(Debug)]
struct Row {
    name: String,
    figure: Option<f64>,
    unit: String,
    /// The same figure of what it is held against, in the same run.
    limit: Option<f64>,
    /// Of figure and limit, as the goal has it; the figure itself if there is none.
    ratio: Option<f64>,
    goal: String,
    met: Option<bool>,
    /// What the figure contains.
    contains: String,
}

/// Builds for production, runs the list, prints a table and writes `target/bench.json`.
///
/// # Errors
/// If something does not build or start, or an audit finds a fault.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> anyhow::Result<()> {
    if let Some(unknown) = args.groups.iter().find(|group| !GROUPS.contains(&group.as_str())) {
        anyhow::bail!("there is no group `{unknown}`; there are {}", GROUPS.join(", "));
    }
    let plugins = plugins::run(workspace)?;
    let program = demo::build_host(workspace, true)?;
    let interrupted = interrupts()?;
    let (mut rows, mut reports) = (Vec::new(), Vec::new());
    let site = load::Site { workspace, program: &program, plugins: &plugins, duration: args.duration };
    for group in GROUPS.iter().filter(|group| args.groups.is_empty() || args.groups.iter().any(|g| g == *group)) {
        println!("== {group}");
        let measured = match *group {
            "http" => load::measure(&site, &mut reports),
            "distributed" => distributed::measure(&site, &mut reports),
            "plugins" => micro::measure(workspace, "plugins", &["--duration", &args.duration.to_string()]),
            other => micro::measure(workspace, other, &[]),
        };
        match measured {
            Ok(measured) => rows.extend(measured),
            // One bench that fails does not take the figures of the others with it; the table shows that it failed.
            Err(error) => {
                println!("{group} failed: {error:#}");
                rows.push(Row::failed(group, &error));
            }
        }
        write_json(workspace, &rows, &reports)?;
        if interrupted.try_recv().is_ok() {
            break;
        }
    }
    println!("\n{}", table(&rows));
    println!("all figures: {}", workspace.target.join("bench.json").display());
    anyhow::ensure!(rows.iter().all(|row| row.figure.is_some()), "a bench failed");
    Ok(())
}

impl Row {
    fn failed(group: &str, error: &anyhow::Error) -> Self {
        Self {
            name: format!("{group} FAILED"),
            figure: None,
            unit: String::new(),
            limit: None,
            ratio: None,
            goal: String::new(),
            met: None,
            contains: format!("{error:#}"),
        }
    }

    fn json(&self) -> Value {
        let Self { name, figure, unit, limit, ratio, goal, met, contains } = self;
        json!({
            "name": name, "figure": figure, "unit": unit, "limit": limit, "ratio": ratio, "goal": goal, "met": met,
            "contains": contains,
        })
    }
}

fn write_json(workspace: &Workspace, rows: &[Row], reports: &[Value]) -> anyhow::Result<()> {
    let file = workspace.target.join("bench.json");
    let rows: Vec<Value> = rows.iter().map(Row::json).collect();
    let json = json!({ "machine": machine(), "rows": rows, "runs": reports });
    std::fs::write(&file, serde_json::to_vec_pretty(&json)?).with_context(|| format!("cannot write {}", file.display()))
}

/// The rows, and below them what each contains.
fn table(rows: &[Row]) -> String {
    let mut text =
        format!("{:<28} {:>12} {:<6} {:>12} {:>9} {:>9} {:>5}\n", "", "figure", "", "limit", "ratio", "goal", "met");
    for Row { name, figure, unit, limit, ratio, goal, met, .. } in rows {
        let met = met.map_or("-", |met| if met { "yes" } else { "NO" });
        let (figure, limit, ratio) = (shown(*figure), shown(*limit), shown(*ratio));
        // Writing to memory does not fail.
        let _ = writeln!(text, "{name:<28} {figure:>12} {unit:<6} {limit:>12} {ratio:>9} {goal:>9} {met:>5}");
    }
    text.push('\n');
    for Row { name, contains, .. } in rows.iter().filter(|row| !row.contains.is_empty()) {
        let _ = writeln!(text, "{name}: {contains}");
    }
    text
}

fn shown(number: Option<f64>) -> String {
    match number {
        None => "-".into(),
        Some(number) if number.abs() >= 1000.0 => format!("{number:.0}"),
        Some(number) => format!("{number:.3}"),
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
    fn a_row_shows_its_figure_beside_the_limit_and_whether_the_goal_is_met() {
        let row = Row {
            name: "gifts".into(),
            figure: Some(40_000.4),
            unit: "/s".into(),
            limit: Some(100_000.0),
            ratio: Some(0.4),
            goal: ">= 0.45".into(),
            met: Some(false),
            contains: "all of it".into(),
        };
        let text = table(&[row]);
        let words: Vec<&str> = text.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(words, ["gifts", "40000", "/s", "100000", "0.400", ">=", "0.45", "NO"]);
        assert!(text.ends_with("gifts: all of it\n"));
    }
}
