//! The benches in `host/benches`: each prints its rows as lines of JSON, and explains itself on standard error.

use std::process::{Command, Stdio};

use anyhow::Context;
use serde_json::Value;

use super::Row;
use crate::workspace::{Workspace, cargo};

/// Runs one of them with arguments of its own.
///
/// # Errors
/// If it does not build, fails, or prints a line that is no row.
pub(super) fn measure(workspace: &Workspace, name: &str, args: &[&str]) -> anyhow::Result<Vec<Row>> {
    let mut command = bench(workspace, name);
    command.arg("--").args(args);
    let output = command.stderr(Stdio::inherit()).output().with_context(|| format!("cannot start the bench {name}"))?;
    anyhow::ensure!(output.status.success(), "the bench {name} ended with {}", output.status);
    rows(&String::from_utf8(output.stdout).context("its output is not text")?)
}

/// The command that builds and runs one; its own arguments come after `--`.
pub(super) fn bench(workspace: &Workspace, name: &str) -> Command {
    let mut command = cargo();
    command.current_dir(&workspace.root).args(["bench", "--locked", "--workspace", "--bench", name]);
    command
}

/// The rows in what a bench has printed.
///
/// # Errors
/// If a line of JSON is no row.
pub(super) fn rows(text: &str) -> anyhow::Result<Vec<Row>> {
    text.lines().filter(|line| line.starts_with('{')).map(row).collect()
}

fn row(line: &str) -> anyhow::Result<Row> {
    let json: Value = serde_json::from_str(line).with_context(|| format!("not a row: {line}"))?;
    let text = |name: &str| json.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let number = |name: &str| json.get(name).and_then(Value::as_f64);
    Ok(Row {
        name: text("name"),
        figure: number("figure"),
        unit: text("unit"),
        limit: number("limit"),
        ratio: number("ratio"),
        goal: text("goal"),
        met: json.get("met").and_then(Value::as_bool),
        contains: text("contains"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_json_is_a_row() {
        let line = r#"{"name":"n","figure":1.5,"unit":"us","limit":null,"ratio":0.9,"goal":"<= 2","met":true}"#;
        let row = row(line).unwrap();
        assert_eq!((row.figure, row.limit, row.met, row.goal.as_str()), (Some(1.5), None, Some(true), "<= 2"));
    }
}
