//! Another copy of the data takes over: a server that starts again, and replicas that are promoted, be they as far as their master or
//! not. What the copy has of an epoch is none, so nobody can spend there what may be spent already, until a relay has recovered it.

use std::sync::Arc;
use std::time::Duration;

use greenroom::adapters::embedded::{self, SystemClock};
use greenroom::adapters::redis::Settings;
use greenroom::adapters::sqlite::Sqlite;
use greenroom::domain::{Account, Amount, Entry, Outcome, Part, Posting, UserId};
use greenroom::ledger::Ledger;
use greenroom::ports::cache::{Cache, CommitResult, Error, HoldResult, Write};
use greenroom::ports::db::{Database as _, Ledger as _};
use greenroom::ports::outbox::Outbox;
use greenroom::ports::queue::{Offsets, Queue};
use greenroom::relay::{self, Relay};

use crate::fixture::*;
use crate::key_space::commit_of;
use crate::redis_backend::{Backend, RELAY_TTL, begin, join, page_of, remove, single};
use crate::redis_faults::administrator;
use crate::redis_server::RedisServer;

/// As the host is given it: the address of whichever server has the role of master now.
fn at(server: &RedisServer, settings: &Settings) -> Settings {
    Settings { urls: vec![server.url()], ..settings.clone() }
}

fn alone() -> Settings {
    Settings { buckets: 1, ..single() }
}

/// The bucket refuses whatever moves money or writes, and lets nobody load or see a balance.
async fn assert_closed(backend: &Backend, payer: Account) {
    let cache = &backend.cache;
    assert_eq!(cache.hold_now(hold_of(payer, "new", 1)).await.unwrap(), HoldResult::Recovering);
    assert_eq!(cache.account(payer).await.unwrap(), None);
    assert_eq!(cache.accounts().await.unwrap(), []);
    assert_eq!(cache.lease(payer).await.unwrap(), None);
    let write = Write::Add { key: "n".into(), delta: 1, max: None, ttl_ms: None };
    let refused = cache.commit(commit_of(&new_shard("p"), vec![write.clone()])).await;
    assert!(matches!(refused, Err(Error::Recovering)), "{refused:?}");
}

/// What a relay does: it finds no epoch, carries what the outbox has, and sets one.
async fn recover(backend: &Backend) -> usize {
    let mut taken = None;
    // A copy may have the lease of a relay that is no more.
    while taken.is_none() {
        taken = backend.outbox.lease(0, RELAY_TTL).await.unwrap();
    }
    let lease = taken.unwrap();
    let page = page_of(&backend.outbox, lease, 100).await;
    assert!(!page.has_epoch);
    if let Some((last, _)) = page.entries.last() {
        assert!(backend.outbox.set_epoch(lease, &page.history).await.is_err(), "there is something to carry");
        assert!(remove(&backend.outbox, lease, last).await);
    }
    assert!(backend.outbox.set_epoch(lease, &page.history).await.unwrap());
    backend.outbox.give_back(lease).await.unwrap();
    page.entries.len()
}

/// The bucket has recovered: accounts are loaded anew, and everything works.
async fn assert_open(backend: &Backend, payer: Account, balance: i64) {
    let cache = &backend.cache;
    assert_eq!(cache.hold_now(hold_of(payer, "new", 1)).await.unwrap(), HoldResult::Miss);
    fill(&**cache, payer, balance, 9).await;
    let write = Write::Add { key: "n".into(), delta: 1, max: None, ttl_ms: None };
    let made = cache.commit(commit_of(&new_shard("p"), vec![write])).await.unwrap();
    assert!(matches!(made, CommitResult::Applied(..)));
    let refused = cache.hold_now(hold_of(payer, "new", balance + 1)).await.unwrap();
    assert_eq!(refused, HoldResult::Insufficient(Amount(balance)));
    held(&**cache, hold_of(payer, "new", balance)).await;
}

#[tokio::test]
async fn a_server_that_starts_again_with_its_data_is_closed_until_a_relay_has_recovered_it() {
    let mut server = RedisServer::start(&["--appendfsync", "always"]).await;
    let backend = begin(at(&server, &alone())).await;
    let payer = funded(&*backend.cache, 100).await;
    let (outcome, _) = held(&*backend.cache, hold_of(payer, "a", 30)).await;
    server.kill();
    assert!(backend.cache.hold_now(hold_of(payer, "new", 1)).await.is_err());
    server.start_again().await;
    let backend = join(&backend.settings).await;
    assert_closed(&backend, payer).await;
    let known = backend.cache.hold_now(hold_of(payer, "a", 30)).await.unwrap();
    assert!(matches!(known, HoldResult::Replayed(again, _) if again == outcome), "what is known is known");
    assert_eq!(recover(&backend).await, 1);
    assert_open(&backend, payer, 70).await;
}

/// Asks for a hold until the answer is this one.
async fn wait_for(cache: &dyn Cache, payer: Account, wanted: HoldResult) {
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    loop {
        let found = cache.hold_now(hold_of(payer, "new", 1)).await;
        if matches!(&found, Ok(found) if *found == wanted) {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "never {wanted:?}: {found:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_relay_recovers_a_server_that_starts_again_once_what_it_had_is_settled() {
    let mut server = RedisServer::start(&["--appendfsync", "always"]).await;
    let backend = join(&at(&server, &alone())).await;
    let folder = tempfile::tempdir().unwrap();
    let journal = embedded::open(embedded::Settings::new(folder.path())).await.unwrap();
    let settings = relay::Settings {
        lease_ttl: Duration::from_secs(2),
        renew_every: Duration::from_millis(500),
        publish_max: Duration::from_millis(500),
        ..relay::Settings::default()
    };
    let queue = journal.queue.clone();
    let mut consumer = queue.subscribe("gift", &["gift.sent".into()]).await.unwrap();
    let relay = Relay { outbox: backend.outbox.clone(), queue, clock: Arc::new(SystemClock), settings };
    let stop = tokio_util::sync::CancellationToken::new();
    let relay = tokio::spawn(relay.run(stop.clone()));
    let (cache, payer) = (&*backend.cache, new_account());
    wait_for(cache, payer, HoldResult::Miss).await;
    fill(cache, payer, 100, 1).await;
    held(cache, hold_of(payer, "a", 30)).await;

    server.kill();
    server.start_again().await;
    wait_for(cache, payer, HoldResult::Recovering).await;
    let delivered = consumer.poll(10, Duration::from_secs(30)).await.unwrap();
    assert_eq!(delivered[0].event.event_id, event_id("a"), "what it had in its outbox is carried");
    // Longer than a recovery takes otherwise.
    tokio::time::sleep(Duration::from_secs(4)).await;
    wait_for(cache, payer, HoldResult::Recovering).await;
    // It may have been carried twice: before the end of the server, and after.
    let mut offsets: Offsets = [(delivered[0].partition, delivered[0].offset + 1)].into();
    for again in consumer.poll(10, Duration::ZERO).await.unwrap() {
        offsets.insert(again.partition, again.offset + 1);
    }
    consumer.commit(offsets).await.unwrap();
    wait_for(cache, payer, HoldResult::Miss).await;
    assert_open(&backend, payer, 70).await;
    stop.cancel();
    relay.await.unwrap();
    journal.close().await.unwrap();
}

#[tokio::test]
async fn a_replica_that_is_behind_and_takes_over_cannot_spend_what_its_master_spent() {
    let (mut x, y) = (RedisServer::start(&[]).await, RedisServer::start(&[]).await);
    // The first replica of a server begins a history, so it is there before the epoch is set.
    y.follow(&x).await;
    let master = begin(at(&x, &alone())).await;
    let payer = funded(&*master.cache, 100).await;
    y.follow(&x).await;
    y.promote().await;
    held(&*master.cache, hold_of(payer, "a", 100)).await;
    x.kill();
    let promoted = join(&at(&y, &master.settings)).await;
    assert_closed(&promoted, payer).await;
    assert_eq!(recover(&promoted).await, 0);
    // The event of the old master was carried and settled before its end.
    assert_eq!(promoted.cache.hold_now(hold_of(payer, "b", 1)).await.unwrap(), HoldResult::Miss);
    fill(&*promoted.cache, payer, 0, 2).await;
    let refused = promoted.cache.hold_now(hold_of(payer, "b", 1)).await.unwrap();
    assert_eq!(refused, HoldResult::Insufficient(Amount(0)));
}

/// The run id of a server would not tell: it is that of the first time.
#[tokio::test]
async fn a_master_that_was_a_replica_in_between_has_no_epoch_of_its_first_time() {
    let (x, y) = (RedisServer::start(&[]).await, RedisServer::start(&[]).await);
    y.follow(&x).await;
    let first = begin(at(&x, &alone())).await;
    let payer = funded(&*first.cache, 100).await;
    y.follow(&x).await;
    y.promote().await;
    let second = join(&at(&y, &first.settings)).await;
    assert_closed(&second, payer).await;
    recover(&second).await;
    fill(&*second.cache, payer, 100, 1).await;
    x.follow(&y).await;
    x.promote().await;
    held(&*second.cache, hold_of(payer, "a", 100)).await;
    let third = join(&first.settings).await;
    assert_closed(&third, payer).await;
    assert_closed(&first, payer).await;
    recover(&third).await;
    assert_open(&third, payer, 7).await;
}

#[tokio::test]
async fn a_recovery_that_was_seen_to_on_one_server_does_not_end_on_another() {
    let (x, y) = (RedisServer::start(&[]).await, RedisServer::start(&[]).await);
    y.follow(&x).await;
    let first = join(&at(&x, &alone())).await;
    let lease = first.outbox.lease(0, RELAY_TTL).await.unwrap().unwrap();
    let page = page_of(&first.outbox, lease, 1).await;
    y.follow(&x).await;
    y.promote().await;
    let second = join(&at(&y, &first.settings)).await;
    assert!(second.outbox.renew(lease, RELAY_TTL).await.unwrap(), "the copy has the lease");
    assert!(second.outbox.set_epoch(lease, &page.history).await.is_err());
    let page = page_of(&second.outbox, lease, 1).await;
    assert!(second.outbox.set_epoch(lease, &page.history).await.unwrap());
}

/// A cluster of one master and one replica, which takes over without asking anybody.
#[tokio::test]
async fn a_replica_of_a_cluster_that_is_behind_and_takes_over_is_closed_until_it_has_recovered() {
    const CLUSTER: &[&str] = &["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"];
    let (mut x, y) = (RedisServer::start(CLUSTER).await, RedisServer::start(CLUSTER).await);
    x.ask::<()>(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]).await.unwrap();
    y.ask::<()>(&["CLUSTER", "MEET", "127.0.0.1", &x.port().to_string()]).await.unwrap();
    y.wait_for(&["CLUSTER", "INFO"], |info| info.contains("cluster_state:ok")).await;
    let id: String = x.ask(&["CLUSTER", "MYID"]).await.unwrap();
    y.ask::<()>(&["CLUSTER", "REPLICATE", &id]).await.unwrap();
    y.wait_until_it_follows().await;
    x.wait_for(&["CLUSTER", "NODES"], |nodes| nodes.contains("slave")).await;

    let settings = Settings { urls: vec![x.url(), y.url()], is_cluster: true, ..alone() };
    let backend = begin(settings).await;
    let payer = funded(&*backend.cache, 100).await;
    // The replica is sent away from now on: its master has no password to check.
    y.ask::<()>(&["CONFIG", "SET", "masterauth", "wrong"]).await.unwrap();
    x.ask::<()>(&["CLIENT", "KILL", "TYPE", "replica"]).await.unwrap();
    y.wait_for(&["INFO", "replication"], |info| info.contains("master_link_status:down")).await;
    held(&*backend.cache, hold_of(payer, "a", 100)).await;
    x.kill();
    y.ask::<()>(&["CLUSTER", "FAILOVER", "TAKEOVER"]).await.unwrap();
    y.wait_for(&["CLUSTER", "INFO"], |info| info.contains("cluster_state:ok")).await;
    y.wait_for(&["INFO", "replication"], |info| info.contains("role:master")).await;

    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    let found = loop {
        match backend.cache.hold_now(hold_of(payer, "b", 1)).await {
            Ok(found) => break found,
            Err(error) => assert!(std::time::Instant::now() < deadline, "the client does not follow: {error}"),
        }
    };
    assert_eq!(found, HoldResult::Recovering);
    assert_closed(&backend, payer).await;
    assert_eq!(recover(&backend).await, 0);
    assert_open(&backend, payer, 3).await;
}

/// The database knows an event that the cache has lost. A process that remembers the epoch before the loss would take the id, which is
/// newer than that epoch, for one that the cache must know, and hold it a second time.
#[tokio::test]
async fn an_event_that_was_lost_and_settled_is_answered_as_then_by_who_remembers_the_epoch_before() {
    const AN_HOUR_US: u64 = 3_600_000_000;
    let folder = tempfile::tempdir().unwrap();
    let db = Sqlite::open(&folder.path().join("greenroom.db")).await.unwrap();
    let backend = begin(alone()).await;
    let payer = new_account();
    let number = backend.cache.epoch(payer.user_id).await.unwrap().number;
    // Clients' clocks are trusted by some minutes: an epoch that is older than that.
    let mut administrator = administrator(&backend.settings.urls[0]).await;
    let key = format!("{{{}:b0}}:epoch", backend.settings.prefix);
    let epoch: String = redis::cmd("GET").arg(&key).query_async(&mut administrator).await.unwrap();
    let older = epoch.replace(&number.to_string(), &(number - AN_HOUR_US).to_string());
    redis::cmd("SET").arg(&key).arg(&older).exec_async(&mut administrator).await.unwrap();
    let other = join(&backend.settings).await;
    other.cache.epoch(payer.user_id).await.unwrap();
    let ledger = Ledger::new(other.cache.clone(), db.clone(), db.clone(), Arc::new(SystemClock));

    let id = uuid::Uuid::now_v7().to_string();
    let posting = posting_of(payer, &id, 30);
    let outcome = posting.outcome.clone().unwrap();
    db.post(&[posting]).await.unwrap();
    let relay = backend.outbox.lease(0, RELAY_TTL).await.unwrap().unwrap();
    backend.recover_again(relay).await;
    fill(&*backend.cache, payer, 70, 2).await;
    let answer = ledger.hold(hold_of(payer, &id, 30)).await.unwrap();
    assert_eq!((answer.outcome, answer.replayed), (outcome, true));
    assert_eq!(backend.cache.account(payer).await.unwrap().unwrap().held, Amount(0));
    db.close().await;
}

/// The books of a hold.
fn posting_of(payer: Account, id: &str, amount: i64) -> Posting {
    let hold = hold_of(payer, id, amount);
    let receiver = Account { user_id: UserId(1), ..payer };
    Posting {
        event_id: hold.event_id,
        payer: payer.user_id,
        digest: hold.digest,
        outcome: Some(Outcome { amount: hold.amount, balance: Amount(70), counters: Vec::new() }),
        entries: vec![
            Entry { account: payer, part: Part::Payer, delta: Amount(-amount) },
            Entry { account: receiver, part: Part::Receiver, delta: Amount(amount) },
        ],
        biz_id: "7".into(),
        biz_type: 1,
        obj_id: "2002".into(),
        event_type: "interactGift".into(),
        record_json: "{}".into(),
        at_ms: NOW_MS,
    }
}
