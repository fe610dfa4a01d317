//! What the benches stand on: the embedded backends on a folder that is gone afterwards, a registry over them, and rows for the table.

#![allow(dead_code)]

pub mod participants;
pub mod undelayed;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use greenroom::adapters::embedded::{self, Embedded, LocalPushBus, SystemClock};
use greenroom::adapters::sqlite::Sqlite;
use greenroom::breaker::Breaker;
use greenroom::domain::{Account, Amount, AssetType, EventId, RoomId, StreamId, UserId};
use greenroom::ledger::{Credit, Ledger};
use greenroom::plugin::{Bounds, Context, Plugin, Registry, RoomInfo, Settings, StreamInfo, default_mintable_assets};
use greenroom::ports::cache::Cache;
use greenroom::timer::Timers;
use greenroom_manifest::{Manifest, embed, extract};
use serde_json::{Value, json};

use undelayed::Undelayed;

pub const GOLD: AssetType = AssetType(1);
/// None of the viewers, who are numbered from 1.
pub const STREAMER: UserId = UserId(1_000_000);
/// More than a bench spends.
const BALANCE: i64 = 1_000_000_000_000;

/// A host without its HTTP interface.
pub struct House {
    pub embedded: Embedded,
    pub db: Arc<Sqlite>,
    pub cache: Arc<dyn Cache>,
    pub ledger: Arc<Ledger>,
    pub push_bus: Arc<LocalPushBus>,
    pub registry: Arc<Registry>,
}

impl House {
    /// With a cache that waits for the disk, or with one that does not.
    pub async fn open(dir: &Path, undelayed: Option<&Arc<Undelayed>>) -> Self {
        let settings = Self::settings(dir);
        let embedded = embedded::open(settings).await.unwrap();
        let db = Sqlite::open(&dir.join("greenroom.db")).await.unwrap();
        let cache: Arc<dyn Cache> = match undelayed {
            Some(undelayed) => {
                undelayed.over(embedded.cache.clone());
                undelayed.clone()
            }
            None => embedded.cache.clone(),
        };
        let ledger = Arc::new(Ledger::new(cache.clone(), db.clone(), db.clone(), Arc::new(SystemClock)));
        let push_bus = Arc::new(LocalPushBus::new(1024));
        let registry = Registry::start(Settings {
            compile_cache_dir: dir.join("compiled"),
            ledger: ledger.clone(),
            cache: cache.clone(),
            queue: embedded.queue.clone(),
            timers: Arc::new(Timers::new(cache.clone(), Arc::new(SystemClock))),
            push_bus: push_bus.clone(),
            statements: db.clone(),
            pots: db.clone(),
            plugins: db.clone(),
            clock: Arc::new(SystemClock),
            mintable_assets: default_mintable_assets(),
            bounds: Bounds { instances_max: 256, ..Bounds::default() },
        });
        let registry = Arc::new(registry.await.unwrap());
        Self { embedded, db, cache, ledger, push_bus, registry }
    }

    /// Nothing consumes in a bench of the first phase, so the outbox must be as long as the bench.
    pub fn settings(dir: &Path) -> embedded::Settings {
        embedded::Settings {
            outbox_len_max: 100_000_000,
            outcomes_max: 10_000_000,
            buffer_bytes_max: 1 << 30,
            ..embedded::Settings::new(dir)
        }
    }

    /// Gives the users from 1 to `count` more than they can spend.
    pub async fn recharge(&self, count: i64) {
        for user in 1..=count {
            let account = Account { user_id: UserId(user), asset_type: GOLD };
            let event_id = EventId::new(&format!("recharge-{user}")).unwrap();
            let amount = Amount(BALANCE);
            let texts = || "bench".to_owned();
            let (event_type, order_id, transaction_id) = (texts(), texts(), texts());
            let credit = Credit { event_id, account, amount, event_type, order_id, transaction_id };
            self.ledger.credit(&credit).await.unwrap();
        }
    }
}

/// A plugin in a live room.
pub fn context(plugin: &Arc<Plugin>) -> Arc<Context> {
    let stream = StreamInfo { stream_id: StreamId("0192f3c1-7d2a-7000-8000-000000000001".into()), started_at_ms: 1 };
    let room = RoomInfo { room_id: RoomId(7), title: "Bench".into(), streamers: vec![STREAMER], stream: Some(stream) };
    Arc::new(Context {
        id: 1,
        plugin: plugin.clone(),
        room: Some(Arc::new(room)),
        config_json: plugin.configure(json!({})).unwrap().to_string().into(),
        breaker: Arc::new(Breaker::default()),
    })
}

/// A plugin that `cargo xtask plugins` has built.
pub fn built(name: &str) -> Vec<u8> {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    let of_tests = target.join(format!("guests/{name}.wasm"));
    let file = if of_tests.is_file() { of_tests } else { target.join(format!("plugins/{name}.wasm")) };
    std::fs::read(&file).unwrap_or_else(|_| panic!("no {}: run `cargo xtask plugins` first", file.display()))
}

/// The same component with another manifest.
pub fn repacked(packed: &[u8], change: impl FnOnce(&mut Manifest)) -> Vec<u8> {
    let mut manifest = extract(packed).unwrap();
    // A component without anything in it, to learn how long the manifest's section is; it is always the last one.
    let empty = [0, b'a', b's', b'm', 13, 0, 1, 0];
    let section_len = embed(&empty, &manifest).unwrap().len() - empty.len();
    change(&mut manifest);
    embed(&packed[..packed.len() - section_len], &manifest).unwrap()
}

/// What is to be reached.
#[derive(Clone, Copy)]
pub enum Goal {
    AtMost(f64),
    AtLeast(f64),
    /// Only to be known.
    None,
}

/// One line of the table of `cargo xtask bench`.
pub struct Row {
    pub name: &'static str,
    pub figure: f64,
    pub unit: &'static str,
    /// The same measured without what is to be judged, in the same run.
    pub limit: Option<f64>,
    /// What the goal is about; the figure itself where there is none.
    pub ratio: Option<f64>,
    pub goal: Goal,
    /// What the figure contains and what it does not.
    pub contains: &'static str,
}

impl Row {
    /// For people on standard error, and as a line of JSON on standard output.
    pub fn print(&self) {
        let Self { name, figure, unit, limit, ratio, goal, contains } = *self;
        let judged = ratio.unwrap_or(figure);
        let (goal, met) = match goal {
            Goal::AtMost(most) => (format!("<= {most}"), Some(judged <= most)),
            Goal::AtLeast(least) => (format!(">= {least}"), Some(judged >= least)),
            Goal::None => (String::new(), None),
        };
        eprintln!(
            "{name}: {figure:.3} {unit} (limit {limit:.3?}, ratio {ratio:.3?}, goal {goal}, met {met:?})\n    {contains}"
        );
        let row: Value = json!({
            "name": name, "figure": figure, "unit": unit, "limit": limit, "ratio": ratio, "goal": goal, "met": met,
            "contains": contains,
        });
        println!("{row}");
    }
}

/// A number of the command line, such as `--calls 1000`.
pub fn argument(name: &str, default: usize) -> usize {
    let mut arguments = std::env::args().skip_while(|argument| *argument != format!("--{name}")).skip(1);
    arguments.next().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// The middle one.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A line such as `VmRSS` of `/proc/self/status`, in bytes.
pub fn memory(line: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let found = status.lines().find(|l| l.starts_with(line)).unwrap();
    let kib: f64 = found.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024.0
}

/// A folder in the target directory, on the disk that the tree is on and not in memory.
pub fn folder() -> tempfile::TempDir {
    let target: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    tempfile::TempDir::new_in(target).unwrap()
}
