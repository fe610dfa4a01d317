//! Timers that are due at the same moment: how long until all of them have fired, beside the same number of calls without timers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use greenroom::adapters::embedded::SystemClock;
use greenroom::domain::{RoomId, UserId};
use greenroom::plugin::{ApiRequest, Caller, Context};
use greenroom::ports::cache::Shard;
use greenroom::room::{NewRoom, PluginChoice, Rooms};
use greenroom::timer::Timers;
use greenroom_manifest::{Method, Role};
use serde_json::json;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::house::{self, Goal, House, Row, STREAMER, median};

const TIMERS: usize = 5_000;
const ROUNDS: usize = 5;
/// Calls under way at the same time, without timers: as many as all shards of timers may fire.
const TASKS: usize = 512;
const OPERATOR: UserId = UserId(1);
/// More than setting all of them takes.
const AHEAD: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(120);

struct Stage {
    house: House,
    rooms: Arc<Rooms>,
    timers: Arc<Timers>,
}

pub async fn measure() {
    let folder = house::folder();
    let stage = Stage::open(folder.path()).await;
    for (name, first_room, count, contains) in
        [("timers, one room", 1, 1, ONE), ("timers, 100 rooms", 1_001, 100, MANY)]
    {
        let contexts = stage.live(first_room, count).await;
        let (mut with, mut without) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            with.push(stage.fired(&contexts, 2 * round).await);
            without.push(called(&stage, &contexts, 2 * round + 1).await);
        }
        let ratio = median(with.iter().zip(&without).map(|(with, without)| with / without).collect());
        let (figure, limit) = (median(with), Some(median(without)));
        Row { name, figure, unit: "/s", limit, ratio: Some(ratio), goal: Goal::None, contains }.print();
    }
    stage.house.embedded.close().await.unwrap();
}

const ONE: &str = "5,000 timers of one plugin in one room, due at the same moment, each a call that commits to the cache: their number by \
                   the time from then until all have fired, durably, and are gone; each fires once; limit: the same calls without timers, \
                   512 under way";
const MANY: &str = "the same in 100 rooms with 50 timers each";

impl Stage {
    async fn open(dir: &std::path::Path) -> Self {
        let house = House::open(dir, None).await;
        house.registry.install(&house::built("steps")).await.unwrap();
        let rooms = Rooms::start(house.db.clone(), house.registry.clone(), Arc::new(SystemClock)).await.unwrap();
        let timers = Arc::new(Timers::new(house.cache.clone(), Arc::new(SystemClock)));
        Self { house, rooms: Arc::new(rooms), timers }
    }

    /// Live rooms with the plugin.
    async fn live(&self, first: i64, count: i64) -> Vec<Arc<Context>> {
        let mut contexts = Vec::new();
        for room in (first..first + count).map(RoomId) {
            let new = NewRoom { room_id: Some(room), title: "Bench".into(), streamers: vec![STREAMER] };
            self.rooms.create(OPERATOR, new).await.unwrap();
            let choice = PluginChoice { name: "steps".into(), version: None, config: None };
            self.rooms.start_stream(OPERATOR, room, vec![choice]).await.unwrap();
            contexts.push(self.rooms.context(room, "steps").await.unwrap().unwrap());
        }
        contexts
    }

    /// Timers a second.
    async fn fired(&self, contexts: &[Arc<Context>], round: usize) -> f64 {
        let before = self.rung(contexts).await;
        let due_ms = now_ms() + AHEAD.as_millis() as u64;
        let due = Instant::now() + AHEAD;
        self.hang(contexts, round, due_ms).await;
        assert!(Instant::now() < due, "setting them took too long");
        let stop = CancellationToken::new();
        let firing = tokio::spawn(self.rooms.clone().fire_timers(self.timers.clone(), stop.clone()));
        tokio::time::sleep_until(due.into()).await;
        while self.rung(contexts).await < before + TIMERS {
            assert!(due.elapsed() < PATIENCE, "{} have fired", self.rung(contexts).await - before);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // Those that are firing end, and what has fired is written down.
        stop.cancel();
        firing.await.unwrap();
        let took = due.elapsed().as_secs_f64();
        assert_eq!(self.rung(contexts).await, before + TIMERS, "each fires once");
        TIMERS as f64 / took
    }

    /// Sets them through the plugin, each with a key of its own.
    async fn hang(&self, contexts: &[Arc<Context>], round: usize, due_at_ms: u64) {
        let each = TIMERS / contexts.len();
        for context in contexts {
            let routes = &context.plugin.manifest.routes;
            let route = routes.iter().position(|r| r.method == Method::Post && r.path == "steps/bells").unwrap();
            for first in (0..each).step_by(500) {
                let (first, count) = (round * TIMERS + first, each.min(500));
                let body = json!({ "first": first, "count": count, "dueAtMs": due_at_ms }).to_string();
                let caller = Caller { user_id: UserId(5), role: Role::Viewer, level: 0 };
                let (params, query, body) = (Vec::new(), Vec::new(), Bytes::from(body));
                let request = ApiRequest { route, params, query, body, idempotency_key: None, caller };
                self.house.registry.api(context, request).await.unwrap().unwrap();
            }
        }
    }

    /// How often bells of these rooms have rung.
    async fn rung(&self, contexts: &[Arc<Context>]) -> usize {
        let mut sum = 0;
        for context in contexts {
            let room = context.room.as_ref().unwrap().room_id;
            let shard = Shard { plugin: "steps".into(), name: format!("bells/{room}").into() };
            sum += self.house.cache.counter(&shard, "rung", now_ms()).await.unwrap();
        }
        usize::try_from(sum).unwrap()
    }
}

/// Calls a second: what the timers would do, without any.
async fn called(stage: &Stage, contexts: &[Arc<Context>], round: usize) -> f64 {
    let (next, started, mut tasks) = (Arc::new(AtomicUsize::new(0)), Instant::now(), JoinSet::new());
    for _ in 0..TASKS {
        let (next, registry, contexts) = (next.clone(), stage.house.registry.clone(), contexts.to_vec());
        tasks.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= TIMERS {
                    break;
                }
                let bell = round * TIMERS + number;
                let payload = json!({ "bell": { "number": bell } }).to_string();
                let context = &contexts[number % contexts.len()];
                registry.fire(context, &format!("bell/{bell}"), payload.as_bytes()).await.unwrap().unwrap();
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    TIMERS as f64 / started.elapsed().as_secs_f64()
}

fn now_ms() -> u64 {
    std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() as u64
}
