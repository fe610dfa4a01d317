//! What a call may do with money, keys, messages and timers, over the real embedded backends and a real database.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod effects;
mod pots;

use std::collections::BTreeSet;
use std::sync::Arc;

use greenroom_manifest::{Grant, Manifest, Role};
use tempfile::TempDir;

use crate::adapters::embedded::{self, Embedded, LocalPushBus, SystemClock};
use crate::adapters::sqlite::Sqlite;
use crate::domain::{self, Amount, AssetType, Event, EventId, UserId};
use crate::ledger::{Credit, Ledger};
use crate::plugin::bindings::greenroom::cache::cache as keys;
use crate::plugin::bindings::greenroom::db::db;
use crate::plugin::bindings::greenroom::ledger::ledger::{
    Account, Entry, Error, HoldOutcome, HoldRequest, Host, Part, PostOutcome, Posting, VoidOutcome,
};
use crate::plugin::bindings::greenroom::mq::mq;
use crate::plugin::bindings::greenroom::timer::timer;
use crate::plugin::bindings::wasi::keyvalue::store;
use crate::plugin::host::{Pots, RememberedRows};
use crate::plugin::limits::{Bounds, Limits};
use crate::plugin::state::{Call, Kind, Ports, Profile, State};
use crate::plugin::{Caller, default_mintable_assets};
use crate::ports::queue::{Delivery, Queue};
use crate::timer::Timers;

const ANNA: i64 = 1001;
const BERT: i64 = 1002;
const GOLD: u32 = 1;
const POINTS: u32 = 3;
const TOPIC: &str = "gift.sent";

struct House {
    dir: TempDir,
    embedded: Embedded,
    ports: Arc<Ports>,
    profile: Arc<Profile>,
}

async fn house() -> House {
    let dir = TempDir::new().unwrap();
    let embedded = embedded::open(embedded::Settings::new(dir.path())).await.unwrap();
    let database = Sqlite::open(&dir.path().join("greenroom.db")).await.unwrap();
    let clock = Arc::new(SystemClock);
    let ledger = Ledger::new(embedded.cache.clone(), database.clone(), database.clone(), clock.clone());
    let ledger = Arc::new(ledger);
    for user in [ANNA, BERT] {
        let credit = Credit {
            event_id: id(&format!("credit-{user}")),
            account: gold(user).into(),
            amount: Amount(1_000),
            event_type: "orderApple".into(),
            order_id: "o".into(),
            transaction_id: "t".into(),
        };
        ledger.credit(&credit).await.unwrap();
    }
    let ports = Arc::new(Ports {
        ledger,
        cache: embedded.cache.clone(),
        timers: Arc::new(Timers::new(embedded.cache.clone(), clock.clone())),
        statements: database.clone(),
        clock,
        mintable_assets: default_mintable_assets(),
        rows: RememberedRows::default(),
        pots: Pots::new(database),
        enabled: std::sync::OnceLock::new(),
        push_bus: Arc::new(LocalPushBus::new(1)),
    });
    House { dir, embedded, ports, profile: Arc::new(profile()) }
}

fn profile() -> Profile {
    let manifest = br#"{ "name": "gift", "version": "1.0.0", "description": "Gifts." }"#;
    let manifest = Manifest::from_json(manifest).unwrap();
    Profile {
        name: "gift".into(),
        version: "1.0.0".into(),
        grants: BTreeSet::from([Grant::Ledger, Grant::Cache, Grant::Mq, Grant::Timer, Grant::Pots]),
        publishes: vec![TOPIC.into()],
        statements: [("one".to_owned(), "SELECT 1".to_owned())].into(),
        remembered: BTreeSet::new(),
        limits: Limits::of(&manifest, &Bounds::default()).unwrap(),
        tick: Bounds::default().tick,
        default_config: "{}".into(),
    }
}

impl House {
    fn call(&self, kind: Kind) -> State {
        let mut state = State::new(Arc::clone(&self.ports), Arc::clone(&self.profile));
        state.call = Call::new(kind, None, &self.profile.limits);
        state
    }

    fn request_of(&self, user: i64) -> State {
        self.call(Kind::Api(Caller { user_id: UserId(user), role: Role::Viewer, level: 0 }))
    }

    /// A consumer's call with the event of a hold of 100 by Anna, as the queue has it.
    async fn batch(&self, topic: &str) -> State {
        let mut consumer = self.embedded.queue.subscribe("gift", &[TOPIC.into()]).await.unwrap();
        held(&mut self.request_of(ANNA), "e1").await;
        let batch = consumer.poll(10, std::time::Duration::from_secs(30)).await.unwrap();
        let renamed = |delivery: Delivery| {
            let event = Event { topic: topic.into(), ..(*delivery.event).clone() };
            Delivery { event: Arc::new(event), ..delivery }
        };
        self.call(Kind::Consume(batch.into_iter().map(renamed).collect()))
    }

    async fn held_by_anna(&self) -> i64 {
        self.ports.ledger.balance(gold(ANNA).into()).await.unwrap().held.0
    }
}

fn id(text: &str) -> EventId {
    EventId::new(text).unwrap()
}

fn gold(user_id: i64) -> Account {
    Account { user_id, asset_type: GOLD }
}

fn hold(payer: i64, event_id: &str) -> HoldRequest {
    HoldRequest {
        event_id: event_id.into(),
        payer: gold(payer),
        amount: 100,
        content: b"100".to_vec(),
        topic: TOPIC.into(),
        payload: Vec::new(),
        counters: Vec::new(),
    }
}

async fn held(state: &mut State, event_id: &str) -> HoldOutcome {
    state.hold(hold(ANNA, event_id)).await.unwrap().unwrap()
}

fn entry(user_id: i64, asset_type: u32, part: Part, delta: i64) -> Entry {
    Entry { account: Account { user_id, asset_type }, part, delta }
}

fn posting(event_id: &str, payer: i64, entries: Vec<Entry>) -> Posting {
    Posting {
        event_id: event_id.into(),
        payer,
        entries,
        biz_id: "7".into(),
        biz_type: 1,
        obj_id: "o".into(),
        event_type: "interactGift".into(),
        record_json: "{}".into(),
    }
}

/// 100 of Anna's: 70 to Bert, 30 to the platform.
fn fair() -> Vec<Entry> {
    vec![entry(ANNA, GOLD, Part::Payer, -100), entry(BERT, GOLD, Part::Receiver, 70), entry(-2, GOLD, Part::System, 30)]
}

fn with(mut entries: Vec<Entry>, more: &[Entry]) -> Vec<Entry> {
    entries.extend_from_slice(more);
    entries
}

#[tokio::test]
async fn only_the_caller_pays_and_only_in_a_request() {
    let house = house().await;
    let mut state = house.request_of(ANNA);
    assert!(matches!(state.hold(hold(BERT, "e1")).await.unwrap(), Err(Error::NotGranted(_))));
    let foreign = HoldRequest { topic: "lottery.sent".into(), ..hold(ANNA, "e1") };
    assert!(matches!(state.hold(foreign).await.unwrap(), Err(Error::NotGranted(_))));
    for amount in [0, -1, i64::MIN] {
        let nothing = HoldRequest { amount, ..hold(ANNA, "e1") };
        assert!(matches!(state.hold(nothing).await.unwrap(), Err(Error::Invalid(_))));
    }
    for kind in [Kind::Told, Kind::Starting, Kind::Consume(Arc::new([]))] {
        let refused = house.call(kind).hold(hold(ANNA, "e1")).await.unwrap();
        assert!(matches!(refused, Err(Error::NotGranted(_))), "{refused:?}");
    }
    assert_eq!(house.held_by_anna().await, 0);
    assert_eq!(held(&mut state, "e1").await.balance, 900);
    assert!(!state.call.positions.is_empty(), "the answer waits for the hold's durability");
    assert!(held(&mut state, "e1").await.replayed);
}

#[tokio::test]
async fn an_outcome_is_found_by_its_content_and_only_an_own_event_is_voided() {
    let house = house().await;
    held(&mut house.request_of(ANNA), "e1").await;
    let mut state = house.request_of(ANNA);
    assert!(matches!(state.void(gold(ANNA), "e1".into()).await.unwrap(), Err(Error::NotGranted(_))));
    assert!(state.find(gold(ANNA), "e2".into(), b"100".to_vec()).await.unwrap().unwrap().is_none());
    let other = state.find(gold(ANNA), "e1".into(), b"200".to_vec()).await.unwrap();
    assert!(matches!(other, Err(Error::EventIdReused)), "{other:?}");
    assert!(matches!(state.find(gold(BERT), "e1".into(), Vec::new()).await.unwrap(), Err(Error::NotGranted(_))));
    assert_eq!(state.find(gold(ANNA), "e1".into(), b"100".to_vec()).await.unwrap().unwrap().unwrap().amount, 100);
    for _ in 0..2 {
        let voided = state.void(gold(ANNA), "e1".into()).await.unwrap().unwrap();
        assert_eq!((voided, house.held_by_anna().await), (VoidOutcome::Voided, 0));
    }
}

#[tokio::test]
async fn books_that_break_a_rule_are_refused_and_change_nothing() {
    let house = house().await;
    let mut state = house.batch(TOPIC).await;
    let payer = |delta| entry(ANNA, GOLD, Part::Payer, delta);
    let mint = |asset, delta| entry(-1, asset, Part::System, delta);
    let back = |delta| entry(ANNA, GOLD, Part::Receiver, delta);
    let bert = |delta| entry(BERT, GOLD, Part::Receiver, delta);
    let wrong = [
        ("not of the batch", posting("e2", ANNA, fair())),
        ("another payer", posting("e1", BERT, fair())),
        ("no entries", posting("e1", ANNA, Vec::new())),
        ("unbalanced", posting("e1", ANNA, vec![payer(-100), entry(BERT, GOLD, Part::Receiver, 70)])),
        ("more than is held", posting("e1", ANNA, vec![payer(-101), entry(BERT, GOLD, Part::Receiver, 101)])),
        ("less than is held", posting("e1", ANNA, vec![payer(-99), entry(BERT, GOLD, Part::Receiver, 99)])),
        ("more than is held, and the rest back", posting("e1", ANNA, vec![payer(-150), back(50), bert(100)])),
        (
            "another's money",
            posting(
                "e1",
                ANNA,
                with(fair(), &[entry(BERT, POINTS, Part::Receiver, -5), entry(ANNA, POINTS, Part::Receiver, 5)]),
            ),
        ),
        ("minted gold", posting("e1", ANNA, with(fair(), &[mint(GOLD, -5), entry(1003, GOLD, Part::Receiver, 5)]))),
        ("minted diamonds", posting("e1", ANNA, with(fair(), &[mint(2, -5), entry(BERT, 2, Part::Receiver, 5)]))),
        ("another system account", posting("e1", ANNA, vec![payer(-100), entry(-3, GOLD, Part::System, 100)])),
        ("nobody's account", posting("e1", ANNA, vec![payer(-100), entry(0, GOLD, Part::Receiver, 100)])),
        ("a user as the system", posting("e1", ANNA, vec![payer(-100), entry(BERT, GOLD, Part::System, 100)])),
        ("the platform as a user", posting("e1", ANNA, vec![payer(-100), entry(-2, GOLD, Part::Receiver, 100)])),
        ("a record that is not JSON", Posting { record_json: "{".into(), ..posting("e1", ANNA, fair()) }),
        ("a long text", Posting { biz_id: "x".repeat(65), ..posting("e1", ANNA, fair()) }),
    ];
    for (what, posting) in wrong {
        let outcomes = state.post(vec![posting]).await.unwrap().unwrap();
        assert!(matches!(outcomes[..], [PostOutcome::Refused(_)]), "{what}: {outcomes:?}");
        assert_eq!(house.held_by_anna().await, 100, "{what}");
    }
    let minted = with(fair(), &[mint(POINTS, -10), entry(ANNA, POINTS, Part::Receiver, 10)]);
    let batch = vec![posting("e2", ANNA, fair()), posting("e1", ANNA, minted.clone()), posting("e1", ANNA, minted)];
    let outcomes = state.post(batch).await.unwrap().unwrap();
    let fine = matches!(outcomes[..], [PostOutcome::Refused(_), PostOutcome::Posted, PostOutcome::Duplicate]);
    assert!(fine, "{outcomes:?}");
    assert_eq!(house.held_by_anna().await, 0);
    let points = domain::Account { user_id: UserId(ANNA), asset_type: AssetType(POINTS) };
    assert_eq!(house.ports.ledger.balance(points).await.unwrap().settled.0, 10);
    let posted = state.void(gold(ANNA), "e1".into()).await.unwrap().unwrap();
    assert_eq!(posted, VoidOutcome::AlreadyPosted);
}

#[tokio::test]
async fn another_plugins_event_is_neither_posted_nor_voided_and_a_request_posts_nothing() {
    let house = house().await;
    let mut state = house.batch("lottery.sent").await;
    let outcomes = state.post(vec![posting("e1", ANNA, fair())]).await.unwrap().unwrap();
    assert!(matches!(&outcomes[..], [PostOutcome::Refused(why)] if why.contains("another plugin's")), "{outcomes:?}");
    assert!(matches!(state.void(gold(ANNA), "e1".into()).await.unwrap(), Err(Error::NotGranted(_))));
    let refused = house.request_of(ANNA).post(vec![posting("e1", ANNA, fair())]).await.unwrap();
    assert!(matches!(refused, Err(Error::NotGranted(_))));
    assert_eq!(house.held_by_anna().await, 100);
}

#[tokio::test]
async fn keys_are_kept_under_either_interface_and_messages_reach_the_queue() {
    let house = house().await;
    let mut consumer = house.embedded.queue.subscribe("gift", &[TOPIC.into()]).await.unwrap();
    let mut state = house.request_of(ANNA);
    let opened = store::Host::open(&mut state, "shard".into()).await.unwrap().unwrap();
    let handle = opened.rep();
    store::HostBucket::set(&mut state, opened, "key".into(), b"value".to_vec()).await.unwrap().unwrap();
    let got = keys::Host::get(&mut state, "shard".into(), "key".into()).await.unwrap().unwrap();
    assert_eq!(got.as_deref(), Some(&b"value"[..]));
    let again = wasmtime::component::Resource::new_borrow(handle);
    let listed = store::HostBucket::list_keys(&mut state, again, None).await.unwrap().unwrap();
    assert_eq!(listed.keys, ["key"]);
    let foreign = mq::Host::publish(&mut state, "lottery.sent".into(), "k".into(), "m1".into(), Vec::new());
    assert!(matches!(foreign.await.unwrap(), Err(mq::Error::NotGranted(_))));
    let sent = mq::Host::publish(&mut state, TOPIC.into(), "k".into(), "m1".into(), b"hello".to_vec());
    sent.await.unwrap().unwrap();
    let batch = consumer.poll(10, std::time::Duration::from_secs(30)).await.unwrap();
    assert_eq!((batch.len(), &batch[0].event.payload[..]), (1, &b"hello"[..]));
    assert!(batch[0].event.held.is_none());
}

#[tokio::test]
async fn many_counters_and_keys_are_read_in_one_call_in_their_order() {
    let house = house().await;
    let mut state = house.request_of(ANNA);
    let shard = |number: i64| format!("poll/{number}");
    for number in 0..64 {
        let add = keys::Add { key: "yes".into(), delta: number, max: None, ttl_ms: None };
        let put = keys::Put { key: "who".into(), value: number.to_string().into_bytes(), ttl_ms: None };
        let writes = vec![keys::Write::Add(add), keys::Write::Put(put)];
        keys::Host::commit(&mut state, shard(number), None, Vec::new(), writes).await.unwrap().unwrap();
    }
    let named = |key: &str| (0..70).rev().map(|number| (shard(number), key.to_owned())).collect::<Vec<_>>();
    let counters = keys::Host::get_counters(&mut state, named("yes")).await.unwrap().unwrap();
    assert_eq!(counters, (0..70).rev().map(|number| if number < 64 { number } else { 0 }).collect::<Vec<_>>());
    let values = keys::Host::get_many(&mut state, named("who")).await.unwrap().unwrap();
    let expected = (0..70).rev().map(|number| (number < 64).then(|| number.to_string().into_bytes()));
    assert_eq!(values, expected.collect::<Vec<_>>());
    let wrong = keys::Host::get_counters(&mut state, named("who")).await.unwrap();
    assert!(matches!(wrong, Err(keys::Error::WrongKind(_))), "{wrong:?}");
    let too_many = vec![(shard(0), "yes".to_owned()); 4_097];
    assert!(matches!(keys::Host::get_counters(&mut state, too_many).await.unwrap(), Err(keys::Error::Invalid(_))));
    let left = state.call.host_calls_left;
    keys::Host::get_counters(&mut state, named("yes")).await.unwrap().unwrap();
    assert_eq!(state.call.host_calls_left, left - 1, "one host call, however many counters");
}

#[tokio::test]
async fn a_call_without_a_room_sets_no_timer_and_one_without_the_grant_reads_no_table() {
    let house = house().await;
    let mut state = house.request_of(ANNA);
    let homeless = timer::Host::set(&mut state, "key".into(), 1, Vec::new()).await.unwrap();
    assert!(matches!(homeless, Err(timer::Error::NoRoom)));
    let ungranted = db::Host::query(&mut state, "one".into(), Vec::new()).await.unwrap();
    assert!(matches!(ungranted, Err(db::Error::NotGranted(_))));
    let mut granted = profile();
    granted.grants.insert(Grant::Db);
    let mut state = State::new(Arc::clone(&house.ports), Arc::new(granted));
    state.call.kind = Kind::Told;
    let rows = db::Host::query(&mut state, "one".into(), Vec::new()).await.unwrap().unwrap();
    assert!(matches!(rows[0][..], [db::Value::Integer(1)]));
    let unknown = db::Host::query(&mut state, "two".into(), Vec::new()).await.unwrap();
    assert!(matches!(unknown, Err(db::Error::UnknownStatement(_))));
}
