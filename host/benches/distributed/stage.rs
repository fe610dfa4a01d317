//! A host without its HTTP interface, with live rooms and viewers who have money: over real services, or over PostgreSQL alone, with
//! holds and events in this process.

use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, StreamExt};
use greenroom::adapters::embedded::{self, Embedded, LocalPushBus, SystemClock};
use greenroom::adapters::postgres::Postgres;
use greenroom::adapters::redis::{self, RedisOutbox};
use greenroom::breaker::Breaker;
use greenroom::domain::{Account, Amount, AssetType, EventId, RoomId, StreamId, UserId};
use greenroom::ledger::{Credit, Ledger};
use greenroom::plugin::{
    ApiRequest, Bounds, Caller, Context, Occasion, Plugin, Registry, RoomInfo, Settings, StreamInfo,
    default_mintable_assets,
};
use greenroom::ports::cache::Cache;
use greenroom::ports::outbox::Outbox;
use greenroom::ports::queue::Queue;
use greenroom::timer::Timers;
use greenroom_manifest::{Method, Role};
use serde_json::json;
use tempfile::TempDir;

use crate::house::{self, House};
use crate::place::{PARTITIONS, Place};

pub const VIEWERS: i64 = 1_000;
pub const STREAMERS: i64 = 20;
const BALANCE: i64 = 1_000_000_000_000;
/// Requests under way at the same time.
const AT_ONCE: usize = 64;

pub struct Stage {
    /// None if the cache's log is the queue's.
    pub outbox: Option<Arc<RedisOutbox>>,
    pub queue: Arc<dyn Queue>,
    pub db: Arc<Postgres>,
    pub ledger: Arc<Ledger>,
    pub registry: Arc<Registry>,
    rooms: Vec<Arc<Context>>,
    route: usize,
    _embedded: Option<Embedded>,
    _folder: TempDir,
    // Nobody listens: pushes are not what is measured.
    _push_bus: Arc<LocalPushBus>,
}

impl Stage {
    /// Opens it. Somebody must relay, or the buckets have no epochs.
    pub async fn open(place: &Place) -> Self {
        let redis::Redis { cache, outbox, .. } = redis::open(place.redis_settings()).await.unwrap();
        let (folder, queue) = (house::folder(), place.queue().await);
        Self { outbox: Some(outbox), ..Self::over(cache, queue, place.db().await, folder).await }
    }

    /// The same, with the cache and the queue of the embedded mode before PostgreSQL.
    pub async fn in_process(place: &Place) -> Self {
        let folder = house::folder();
        let settings = embedded::Settings { partitions: PARTITIONS, ..House::settings(folder.path()) };
        let embedded = embedded::open(settings).await.unwrap();
        let (cache, queue) = (embedded.cache.clone(), embedded.queue.clone());
        Self { _embedded: Some(embedded), ..Self::over(cache, queue, place.db().await, folder).await }
    }

    async fn over(cache: Arc<dyn Cache>, queue: Arc<dyn Queue>, db: Arc<Postgres>, folder: TempDir) -> Self {
        let clock = Arc::new(SystemClock);
        let ledger = Arc::new(Ledger::new(cache.clone(), db.clone(), db.clone(), clock.clone()));
        let push_bus = Arc::new(LocalPushBus::new(1 << 20));
        let registry = Registry::start(Settings {
            compile_cache_dir: folder.path().join("compiled"),
            ledger: ledger.clone(),
            cache: cache.clone(),
            queue: queue.clone(),
            timers: Arc::new(Timers::new(cache.clone(), clock.clone())),
            push_bus: push_bus.clone(),
            statements: db.clone(),
            pots: db.clone(),
            plugins: db.clone(),
            clock,
            mintable_assets: default_mintable_assets(),
            bounds: Bounds { instances_max: 256, ..Bounds::default() },
        });
        let registry = Arc::new(registry.await.unwrap());
        let plugin = registry.install(&house::built("gift")).await.unwrap();
        let is_send = |r: &greenroom_manifest::Route| r.method == Method::Post && r.path == "gifts";
        let route = plugin.manifest.routes.iter().position(is_send).unwrap();
        let rooms: Vec<Arc<Context>> = (0..STREAMERS).map(|number| room(&plugin, number)).collect();
        registry.lifecycle(&rooms[0], Occasion::Enabled).await.unwrap().unwrap();
        Self {
            outbox: None,
            queue,
            db,
            ledger,
            registry,
            rooms,
            route,
            _embedded: None,
            _folder: folder,
            _push_bus: push_bus,
        }
    }

    /// Waits until everything that was sent is in the queue.
    pub async fn relayed(&self) {
        if let Some(outbox) = &self.outbox {
            until("relayed", async || outbox.backlog().await.unwrap() == 0).await;
        }
    }

    /// Gives every viewer more than can be spent.
    pub async fn recharge(&self) {
        let credits = (1..=VIEWERS).map(|user| async move {
            let texts = || "bench".to_owned();
            let credit = Credit {
                event_id: EventId::new(&format!("recharge-{user}")).unwrap(),
                account: Account { user_id: UserId(user), asset_type: AssetType(1) },
                amount: Amount(BALANCE),
                event_type: texts(),
                order_id: texts(),
                transaction_id: texts(),
            };
            self.ledger.credit(&credit).await.unwrap();
        });
        stream::iter(credits).for_each_concurrent(16, |credit| credit).await;
    }

    /// Sends so many gifts, each a call of the component; the rooms in turn, or all to one.
    pub async fn send(&self, gifts: usize, is_hot: bool) {
        let calls = (0..gifts).map(|number| async move {
            let room = &self.rooms[if is_hot { 0 } else { number % self.rooms.len() }];
            let body = json!({ "eventId": uuid::Uuid::now_v7().to_string(), "giftId": "2002", "count": 1 }).to_string();
            let user_id = UserId(rand::random_range(1..=VIEWERS));
            let request = ApiRequest {
                route: self.route,
                params: Vec::new(),
                query: Vec::new(),
                body: body.into(),
                idempotency_key: None,
                caller: Caller { user_id, role: Role::Viewer, level: 0 },
            };
            let answer = self.registry.api(room, request).await.unwrap().unwrap();
            assert_eq!(answer.status, 200);
        });
        stream::iter(calls).for_each_concurrent(AT_ONCE, |call| call).await;
    }
}

fn room(plugin: &Arc<Plugin>, number: i64) -> Arc<Context> {
    let stream = StreamInfo { stream_id: StreamId(uuid::Uuid::now_v7().to_string().into()), started_at_ms: 1 };
    let streamers = vec![UserId(1_000_000 + number)];
    let room = RoomInfo { room_id: RoomId(100 + number), title: "Bench".into(), streamers, stream: Some(stream) };
    Arc::new(Context {
        id: 1 + number as u64,
        plugin: plugin.clone(),
        room: Some(Arc::new(room)),
        config_json: plugin.configure(json!({})).unwrap().to_string().into(),
        breaker: Arc::new(Breaker::default()),
    })
}

/// Waits until it is so, for a generous while.
pub async fn until<F: Future<Output = bool>>(what: &str, is_so: impl Fn() -> F) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(120);
    while !is_so().await {
        assert!(tokio::time::Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
