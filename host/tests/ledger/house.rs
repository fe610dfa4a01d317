//! A ledger over real backends in a directory of its own.

use std::sync::Arc;
use std::time::Duration;

use greenroom::adapters::embedded::{self, Embedded, LocalPushBus, SystemClock};
use greenroom::adapters::sqlite::Sqlite;
use greenroom::domain::{Account, Amount, AssetType, ContentDigest, Entry, EventId, Part, Posting, UserId};
use greenroom::ledger::{Credit, Ledger, Reconciler};
use greenroom::plugin::{self, Registry};
use greenroom::ports::cache::{Cache, Hold};
use greenroom::ports::clock::Clock;
use greenroom::ports::db::{Database as _, Deliveries};
use greenroom::ports::queue::Queue;
use greenroom::timer::Timers;
use tempfile::TempDir;

pub const ANNA: Account = gold(1001);
pub const BERT: Account = gold(1002);
pub const TOPIC: &str = "test.paid";

pub const fn gold(user: i64) -> Account {
    Account { user_id: UserId(user), asset_type: AssetType(1) }
}

pub struct House {
    pub embedded: Embedded,
    pub db: Arc<Sqlite>,
    pub ledger: Arc<Ledger>,
}

impl House {
    pub async fn open(dir: &TempDir) -> Self {
        let house = Self::open_with_cache_in(dir, dir).await;
        let waiting = house.db.waiting().await.unwrap();
        house.embedded.recover(&greenroom::ledger::unsettled(house.db.as_ref(), waiting).await.unwrap());
        house
    }

    /// Without recovering what the database has set aside.
    pub async fn open_with_cache_in(cache: &TempDir, database: &TempDir) -> Self {
        let settings =
            embedded::Settings { lease_lifetime: Duration::from_millis(50), ..embedded::Settings::new(cache.path()) };
        let embedded = embedded::open(settings).await.unwrap();
        let db = Sqlite::open(&database.path().join("greenroom.db")).await.unwrap();
        let ledger = Arc::new(Ledger::new(embedded.cache.clone(), db.clone(), db.clone(), Arc::new(SystemClock)));
        Self { embedded, db, ledger }
    }

    /// Holds without asking the database about the event.
    pub async fn hold_unasked(&self, hold: Hold) {
        let cache = self.cache();
        let epoch = cache.epoch(hold.payer.user_id).await.unwrap();
        cache.hold(hold, epoch).await.unwrap();
    }

    pub async fn close(self) {
        drop(self.ledger);
        self.embedded.close().await.unwrap();
        self.db.close().await;
    }

    /// A registry without plugins.
    pub async fn registry(&self, dir: &TempDir) -> Arc<Registry> {
        let clock = Arc::new(SystemClock);
        let cache = self.embedded.cache.clone();
        let settings = plugin::Settings {
            compile_cache_dir: dir.path().join("compiled"),
            ledger: self.ledger.clone(),
            cache: cache.clone(),
            queue: self.embedded.queue.clone(),
            timers: Arc::new(Timers::new(cache, clock.clone())),
            push_bus: Arc::new(LocalPushBus::new(1)),
            statements: self.db.clone(),
            pots: self.db.clone(),
            plugins: self.db.clone(),
            clock,
            mintable_assets: plugin::default_mintable_assets(),
            bounds: plugin::Bounds::default(),
        };
        Arc::new(Registry::start(settings).await.unwrap())
    }

    pub fn cache(&self) -> &dyn Cache {
        self.embedded.cache.as_ref()
    }

    pub async fn credit(&self, account: Account, amount: i64) {
        let credit = Credit {
            event_id: new_id(),
            account,
            amount: Amount(amount),
            event_type: "orderApple".into(),
            order_id: "o".into(),
            transaction_id: "t".into(),
        };
        self.ledger.credit(&credit).await.unwrap();
    }

    pub async fn spendable(&self, account: Account) -> i64 {
        self.ledger.balance(account).await.unwrap().spendable.0
    }

    pub async fn settled(&self, account: Account) -> i64 {
        self.ledger.balance(account).await.unwrap().settled.0
    }

    /// The kinds of differences that reconciliation finds.
    pub async fn differences(&self) -> Vec<String> {
        let reconciler = Reconciler {
            cache: self.embedded.cache.clone(),
            ledger: self.db.clone(),
            deliveries: self.db.clone(),
            outbox: None,
            queue: self.embedded.queue.clone(),
        };
        let report = reconciler.reconcile().await.unwrap();
        let kind = |difference| serde_json::to_value(difference).unwrap()["kind"].as_str().unwrap().to_owned();
        report.differences.iter().map(kind).collect()
    }

    /// Consumes everything that the queue has for the test's group, as a plugin would, without posting it.
    pub async fn deliver(&self) -> Vec<Arc<greenroom::domain::Event>> {
        let mut consumer = self.embedded.queue.subscribe("test", &[TOPIC.into()]).await.unwrap();
        let batch = consumer.poll(1_000, Duration::from_millis(200)).await.unwrap();
        let mut offsets = greenroom::ports::queue::Offsets::new();
        for delivery in &batch {
            let next = offsets.entry(delivery.partition).or_default();
            *next = (*next).max(delivery.offset + 1);
        }
        consumer.commit(offsets).await.unwrap();
        batch.into_iter().map(|delivery| delivery.event).collect()
    }
}

pub fn new_id() -> EventId {
    EventId::new(&uuid::Uuid::now_v7().to_string()).unwrap()
}

pub fn hold(payer: Account, event_id: &EventId, amount: i64) -> Hold {
    Hold {
        event_id: event_id.clone(),
        payer,
        amount: Amount(amount),
        digest: digest(payer, amount),
        plugin: "test".into(),
        counters: Vec::new(),
        topic: TOPIC.into(),
        room_id: None,
        payload: bytes::Bytes::new(),
        now_ms: SystemClock.now_ms(),
    }
}

pub fn digest(payer: Account, amount: i64) -> ContentDigest {
    ContentDigest::of(TOPIC, payer, &amount.to_le_bytes())
}

/// The books of a payment from one account to another.
pub fn posting(payer: Account, receiver: Account, event_id: &EventId, amount: i64) -> Posting {
    Posting {
        event_id: event_id.clone(),
        payer: payer.user_id,
        digest: digest(payer, amount),
        outcome: None,
        entries: vec![
            Entry { account: payer, part: Part::Payer, delta: Amount(-amount) },
            Entry { account: receiver, part: Part::Receiver, delta: Amount(amount) },
        ],
        biz_id: "7".into(),
        biz_type: 1,
        obj_id: "o".into(),
        event_type: "test".into(),
        record_json: "{}".into(),
        at_ms: SystemClock.now_ms(),
    }
}
