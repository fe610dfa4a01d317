//! Load from outside, with `greenroom bench`: gifts on a server with the embedded backends, and the same requests on bare axum.

use std::path::Path;
use std::process::Command;

use anyhow::Context;
use serde_json::{Value, json};

use super::Row;
use crate::server::{Options, Server};
use crate::workspace::Workspace;
use greenroom_services::progress;

/// The limit of one user's requests would be what is measured.
const SERVER_ENV: [(&str, &str); 2] =
    [("GREENROOM_RATE_LIMITS_USER_PER_SECOND", "0"), ("GREENROOM_LOG_FILTER", "warn")];

/// What every run has in common.
#[derive(Clone, Copy)]
pub(super) struct Site<'a> {
    pub(super) workspace: &'a Workspace,
    pub(super) program: &'a Path,
    pub(super) plugins: &'a Path,
    /// Seconds of load.
    pub(super) duration: u32,
}

/// Runs them all; adds each run's full report to `reports`.
///
/// # Errors
/// If a run fails, or an audit finds a fault.
pub(super) fn measure(site: &Site<'_>, reports: &mut Vec<Value>) -> anyhow::Result<Vec<Row>> {
    let mut run = |name: &str, args: &[&str]| {
        let report = site.run(args).with_context(|| name.to_owned())?;
        reports.push(named(name, &report));
        Ok::<_, anyhow::Error>(report)
    };
    let bare = run("bare axum", &["--bare", "--duplicates-permille", "0"])?;
    let gifts = run("gifts", &["--duplicates-permille", "0"])?;
    let half = half(figure(&gifts, "/acknowledgedPerS")?);
    let paced = run("gifts at half of that rate", &["--rate", &half.to_string()])?;
    let many = run("gifts, many streamers", &["--zipf", "0", "--rooms", "100"])?;
    let one = run("gifts, one streamer", &["--one-room"])?;
    let own_rooms = ["--duplicates-permille", "0", "--viewers", "64", "--rooms", "64"];
    let over_http = run("gifts, 64 rooms", &own_rooms)?;
    let over_ws = run("the same over WebSockets", &[&own_rooms[..], &["--transport", "ws"]].concat())?;
    let (reached, limit) = (figure(&gifts, "/settledPerS")?, figure(&bare, "/answersPerS")?);
    let ratio = part(reached, limit);
    let of_many = figure(&many, "/settledPerS")?;
    let of_one = figure(&one, "/settledPerS")?;
    Ok(vec![
        Row {
            name: "gifts over HTTP".into(),
            figure: Some(reached),
            unit: "/s".into(),
            limit: Some(limit),
            ratio: Some(ratio),
            goal: ">= 0.45".into(),
            met: Some(ratio >= 0.45),
            contains: "durable, settled in the database and audited, by the time from the first request to the last settlement; 64 \
                       connections, 1,000 viewers, 20 rooms by Zipf, a tenth begins combos; limit: answers of a bare axum route with \
                       the same JSON in and out, in the generator's process"
                .into(),
        },
        latency(&paced, half)?,
        Row {
            name: "one streamer".into(),
            figure: Some(of_one),
            unit: "/s".into(),
            limit: Some(of_many),
            ratio: Some(part(of_one, of_many)),
            goal: ">= 0.95".into(),
            met: Some(part(of_one, of_many) >= 0.95),
            contains: "settled gifts to one streamer in one room; limit: to 100 streamers in 100 rooms, uniformly".into(),
        },
        sockets(figure(&over_ws, "/settledPerS")?, figure(&over_http, "/settledPerS")?),
    ])
}

fn sockets(over_ws: f64, over_http: f64) -> Row {
    Row {
        name: "gifts over WebSockets".into(),
        figure: Some(over_ws),
        unit: "/s".into(),
        limit: Some(over_http),
        ratio: Some(part(over_ws, over_http)),
        goal: String::new(),
        met: None,
        contains: "settled; 64 viewers with a socket each, one a room, who also get their own push; limit: the same number over HTTP, to \
                   rooms by Zipf"
            .into(),
    }
}

fn latency(paced: &Value, half: u32) -> anyhow::Result<Row> {
    let p99 = part(figure(paced, "/latencyUs/p99")?, 1000.0);
    Ok(Row {
        name: "p99 at half the rate".into(),
        figure: Some(p99),
        unit: "ms".into(),
        limit: None,
        ratio: None,
        goal: "< 10".into(),
        met: Some(p99 < 10.0),
        contains: format!("open loop at {half} gifts a second, from when a request was due to its durable answer"),
    })
}

impl Site<'_> {
    /// On bare axum, or on a server with a fresh data directory.
    fn run(&self, args: &[&str]) -> anyhow::Result<Value> {
        if args.contains(&"--bare") {
            return self.generate(args, |_| {});
        }
        let data_dir = self.workspace.target.join("bench-data");
        let Self { program, plugins, .. } = *self;
        let env = SERVER_ENV.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let server = Server::start(&Options {
            program,
            plugins,
            data_dir: &data_dir,
            listen: "127.0.0.1:0",
            env: &env,
            secret: None,
        })?;
        let report = self.load(&server, args)?;
        server.stop()?;
        Ok(report)
    }

    /// Puts load on a server that runs.
    ///
    /// # Errors
    /// If that fails, or the audit finds a fault.
    pub(super) fn load(&self, server: &Server, args: &[&str]) -> anyhow::Result<Value> {
        self.generate(args, |command| {
            command.arg("--server").arg(format!("http://{}", server.authority));
            command.arg("--secret-file").arg(server.secret_file());
        })
    }

    fn generate(&self, args: &[&str], target: impl FnOnce(&mut Command)) -> anyhow::Result<Value> {
        println!("-- greenroom bench {}", args.join(" "));
        let file = self.workspace.target.join("bench-run.json");
        let mut command = Command::new(self.program);
        command.args(["bench", "--duration", &self.duration.to_string(), "--json"]).arg(&file).args(args);
        target(&mut command);
        progress::run(&mut command)?;
        let report = std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        Ok(serde_json::from_slice(&report)?)
    }
}

/// A run's full report, under its name.
pub(super) fn named(name: &str, report: &Value) -> Value {
    json!({ "name": name, "report": report })
}

pub(super) fn figure(report: &Value, path: &str) -> anyhow::Result<f64> {
    report.pointer(path).and_then(Value::as_f64).with_context(|| format!("the report has no {path}"))
}

#[expect(clippy::float_arithmetic, reason = "a ratio for the eye")]
pub(super) fn part(figure: f64, limit: f64) -> f64 {
    if limit > 0.0 { figure / limit } else { 0.0 }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive rate far below 2^32")]
fn half(rate: f64) -> u32 {
    (part(rate, 2.0) as u32).max(1)
}
