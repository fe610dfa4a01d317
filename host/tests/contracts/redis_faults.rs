//! What Redis itself may do to the cache: forget, restart, cut connections; and numbers that its scripts cannot hold.

use std::sync::Arc;
use std::time::Duration;

use greenroom::adapters::redis::{Durability, Settings};
use greenroom::domain::{Amount, EventId};
use greenroom::ports::cache::{Cache, CachedAccount, CommitResult, Error, HoldResult, Release, Write};
use greenroom::ports::outbox::Outbox;
use greenroom::ports::push_bus::PushBus as _;
use redis::aio::MultiplexedConnection;

use crate::fixture::*;
use crate::key_space::commit_of;
use crate::outage;
use crate::proxy::{Proxy, Service};
use crate::push_bus::message;
use crate::redis_backend::{
    Backend, RELAY_TTL, begin, cluster, join, open_cluster, open_single, page_of, single, single_url,
};

/// A connection of an administrator.
pub(crate) async fn administrator(url: &str) -> MultiplexedConnection {
    let patient = redis::AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_secs(30)));
    redis::Client::open(url).unwrap().get_multiplexed_async_connection_with_config(&patient).await.unwrap()
}

/// A logical database of the test's own, so that what is done to all of it is done to nobody else.
pub(crate) fn of_its_own(database: u8) -> Settings {
    Settings { urls: vec![format!("{}/{database}", single_url())], ..single() }
}

/// Cuts every connection to a logical database but the administrator's own.
pub(crate) async fn cut(administrator: &mut MultiplexedConnection, database: u8) -> usize {
    let list: String = redis::cmd("CLIENT").arg("LIST").query_async(administrator).await.unwrap();
    let own: u64 = redis::cmd("CLIENT").arg("ID").query_async(administrator).await.unwrap();
    let mut cut = 0;
    for client in list.lines().filter(|client| client.contains(&format!(" db={database} "))) {
        let id: u64 = client.split(' ').next().unwrap().strip_prefix("id=").unwrap().parse().unwrap();
        if id != own {
            let killed: u64 =
                redis::cmd("CLIENT").arg("KILL").arg("ID").arg(id).query_async(administrator).await.unwrap();
            cut += usize::try_from(killed).unwrap();
        }
    }
    cut
}

/// As a user of the test's own on every node, so that just its connections can be cut.
pub(crate) async fn as_a_user(settings: Settings, rights: &[&str]) -> (Settings, String) {
    let user = new_name("user");
    let mut urls = Vec::new();
    for url in &settings.urls {
        let mut acl = redis::cmd("ACL");
        acl.arg("SETUSER").arg(&user).arg(&["on", ">secret", "~*", "&*", "+@all"]).arg(rights);
        acl.exec_async(&mut administrator(url).await).await.unwrap();
        urls.push(url.replace("redis://", &format!("redis://{user}:secret@")));
    }
    (Settings { urls, ..settings }, user)
}

/// Cuts every connection of a user, on every node.
pub(crate) async fn cut_user(urls: &[String], user: &str) -> u64 {
    let mut cut = 0;
    for url in urls {
        let node = format!("redis://{}", url.rsplit('@').next().unwrap());
        let mut kill = redis::cmd("CLIENT");
        kill.arg("KILL").arg("USER").arg(user);
        cut += kill.query_async::<u64>(&mut administrator(&node).await).await.unwrap();
    }
    cut
}

#[tokio::test]
async fn a_server_that_was_flushed_refuses_until_it_has_recovered() {
    let backend = begin(of_its_own(8)).await;
    let cache = &backend.cache;
    let payer = funded(&**cache, 100).await;
    held(&**cache, hold_of(payer, "a", 30)).await;
    let lease = backend.outbox.lease(0, RELAY_TTL).await.unwrap().unwrap();
    let mut administrator = administrator(&backend.settings.urls[0]).await;
    redis::cmd("FLUSHDB").exec_async(&mut administrator).await.unwrap();
    assert_eq!(cache.hold_now(hold_of(payer, "b", 1)).await.unwrap(), HoldResult::Recovering);
    assert_eq!(cache.lease(payer).await.unwrap(), None);
    cache
        .release(vec![Release { account: payer, events: vec![event_id("a")], settled: Some(settled(70, 2)) }])
        .await
        .unwrap();
    let page = page_of(&backend.outbox, lease, 1).await;
    assert_eq!((page.has_epoch, page.last), (false, None));
    assert!(!backend.outbox.set_epoch(lease, &page.history).await.unwrap(), "the lease is lost, too");
    let again = backend.outbox.lease(0, RELAY_TTL).await.unwrap().unwrap();
    assert!(again.token > lease.token, "also when the last token is forgotten");
    backend.outbox.give_back(again).await.unwrap();
    backend.recover().await;
    fill(&**cache, payer, 70, 2).await;
    held(&**cache, hold_of(payer, "b", 70)).await;
}

#[tokio::test]
async fn a_step_that_the_server_has_lost_is_not_told_of() {
    let backend = begin(Settings { durability: Durability::Queued, ..of_its_own(9) }).await;
    let payer = funded(&*backend.cache, 100).await;
    let (_, position) = held(&*backend.cache, hold_of(payer, "a", 30)).await;
    let mut administrator = administrator(&backend.settings.urls[0]).await;
    redis::cmd("FLUSHDB").exec_async(&mut administrator).await.unwrap();
    assert!(matches!(backend.cache.durable(position).await, Err(Error::Unavailable(_))));
}

#[tokio::test]
async fn a_server_that_has_forgotten_the_scripts_is_taught_them_again() {
    for backend in [open_single().await, open_cluster().await] {
        let payer = funded(&*backend.cache, 100).await;
        held(&*backend.cache, hold_of(payer, "a", 30)).await;
        for url in &backend.settings.urls {
            redis::cmd("SCRIPT").arg("FLUSH").exec_async(&mut administrator(url).await).await.unwrap();
        }
        held(&*backend.cache, hold_of(payer, "b", 30)).await;
        backend
            .cache
            .release(vec![Release {
                account: payer,
                events: vec![event_id("a"), event_id("b")],
                settled: Some(settled(40, 2)),
            }])
            .await
            .unwrap();
        assert_eq!(backend.cache.account(payer).await.unwrap().unwrap().held, Amount(0));
    }
}

#[tokio::test]
async fn a_connection_that_was_cut_comes_back_and_no_answer_means_ask_again() {
    let backend = begin(Settings { call_timeout: Duration::from_secs(2), ..of_its_own(10) }).await;
    let payer = funded(&*backend.cache, 1_000).await;
    let mut administrator = administrator(&backend.settings.urls[0]).await;
    let mut refused = 0;
    for number in 0..100 {
        if number % 10 == 5 {
            assert!(cut(&mut administrator, 10).await > 0);
        }
        let hold = hold_of(payer, &number.to_string(), 1);
        loop {
            match backend.cache.hold_now(hold.clone()).await {
                Ok(HoldResult::Held(..) | HoldResult::Replayed(..)) => break,
                Err(Error::Unavailable(_)) => refused += 1,
                other => panic!("{other:?}"),
            }
        }
    }
    assert!(refused < 1_000);
    assert_eq!(backend.cache.account(payer).await.unwrap().unwrap().held, Amount(100));
}

#[tokio::test]
async fn a_server_that_is_not_there_is_said_to_be_unavailable() {
    let settings = Settings {
        connect_timeout: Duration::from_millis(300),
        ..Settings::new(vec!["redis://127.0.0.1:1".into()], false)
    };
    let refused = greenroom::adapters::redis::open(settings).await;
    assert!(matches!(refused, Err(greenroom::adapters::redis::Error::Unavailable(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_silent_costs_no_waiting_once_its_circuit_is_open() {
    let url = single_url();
    let proxy = Proxy::open(Service::Plain, url.trim_start_matches("redis://").split('/').next().unwrap()).await;
    let limit = Duration::from_millis(400);
    let urls = vec![format!("redis://{}", proxy.address())];
    let backend = begin(Settings { urls, call_timeout: limit, connect_timeout: limit, ..single() }).await;
    let payer = funded(&*backend.cache, 100).await;
    held(&*backend.cache, hold_of(payer, "a", 30)).await;
    outage::is_borne(&backend.guards[0], &proxy, async || backend.cache.account(payer).await.map(drop)).await;
    assert_eq!(backend.cache.account(payer).await.unwrap().unwrap().held, Amount(30));
    let push = async || backend.push_bus.publish(vec![message(1, 1)]).await;
    outage::is_borne(&backend.guards[1], &proxy, push).await;
}

#[tokio::test]
async fn balances_are_exact_to_the_last_unit_of_64_bits() {
    let backend = open_single().await;
    let cache = &backend.cache;
    for balance in
        [i64::MAX, i64::MAX - 1, 1 << 53, (1 << 53) + 1, (1 << 53) + 3, 999_999_999_999_999, 1_000_000_000_000_000]
    {
        let payer = funded(&**cache, balance).await;
        let (outcome, _) = held(&**cache, hold_of(payer, "a", 1)).await;
        assert_eq!(outcome.balance, Amount(balance - 1));
        if balance < i64::MAX {
            let result = cache.hold_now(hold_of(payer, "b", balance)).await.unwrap();
            assert_eq!(result, HoldResult::Insufficient(Amount(balance - 1)));
        }
        let (outcome, _) = held(&**cache, hold_of(payer, "c", balance - 1)).await;
        assert_eq!(outcome.balance, Amount(0));
        assert_eq!(cache.hold_now(hold_of(payer, "d", 1)).await.unwrap(), HoldResult::Insufficient(Amount(0)));
        assert_eq!(cache.account(payer).await.unwrap().unwrap().held, Amount(balance));
        cache
            .release(vec![Release { account: payer, events: vec![event_id("c")], settled: Some(settled(balance, 1)) }])
            .await
            .unwrap();
        let account = CachedAccount { settled: settled(balance, 1), held: Amount(1) };
        assert_eq!(cache.account(payer).await.unwrap(), Some(account));
        cache
            .release(vec![Release {
                account: payer,
                events: vec![event_id("a")],
                settled: Some(settled(i64::MIN, i64::MAX)),
            }])
            .await
            .unwrap();
        let account = CachedAccount { settled: settled(i64::MIN, i64::MAX), held: Amount(0) };
        assert_eq!(cache.account(payer).await.unwrap(), Some(account));
        assert_eq!(cache.hold_now(hold_of(payer, "e", 1)).await.unwrap(), HoldResult::Insufficient(Amount(i64::MIN)));
    }
}

#[tokio::test]
async fn counters_and_scores_are_exact_to_the_last_unit_of_64_bits() {
    let backend = open_single().await;
    let (cache, shard) = (&backend.cache, new_shard("p"));
    let add = |delta, max| Write::Add { key: "c".into(), delta, max, ttl_ms: None };
    let apply = async |writes| match cache.commit(commit_of(&shard, writes)).await.unwrap() {
        CommitResult::Applied(numbers, _) => Ok(numbers),
        CommitResult::LimitReached(index) => Err(index),
        other => panic!("{other:?}"),
    };
    assert_eq!(apply(vec![add(i64::MAX, None)]).await, Ok(vec![i64::MAX]));
    assert_eq!(apply(vec![add(-1, None), add(2, None)]).await, Err(1));
    assert_eq!(apply(vec![add(-1, None), add(1, Some(i64::MAX - 1))]).await, Err(1));
    assert_eq!(apply(vec![add(i64::MIN, None)]).await, Ok(vec![-1]));
    assert_eq!(apply(vec![add(i64::MIN + 1, None), add(-1, None)]).await, Err(1));
    let scores =
        [i64::MIN, i64::MIN + 1, -(1 << 53) - 1, -10, -9, -1, 0, 1, 9, 10, (1 << 53) + 1, i64::MAX - 1, i64::MAX];
    let set = |score: &i64| Write::RankSet { key: "r".into(), member: format!("m{score}").into(), score: *score };
    apply(scores.iter().map(set).collect()).await.unwrap();
    let top = cache.top(&shard, "r", 0, 100, NOW_MS).await.unwrap();
    let mut expected = scores;
    expected.reverse();
    assert_eq!(top.iter().map(|place| place.score).collect::<Vec<_>>(), expected);
    assert!(top.iter().all(|place| *place.member == format!("m{}", place.score)));
}

/// The reckoning of the scripts against Rust's.
#[tokio::test]
async fn the_scripts_reckon_as_rust_does() {
    let text = include_str!("../../src/adapters/redis/lua/int64.lua").to_owned()
        + "local a, b = ARGV[1], ARGV[2]
           return { add(a, b) or '', less(a, b) and 1 or 0, minus(a, is_positive(b) and b or '0') }";
    let mut administrator = administrator(&single_url()).await;
    let edges = [i64::MIN, i64::MIN + 1, -(1 << 53), -1_000_000_000_000_000, -999_999_999_999_999, -1, 0, 1, 7];
    let mut numbers: Vec<i64> = edges.iter().flat_map(|edge| [*edge, edge.saturating_neg()]).collect();
    numbers.extend((0..40).map(|_| rand::random::<i64>() >> rand::random_range(0..63)));
    for a in &numbers {
        let mut pipeline = redis::pipe();
        for b in &numbers {
            pipeline.cmd("EVAL").arg(&text).arg(0).arg(*a).arg(*b);
        }
        let found: Vec<(String, u8, String)> = pipeline.query_async(&mut administrator).await.unwrap();
        for (b, (sum, is_less, difference)) in numbers.iter().zip(found) {
            assert_eq!(sum, a.checked_add(*b).map(|sum| sum.to_string()).unwrap_or_default(), "{a} + {b}");
            assert_eq!(is_less == 1, a < b, "{a} < {b}");
            assert_eq!(difference, a.saturating_sub(*b.max(&0)).to_string(), "{a} - {b}");
        }
    }
}

/// Commits have no event id: that one is made once although the cluster's client asks again is for the script to see to.
#[tokio::test]
async fn a_commit_is_made_once_in_a_cluster_whose_connections_are_cut() {
    const COMMITS: i64 = 300;
    let (settings, user) = as_a_user(cluster(), &[]).await;
    let backend = begin(settings).await;
    let shard = new_shard("p");
    let stop = tokio_util::sync::CancellationToken::new();
    let cutting = tokio::spawn({
        let (urls, stop) = (backend.settings.urls.clone(), stop.clone());
        async move {
            let mut cut = 0;
            while !stop.is_cancelled() {
                cut += cut_user(&urls, &user).await;
            }
            cut
        }
    });
    let (mut made, mut unknown) = (0, 0);
    for _ in 0..COMMITS {
        let add = Write::Add { key: "n".into(), delta: 1, max: None, ttl_ms: None };
        match backend.cache.commit(commit_of(&shard, vec![add])).await {
            Ok(CommitResult::Applied(..)) => made += 1,
            Err(Error::Unavailable(_)) => unknown += 1,
            other => panic!("{other:?}"),
        }
    }
    stop.cancel();
    assert!(cutting.await.unwrap() > 0);
    let mut counter = backend.cache.counter(&shard, "n", NOW_MS).await;
    while counter.is_err() {
        counter = backend.cache.counter(&shard, "n", NOW_MS).await;
    }
    let counter = counter.unwrap();
    assert!((made..=made + unknown).contains(&counter), "{counter} of {made} made and {unknown} unknown");
    assert!(made > 0);
}

async fn spend(cache: Arc<dyn Cache>, payer: greenroom::domain::Account, process: usize) -> i64 {
    let mut spent = 0;
    for number in 0..200 {
        // Every third event is sent to both processes.
        let id = if number % 3 == 0 { format!("both-{number}") } else { format!("{process}-{number}") };
        match cache.hold_now(hold_of(payer, &id, 1 + number % 4)).await.unwrap() {
            HoldResult::Held(outcome, _) => spent += outcome.amount.0,
            HoldResult::Replayed(..) | HoldResult::Insufficient(_) => {}
            other => panic!("{other:?}"),
        }
    }
    spent
}

async fn two_processes_never_overdraw(backend: Backend) {
    const BALANCE: i64 = 300;
    let other = join(&backend.settings).await;
    let payer = funded(&*backend.cache, BALANCE).await;
    let one: Arc<dyn Cache> = backend.cache.clone();
    let spent = tokio::join!(spend(one, payer, 1), spend(other.cache.clone(), payer, 2));
    assert_eq!(spent.0 + spent.1, BALANCE);
    assert!(spent.0 > 0 && spent.1 > 0);
    let open = other.cache.open_holds(payer).await.unwrap();
    assert_eq!(open.iter().map(|(_, amount)| amount.0).sum::<i64>(), BALANCE);
    let events: Vec<EventId> = open.into_iter().map(|(event_id, _)| event_id).collect();
    other.cache.release(vec![Release { account: payer, events, settled: Some(settled(0, 2)) }]).await.unwrap();
    let account = backend.cache.account(payer).await.unwrap().unwrap();
    assert_eq!((account.settled, account.held), (settled(0, 2), Amount(0)));
}

#[tokio::test]
async fn two_processes_on_one_account_never_overdraw() {
    two_processes_never_overdraw(open_single().await).await;
}

#[tokio::test]
async fn two_processes_on_one_account_of_a_cluster_never_overdraw() {
    two_processes_never_overdraw(open_cluster().await).await;
}
