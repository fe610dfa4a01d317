//! `greenroom bench`: load as live rooms make it, measured honestly, and then audited to the last coin.
//!
//! Viewers give to streamers by Zipf's law, in combos, with copies of the same event as impatient networks make them. In an
//! open loop latency counts from when a request was due, so a stall of the server cannot hide (coordinated omission). After
//! the load, everything must be settled, and every viewer must have paid exactly what was acknowledged.
//!
//! It comes from outside, over the public interface, and knows nothing of the server's inside. Bounded by `--duration`,
//! `--gifts-max` and `--patience`; Ctrl-C ends the load early and still reports.

mod audit;
pub mod bare;
pub mod http1;
mod load;
mod message;
mod outcomes;
mod pace;
mod pacer;
mod plan;
mod progress;
mod report;
mod setup;
mod tally;
mod ws;
mod zipf;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use audit::{Callers, Money};
use bare::Bare;
use load::{Load, Running};
use outcomes::Outcomes;
use pace::Pace;
use pacer::Pacer;
use plan::{Plan, Shape};
use report::{Heading, Report};
use setup::{Api, Signer, Stage};
use ws::Sockets;
use zipf::Zipf;

/// The seed of a run that is given none.
const SEED: u64 = 1;
/// Viewers whose assets are looked at at the same time after the load.
const LOOKS_AT_ONCE: usize = 16;

/// How the gifts go to the server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Transport {
    /// HTTP/1.1 with connections that live on.
    #[default]
    Http,
    /// The room's WebSocket, one for each viewer; every viewer then stays in one room.
    Ws,
}

/// Puts load on a server and checks every coin afterwards.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The server; only plain HTTP.
    #[arg(long, env = "GREENROOM_SERVER", default_value = "http://127.0.0.1:8080", value_name = "URL")]
    pub server: String,
    /// The server's HS256 secret, to sign the viewers' tokens with.
    #[arg(long, env = "GREENROOM_AUTH_HS256_SECRET", hide_env_values = true, conflicts_with = "secret_file")]
    pub secret: Option<String>,
    /// A file with the secret.
    #[arg(long, value_name = "FILE")]
    pub secret_file: Option<PathBuf>,
    /// Loads a bare axum server in this process instead: the limit of this machine and this generator.
    #[arg(long)]
    pub bare: bool,
    /// How the gifts are sent.
    #[arg(long, value_enum, default_value_t, conflicts_with = "bare")]
    pub transport: Transport,
    /// Requests a second, in an open loop. Without it: a closed loop, as fast as the server answers.
    #[arg(long, value_name = "PER_SECOND", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub rate: Option<u32>,
    /// Connections.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub connections: u32,
    /// How long, in seconds.
    #[arg(long, default_value_t = 10, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub duration: u64,
    /// Distinct gifts, at most.
    #[arg(long, default_value_t = 10_000_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub gifts_max: u64,
    /// Viewers who give.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub viewers: u32,
    /// Rooms, each with one streamer.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub rooms: u32,
    /// All viewers in one room.
    #[arg(long, conflicts_with = "rooms")]
    pub one_room: bool,
    /// Zipf's exponent of the choice of a room; 0 makes all alike.
    #[arg(long, default_value_t = 1.1)]
    pub zipf: f64,
    /// Of 1,000 gifts, how many begin a combo of 2 to 10.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(0..=1000))]
    pub combos_permille: u32,
    /// Of 1,000 gifts, how many are sent again 1 to 4 times, at the same moment or later.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(0..=1000))]
    pub duplicates_permille: u32,
    /// The gift that is given.
    #[arg(long, default_value = "2002")]
    pub gift_id: String,
    /// The asset it costs.
    #[arg(long, default_value_t = 1)]
    pub asset_type: u32,
    /// What each viewer has at the start.
    #[arg(long, default_value_t = 1_000_000_000)]
    pub balance: i64,
    /// How long to wait at the end until all is settled, in seconds.
    #[arg(long, default_value_t = 120, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub patience: u64,
    /// The same seed gives the same sequence of gifts.
    #[arg(long, default_value_t = SEED)]
    pub seed: u64,
    /// Writes the figures as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// Why there are no figures, or none to be trusted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server's address is not understood.
    #[error("`{0}` is not http://HOST:PORT")]
    Address(String),
    /// No secret was given.
    #[error("give the server's secret with --secret or --secret-file")]
    NoSecret,
    /// A file or a socket failed.
    #[error("{what}: {source}")]
    Io {
        /// Which.
        what: String,
        /// Why.
        source: std::io::Error,
    },
    /// A token could not be signed.
    #[error("cannot sign a token: {0}")]
    Token(#[from] jsonwebtoken::errors::Error),
    /// The server cannot be reached.
    #[error("no answer from {authority}: {source}")]
    Unreachable {
        /// Where it should be.
        authority: String,
        /// Why.
        source: http1::Error,
    },
    /// The server refused what the run needs.
    #[error("{call} was refused with {status}: {detail}")]
    Refused {
        /// Method and path.
        call: String,
        /// The status.
        status: u16,
        /// The answer.
        detail: String,
    },
    /// The server's answer is not JSON.
    #[error("the answer to {0} is not JSON: {1}")]
    Answer(String, serde_json::Error),
    /// A viewer has no account of the asset.
    #[error("viewer {viewer} has no account of this asset")]
    NoAssets {
        /// Who.
        viewer: i64,
    },
    /// A part of the run was ended from outside.
    #[error("interrupted")]
    Interrupted,
    /// The audit found faults; the report lists them.
    #[error("the audit found faults")]
    Faults,
}

/// Runs, prints the figures, and writes them where `--json` says.
///
/// # Errors
/// If the run could not be set up or measured, or if the audit found a fault.
pub async fn run(args: Args) -> Result<(), Error> {
    let report = if args.bare { run_bare(&args).await? } else { run_server(&args).await? };
    print!("{report}");
    if let Some(file) = &args.json {
        let io = |source| Error::Io { what: format!("cannot write {}", file.display()), source };
        let json = serde_json::to_vec_pretty(&report).map_err(|error| io(error.into()))?;
        std::fs::write(file, json).map_err(io)?;
    }
    if report.audit.is_some_and(|audit| !audit.is_clean()) { Err(Error::Faults) } else { Ok(()) }
}

async fn run_server(args: &Args) -> Result<Report, Error> {
    let authority = authority(&args.server)?;
    let signer = Signer::new(&secret(args)?);
    let now_ms = now_ms();
    let stage = stage(args, &authority, &signer, now_ms);
    let cast = stage.cast()?;
    progress::during("rooms and viewers", stage.build(&cast)).await?;
    let load = load(args, cast);
    let (tally, took) = measure(&load, args).await;
    let acknowledged = load.outcomes.acknowledged();
    let caller = |role| signer.token(1, role, now_ms).map(|token| Api::new(&authority, token));
    let service = (0..LOOKS_AT_ONCE).map(|_| caller("service")).collect::<Result<_, _>>()?;
    let callers = Callers { service, operator: caller("operator")? };
    let money = Money { asset_type: args.asset_type, recharged: args.balance };
    let patience = Duration::from_secs(args.patience);
    let audit = audit::audit(&load, &tally.unclear, tally.forgotten, callers, money, patience);
    let audit = progress::during("settling and audit", audit).await?;
    Ok(Report::new(heading(args, authority), tally, acknowledged, took, Some(audit)))
}

/// The same load without a setup before and an audit after, as there is nothing to set up or to audit.
async fn run_bare(args: &Args) -> Result<Report, Error> {
    let io = |source| Error::Io { what: "cannot listen on loopback".into(), source };
    let bare = Bare::start().await.map_err(io)?;
    let authority = bare.address.to_string();
    let signer = Signer::new(b"bare axum looks at no token, but gets one as long as any other");
    let load = load(args, stage(args, &authority, &signer, now_ms()).cast()?);
    let (tally, took) = measure(&load, args).await;
    let acknowledged = load.outcomes.acknowledged();
    bare.stop().await;
    Ok(Report::new(heading(args, "bare axum".into()), tally, acknowledged, took, None))
}

async fn measure(load: &Arc<Load>, args: &Args) -> (tally::Tally, Duration) {
    let started = Instant::now();
    let mut running = Running::start(load, args.connections);
    progress::show(&mut running, load, args).await;
    (running.tally(), started.elapsed())
}

fn stage<'a>(args: &'a Args, authority: &'a str, signer: &'a Signer, now_ms: u64) -> Stage<'a> {
    Stage {
        authority,
        signer,
        viewers: args.viewers,
        rooms: rooms(args),
        gift_id: &args.gift_id,
        asset_type: args.asset_type,
        balance: args.balance,
        now_ms,
        salt: rand::random(),
    }
}

fn load(args: &Args, cast: message::Cast) -> Arc<Load> {
    let shape = Shape {
        viewers: args.viewers,
        rooms: Zipf::new(rooms(args), args.zipf),
        own_rooms: (args.transport == Transport::Ws).then(|| rooms(args)),
        combos_permille: args.combos_permille,
        duplicates_permille: args.duplicates_permille,
        gifts_max: args.gifts_max,
    };
    Arc::new(Load {
        cast,
        plan: Mutex::new(Plan::new(args.seed, shape)),
        pace: args.rate.map_or(Pace::Unlimited, Pace::Rate),
        pacer: Pacer::new(),
        outcomes: Outcomes::new(args.gifts_max, args.viewers),
        duration: Duration::from_secs(args.duration),
        sockets: (args.transport == Transport::Ws).then(Sockets::default),
        stop: CancellationToken::new(),
    })
}

fn heading(args: &Args, target: String) -> Heading {
    let pace = args.rate.map_or_else(|| "closed".into(), |rate| format!("open, {rate}/s"));
    Heading { target, pace, connections: args.connections }
}

fn rooms(args: &Args) -> u32 {
    if args.one_room { 1 } else { args.rooms }
}

fn authority(server: &str) -> Result<String, Error> {
    let authority = server.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
    match authority {
        Some(authority) if authority.contains(':') && !authority.contains('/') => Ok(authority.into()),
        _ => Err(Error::Address(server.into())),
    }
}

fn secret(args: &Args) -> Result<Vec<u8>, Error> {
    match (&args.secret, &args.secret_file) {
        (Some(secret), _) => Ok(secret.clone().into_bytes()),
        (None, Some(file)) => std::fs::read_to_string(file)
            .map(|text| text.trim_end().as_bytes().to_vec())
            .map_err(|source| Error::Io { what: format!("cannot read {}", file.display()), source }),
        (None, None) => Err(Error::NoSecret),
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
