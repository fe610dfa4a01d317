//! The distributed mode: gifts over HTTP on one host and latencies across two, over real Redis, Kafka and PostgreSQL, beside what those
//! reach alone. What needs their clients is in `host/benches/distributed`.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::Context;
use serde_json::Value;

use super::load::{Site, figure, part};
use super::micro::{bench, rows};
use super::{Row, load};
use crate::server::{Options, Server};
use crate::services::folder;
use greenroom_services::{Lent, Variable};

/// Who holds it may sign tokens for the bench, which listens on this machine alone.
const SECRET: &str = "the secret of a bench on this machine";
const HOSTS: usize = 2;
const GIFT: &str = "gift.wasm";

/// Starts the services, runs them all, and adds each run's full report to `reports`.
///
/// # Errors
/// If a service or a run fails, or an audit finds a fault.
pub(super) fn measure(site: &Site<'_>, reports: &mut Vec<Value>) -> anyhow::Result<Vec<Row>> {
    let services = Lent::start(&folder(site.workspace))?;
    let stage = Stage { site, services: &services.variables };
    let alone = gift_alone(site)?;
    println!("-- a run that does not count: Kafka's broker compiles what it runs often");
    stage.gifts("queued", &alone, &SINGLE, &mut Vec::new())?;
    let mut around = Around { stage: &stage, before: stage.limits()? };
    let mut measured = Vec::new();
    for durability in ["queued", "cached"] {
        let (reached, limits) = around.gifts(durability, &alone, &SINGLE, reports)?;
        measured.push(row(&format!("gifts over HTTP, {durability}"), reached, limits.single, Some(0.2), GIFTS));
        measured.push(row(&format!("{durability}, limit -P 16"), reached, limits.pipelined, None, PIPELINED));
    }
    let (combos, limits) = around.gifts("cached", &alone, &COMBOS, reports)?;
    measured.push(row("cached, combos", combos, limits.mixed(), Some(0.2), WITH_COMBOS));
    let (all, limits) = around.gifts("cached", site.plugins, &SINGLE, reports)?;
    measured.push(row("cached, all plugins", all, limits.single, None, BESIDE));
    let many = stage.gifts("cached", &alone, &[&COMBOS[..], &["--zipf", "0", "--rooms", "100"]].concat(), reports)?;
    let one = stage.gifts("cached", &alone, &[&COMBOS[..], &["--one-room"]].concat(), reports)?;
    measured.push(row("one streamer, distributed", one, many, Some(0.9), STREAMER));
    measured.extend(stage.micro("participants", &[])?);
    measured.extend(stage.micro("settling", &[])?);
    measured.extend(stage.latency()?);
    Ok(measured)
}

/// What the limit repeats: each gift is one hold, and none is sent twice. 256 connections: with 64 the host is not full where answers wait for
/// Kafka.
const SINGLE: [&str; 6] = ["--connections", "256", "--duplicates-permille", "0", "--combos-permille", "0"];
/// A tenth of the gifts begin a combo of 2 to 10, whose holds change counters, too.
const COMBOS: [&str; 6] = ["--connections", "256", "--duplicates-permille", "0", "--combos-permille", "100"];
/// How many of these gifts are in a combo: a tenth of the others begins one of six on average, 0.1 × 6 / (1 + 0.1 × 5).
const IN_COMBO: f64 = 0.4;

const GIFTS: &str = "settled in PostgreSQL and audited, by the time from the first request to the last settlement; one host with the gift plugin, \
                     256 connections, 1,000 viewers, 20 rooms by Zipf; an installation older than six minutes; limit: redis-benchmark with the \
                     same hold script and arguments, no pipelining, the mean of just before and just after; all servers and the generator on the same \
                     cores";
const PIPELINED: &str =
    "the row before; limit: with 16 requests a pipeline, as the host sends what comes at the same time";
const WITH_COMBOS: &str = "as `gifts over HTTP, cached`, but a tenth begins a combo of 2 to 10, so that two of five \
     are in one; limit: as there, two of five holds with the counters of a combo that goes on";
const BESIDE: &str = "as `gifts over HTTP, cached`, with every plugin installed and none but gift in a room: lottery and pk read each gift nevertheless";
const STREAMER: &str =
    "as `cached, combos`, to one streamer in one room; limit: to 100 streamers in 100 rooms, uniformly";

fn row(name: &str, figure: f64, limit: f64, goal: Option<f64>, contains: &str) -> Row {
    let ratio = part(figure, limit);
    Row {
        name: name.into(),
        figure: Some(figure),
        unit: "/s".into(),
        limit: Some(limit),
        ratio: Some(ratio),
        goal: goal.map(|goal| format!(">= {goal}")).unwrap_or_default(),
        met: goal.map(|goal| ratio >= goal),
        contains: contains.into(),
    }
}

/// A folder with the gift plugin alone.
fn gift_alone(site: &Site<'_>) -> anyhow::Result<PathBuf> {
    let folder = site.workspace.target.join("bench-plugins");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let from = site.plugins.join(GIFT);
    std::fs::copy(&from, folder.join(GIFT)).with_context(|| format!("cannot copy {}", from.display()))?;
    Ok(folder)
}

/// What redis-benchmark reaches, in holds a second.
#[derive(Clone, Copy)]
struct Limits {
    single: f64,
    pipelined: f64,
    in_combo: f64,
}

#[expect(clippy::float_arithmetic, reason = "figures for the eye")]
impl Limits {
    fn mean(self, other: Self) -> Self {
        let mean = |of: fn(&Self) -> f64| f64::midpoint(of(&self), of(&other));
        Self { single: mean(|l| l.single), pipelined: mean(|l| l.pipelined), in_combo: mean(|l| l.in_combo) }
    }

    /// Of gifts as [`COMBOS`] has them.
    fn mixed(self) -> f64 {
        1.0 / ((1.0 - IN_COMBO) / self.single + IN_COMBO / self.in_combo)
    }
}

/// Measures limits between runs: the speed of a shared machine changes within minutes.
struct Around<'a> {
    stage: &'a Stage<'a>,
    before: Limits,
}

impl Around<'_> {
    /// Settled gifts a second, and the limits around that run.
    fn gifts(
        &mut self,
        durability: &str,
        plugins: &Path,
        args: &[&str],
        reports: &mut Vec<Value>,
    ) -> anyhow::Result<(f64, Limits)> {
        let reached = self.stage.gifts(durability, plugins, args, reports)?;
        let after = self.stage.limits()?;
        let before = std::mem::replace(&mut self.before, after);
        Ok((reached, before.mean(after)))
    }
}

struct Stage<'a> {
    site: &'a Site<'a>,
    services: &'a [Variable],
}

/// A database and a prefix of its own; gone when this is dropped.
struct Place<'a> {
    stage: &'a Stage<'a>,
    name: String,
    postgres: String,
    env: Vec<Variable>,
}

impl Stage<'_> {
    /// What a task of the bench program prints.
    fn tell(&self, args: &[&str], more: &[Variable]) -> anyhow::Result<String> {
        println!("-- cargo bench --bench distributed -- {}", args.join(" "));
        let mut command = bench(self.site.workspace, "distributed");
        command.arg("--").args(args).envs(self.services.iter().cloned()).envs(more.iter().cloned());
        let output = command.stderr(Stdio::inherit()).output().context("cannot start the bench")?;
        anyhow::ensure!(output.status.success(), "{} ended with {}", args.join(" "), output.status);
        String::from_utf8(output.stdout).context("its output is not text")
    }

    fn micro(&self, task: &str, more: &[Variable]) -> anyhow::Result<Vec<Row>> {
        rows(&self.tell(&[task], more)?)
    }

    fn limits(&self) -> anyhow::Result<Limits> {
        let rows = self.micro("script", &[])?;
        let of = |name: &str| rows.iter().find(|row| row.name == name).and_then(|row| row.figure).context("no limit");
        Ok(Limits {
            single: of("hold script, redis-benchmark")?,
            pipelined: of("hold script, -P 16")?,
            in_combo: of("hold script in a combo")?,
        })
    }

    fn place(&self, durability: &str) -> anyhow::Result<Place<'_>> {
        let name = format!("bench_{}_{}", std::process::id(), now_ms());
        let text = self.tell(&["open", &name], &[])?;
        let line = text.lines().find(|line| line.starts_with('{')).context("no place")?;
        let json: Value = serde_json::from_str(line)?;
        let at = |service: &str| json.get(service).and_then(Value::as_str).unwrap_or_default().to_owned();
        let key = |name: &str, value: String| (format!("GREENROOM_{name}"), value);
        let env = vec![
            key("DISTRIBUTED_ENABLED", "true".into()),
            key("DISTRIBUTED_PREFIX", name.clone()),
            key("DISTRIBUTED_REDIS_URLS", format!("[\"{}\"]", at("redis"))),
            key("DISTRIBUTED_KAFKA_BROKERS", at("kafka")),
            key("DISTRIBUTED_POSTGRES_URL", at("postgres")),
            key("DISTRIBUTED_DURABILITY", durability.into()),
            key("DISTRIBUTED_KAFKA_PARTITIONS", at("partitions")),
            key("DISTRIBUTED_BUCKETS", at("buckets")),
            // A bench does not wait long for a cache that starts empty.
            key("DISTRIBUTED_KAFKA_DELIVERY_TIMEOUT_MS", "3000".into()),
            key("RATE_LIMITS_USER_PER_SECOND", "0".into()),
            key("LOG_FILTER", "warn".into()),
        ];
        Ok(Place { stage: self, postgres: at("postgres"), name, env })
    }

    /// Settled gifts a second on one host with the plugins of a folder.
    fn gifts(&self, durability: &str, plugins: &Path, args: &[&str], reports: &mut Vec<Value>) -> anyhow::Result<f64> {
        let place = self.place(durability)?;
        let server = place.start(1, plugins)?;
        place.age()?;
        let report = self.site.load(&server, args)?;
        server.stop()?;
        let installed = plugins.file_name().unwrap_or_default().to_string_lossy();
        reports.push(load::named(&format!("distributed, {durability}, {installed}: {}", args.join(" ")), &report));
        figure(&report, "/settledPerS")
    }

    /// Gifts to one host, and what another host and the database see of them.
    fn latency(&self) -> anyhow::Result<Vec<Row>> {
        let place = self.place("queued")?;
        let servers: Vec<Server> =
            (1..=HOSTS).map(|number| place.start(number, self.site.plugins)).collect::<Result<_, _>>()?;
        place.age()?;
        let secret = servers.first().context("there is no server")?.secret_file();
        let authorities: Vec<&str> = servers.iter().map(|server| server.authority.as_str()).collect();
        let more = [
            ("BENCH_HOSTS".to_owned(), authorities.join(",")),
            ("BENCH_SECRET_FILE".to_owned(), secret.display().to_string()),
            ("BENCH_POSTGRES_URL".to_owned(), place.postgres.clone()),
        ];
        let measured = self.micro("latency", &more)?;
        servers.into_iter().try_for_each(Server::stop)?;
        Ok(measured)
    }
}

impl Place<'_> {
    fn start(&self, number: usize, plugins: &Path) -> anyhow::Result<Server> {
        let Site { workspace, program, .. } = self.stage.site;
        let data_dir = workspace.target.join(format!("bench-data-{number}"));
        let (listen, env, secret) = ("127.0.0.1:0", &self.env[..], Some(SECRET));
        Server::start(&Options { program, plugins, data_dir: &data_dir, listen, env, secret })
    }

    /// Waits until gifts can be held, and lets the installation be older than it is.
    fn age(&self) -> anyhow::Result<()> {
        self.stage.tell(&["age", &self.name], &[]).map(drop)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.stage.tell(&["close", &self.name], &[]) {
            eprintln!("{} is not removed: {error:#}", self.name);
        }
    }
}

/// Tells the places of one run apart.
fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or_default()
}
