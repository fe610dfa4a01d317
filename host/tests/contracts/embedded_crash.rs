//! What the embedded backends promise when the process or the disk fails.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use greenroom::adapters::embedded::{self, Embedded, Error, Settings};
use greenroom::domain::{Account, Amount, AssetType, EventId, UserId};
use greenroom::ports::cache::{self, Cache, CommitResult, HoldResult, Release, Remembered, Write};
use greenroom::ports::queue::{self, Queue};

use crate::fixture::*;
use crate::key_space::commit_of;
use crate::queue::{BRIEF, after, ids, read};

/// Opens again after a drop: the directory is free once the dropped one's thread and task have ended.
pub(crate) async fn open(settings: &Settings) -> Embedded {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        match embedded::open(settings.clone()).await {
            Err(Error::InUse(_)) if Instant::now() < deadline => tokio::time::sleep(Duration::from_millis(2)).await,
            opened => return opened.unwrap(),
        }
    }
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(dir.join("journal")).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

pub(crate) fn account(number: i64) -> Account {
    Account { user_id: UserId(number), asset_type: AssetType(1) }
}

async fn hold_durably(embedded: &Embedded, payer: Account, id: &str, amount: i64) {
    let (_, position) = held(&*embedded.cache, hold_of(payer, id, amount)).await;
    embedded.cache.durable(position).await.unwrap();
}

async fn open_holds(embedded: &Embedded, payer: Account) -> BTreeMap<EventId, Amount> {
    embedded.cache.open_holds(payer).await.unwrap().into_iter().collect()
}

#[tokio::test]
async fn a_tail_torn_at_any_byte_is_cut_to_what_was_durable() {
    let dir = tempfile::tempdir().unwrap();
    let embedded = open(&Settings::new(dir.path())).await;
    let payer = account(1);
    fill(&*embedded.cache, payer, 100, 1).await;
    hold_durably(&embedded, payer, "a", 1).await;
    hold_durably(&embedded, payer, "b", 2).await;
    let [path] = &segments(dir.path())[..] else { panic!("one segment") };
    let durable_len = fs::metadata(path).unwrap().len() as usize;
    hold_durably(&embedded, payer, "c", 4).await;
    let bytes = fs::read(path).unwrap();
    drop(embedded);
    for len in durable_len..=bytes.len() {
        let crashed = tempfile::tempdir().unwrap();
        fs::create_dir(crashed.path().join("journal")).unwrap();
        let name = path.file_name().unwrap();
        fs::write(crashed.path().join("journal").join(name), &bytes[..len]).unwrap();
        let settings = Settings::new(crashed.path());
        let embedded = open(&settings).await;
        let expected = if len == bytes.len() { vec![1, 2, 4] } else { vec![1, 2] };
        let holds: Vec<_> = open_holds(&embedded, payer).await.into_values().map(|amount| amount.0).collect();
        assert_eq!(holds, expected, "cut to {len} bytes");
        if len % 40 == 0 {
            fill(&*embedded.cache, payer, 100, 1).await;
            hold_durably(&embedded, payer, "d", 8).await;
            drop(embedded);
            let again = open_holds(&open(&settings).await, payer).await;
            assert_eq!(again.len(), expected.len() + 1, "it goes on after a cut to {len} bytes");
        }
    }
}

/// Copies the journal at some moment of a busy process, which is what a machine that loses power leaves behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_crash_under_load_loses_nothing_that_was_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings { segment_bytes: 20_000, ..Settings::new(dir.path()) };
    let embedded = open(&settings).await;
    for user in 1..=8 {
        fill(&*embedded.cache, account(user), 1_000_000, 1).await;
    }
    let acknowledged = Arc::new(std::sync::Mutex::new(BTreeMap::new()));
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let mut tasks = tokio::task::JoinSet::new();
    for user in 1..=8 {
        let (cache, acknowledged, stop) = (Arc::clone(&embedded.cache), Arc::clone(&acknowledged), Arc::clone(&stop));
        tasks.spawn(async move {
            for number in 0.. {
                if stop.load(std::sync::atomic::Ordering::Relaxed) {
                    return;
                }
                let (_, position) = held(&*cache, hold_of(account(user), &number.to_string(), user)).await;
                cache.durable(position).await.unwrap();
                acknowledged.lock().unwrap().insert(user, number + 1);
            }
        });
    }
    for round in 1..=8 {
        let deadline = Instant::now() + Duration::from_secs(20);
        while acknowledged.lock().unwrap().values().sum::<usize>() < round * 300 {
            assert!(Instant::now() < deadline, "holds are acknowledged");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let promised = acknowledged.lock().unwrap().clone();
        let crashed = tempfile::tempdir().unwrap();
        fs::create_dir(crashed.path().join("journal")).unwrap();
        for path in segments(dir.path()) {
            fs::copy(&path, crashed.path().join("journal").join(path.file_name().unwrap())).unwrap();
        }
        let after_crash = open(&Settings::new(crashed.path())).await;
        for (user, promised) in promised {
            let holds = open_holds(&after_crash, account(user)).await;
            assert!(holds.len() >= promised, "user {user}: {} of {promised}", holds.len());
            let in_order = (0..holds.len()).all(|number| holds.contains_key(&event_id(&number.to_string())));
            assert!(in_order, "a later hold came back without an earlier one");
        }
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    tasks.join_all().await;
}

#[tokio::test]
async fn damage_before_the_durable_end_refuses_to_start_and_says_where() {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings { segment_bytes: 150, ..Settings::new(dir.path()) };
    let embedded = open(&settings).await;
    let payer = account(1);
    fill(&*embedded.cache, payer, 100, 1).await;
    for id in ["a", "b", "c", "d", "e", "f", "g"] {
        hold_durably(&embedded, payer, id, 1).await;
    }
    drop(embedded);
    drop(open(&settings).await);
    let paths = segments(dir.path());
    assert!(paths.len() >= 3, "{paths:?}");
    for path in &paths {
        let sound = fs::read(path).unwrap();
        // The last thing in the last segment is the seal of a clean end, which says nothing but that.
        let record_end = if Some(path) == paths.last() { sound.len() - 25 } else { sound.len() - 1 };
        for place in [0, sound.len() / 2, record_end] {
            let mut damaged = sound.clone();
            damaged[place] ^= 1;
            fs::write(path, damaged).unwrap();
            let deadline = Instant::now() + Duration::from_secs(10);
            let error = loop {
                match embedded::open(settings.clone()).await {
                    Err(Error::InUse(_)) if Instant::now() < deadline => tokio::task::yield_now().await,
                    opened => break opened.map(drop).unwrap_err(),
                }
            };
            let Error::Corrupt(corrupt) = &error else { panic!("{error}") };
            assert_eq!(&corrupt.path, path);
            assert!(corrupt.offset <= place as u64, "{error}");
            assert!(place == 0 || corrupt.offset > 0, "{error}");
        }
        fs::write(path, sound).unwrap();
    }
    assert_eq!(open_holds(&open(&settings).await, payer).await.len(), 7, "what was repaired is read");
}

#[tokio::test]
async fn a_directory_serves_one_process_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let embedded = open(&Settings::new(dir.path())).await;
    let second = embedded::open(Settings::new(dir.path())).await;
    assert!(matches!(second, Err(Error::InUse(_))));
    embedded.close().await.unwrap();
    embedded::open(Settings::new(dir.path())).await.unwrap();
}

#[tokio::test]
async fn a_full_disk_refuses_new_steps_and_loses_none_that_were_made() {
    let dir = tempfile::tempdir().unwrap();
    let durable_wait = Duration::from_millis(100);
    let settings = Settings { segment_bytes: 1, durable_wait, ..Settings::new(dir.path()) };
    let embedded = open(&settings).await;
    let payer = account(1);
    fill(&*embedded.cache, payer, 100, 1).await;
    hold_durably(&embedded, payer, "a", 1).await;
    // The next segments can be made but not written; each try uses one up.
    let journal = dir.path().join("journal");
    for number in 1..=6 {
        std::os::unix::fs::symlink("/dev/full", journal.join(format!("{number:010}.log"))).unwrap();
    }
    let (_, position) = held(&*embedded.cache, hold_of(payer, "b", 2)).await;
    assert!(matches!(embedded.cache.durable(position).await, Err(cache::Error::Unavailable(_))));
    let refused = embedded.cache.hold_now(hold_of(payer, "c", 4)).await;
    assert!(matches!(refused, Err(cache::Error::Full(_))), "{refused:?}");
    let refused = embedded.queue.publish(vec![told("t", "k", "x")]).await;
    assert!(matches!(refused, Err(queue::Error::Full)), "{refused:?}");
    assert_eq!(embedded.cache.account(payer).await.unwrap().unwrap().held, Amount(3), "nothing is rolled back");
    assert!(matches!(embedded.cache.hold_now(hold_of(payer, "b", 2)).await.unwrap(), HoldResult::Replayed(..)));
    let deadline = Instant::now() + Duration::from_secs(20);
    while embedded.cache.durable(position).await.is_err() {
        assert!(Instant::now() < deadline, "the disk has room again");
    }
    while embedded.cache.hold_now(hold_of(payer, "c", 4)).await.is_err() {
        assert!(Instant::now() < deadline, "steps are taken again");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    embedded.close().await.unwrap();
    assert_eq!(open_holds(&open(&settings).await, payer).await.len(), 3);
}

#[tokio::test]
async fn open_holds_outlive_expiry_and_crowding() {
    let dir = tempfile::tempdir().unwrap();
    let embedded = open(&Settings {
        buckets: 1,
        accounts_max: 3,
        account_lifetime: Duration::from_millis(300),
        sweep_interval: Duration::from_millis(5),
        ..Settings::new(dir.path())
    })
    .await;
    for number in 1..=20 {
        fill(&*embedded.cache, account(number), 10, 1).await;
        if number <= 10 {
            held(&*embedded.cache, hold_of(account(number), "a", 7)).await;
        }
    }
    let deadline = Instant::now() + Duration::from_secs(10);
    while embedded.cache.accounts().await.unwrap().len() > 10 {
        assert!(Instant::now() < deadline, "idle accounts expire");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for number in 1..=10 {
        let cached = embedded.cache.account(account(number)).await.unwrap().unwrap();
        assert_eq!((cached.settled, cached.held), (settled(10, 1), Amount(7)));
        let release = Release { account: account(number), events: vec![event_id("a")], settled: Some(settled(3, 2)) };
        embedded.cache.release(vec![release]).await.unwrap();
    }
    while !embedded.cache.accounts().await.unwrap().is_empty() {
        assert!(Instant::now() < deadline, "released accounts expire");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn old_outcomes_make_room_and_it_is_known_since_when_they_are_complete() {
    let dir = tempfile::tempdir().unwrap();
    let opened_ms = now_ms();
    let embedded = open(&Settings { buckets: 1, outcomes_max: 3, ..Settings::new(dir.path()) }).await;
    let payer = account(1);
    let since_open = embedded.cache.epoch(payer.user_id).await.unwrap().complete_since_ms;
    assert!(since_open >= opened_ms);
    fill(&*embedded.cache, payer, 100, 1).await;
    for number in 0..8u64 {
        let mut hold = hold_of(payer, &number.to_string(), 1);
        hold.now_ms = since_open + 1_000 + number;
        held(&*embedded.cache, hold).await;
        if number >= 3 {
            let id = event_id(&number.to_string());
            embedded.cache.release(vec![Release { account: payer, events: vec![id], settled: None }]).await.unwrap();
        }
    }
    for open in ["0", "1", "2"] {
        let known = embedded.cache.outcome(payer, &event_id(open)).await.unwrap();
        assert!(matches!(known, Remembered::Known(..)), "{open} is open");
    }
    assert_eq!(embedded.cache.outcome(payer, &event_id("3")).await.unwrap(), Remembered::Unknown);
    let complete_since = embedded.cache.epoch(payer.user_id).await.unwrap().complete_since_ms;
    assert!(complete_since > since_open + 1_003);
    for number in 3..8u64 {
        let known = embedded.cache.outcome(payer, &event_id(&number.to_string())).await.unwrap();
        let known = matches!(known, Remembered::Known(..));
        assert!(
            known || since_open + 1_000 + number < complete_since,
            "{number} is neither known nor said to be missing"
        );
    }
}

fn now_ms() -> u64 {
    std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis() as u64
}

#[tokio::test]
async fn money_waits_for_its_owner_and_news_for_nobody_do_not() {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings::new(dir.path());
    let embedded = open(&settings).await;
    let payer = account(1);
    fill(&*embedded.cache, payer, 100, 1).await;
    let mut other = embedded.queue.subscribe("other", &["gift.sent".into()]).await.unwrap();
    embedded.queue.publish(vec![told("gift.seen", "k", "news")]).await.unwrap();
    hold_durably(&embedded, payer, "a", 5).await;
    hold_durably(&embedded, payer, "b", 6).await;
    let read_by_other = read(&mut *other, 2).await;
    other.commit(after(&read_by_other)).await.unwrap();
    assert_eq!(embedded.queue.len(), 2, "kept for the owner alone");
    drop((other, embedded));
    let embedded = open(&settings).await;
    assert_eq!(embedded.queue.lag().await.unwrap(), BTreeMap::from([("gift".into(), 2), ("other".into(), 0)]));
    let mut owner = embedded.queue.subscribe("gift", &["gift.sent".into()]).await.unwrap();
    let owed = read(&mut *owner, 2).await;
    assert_eq!(ids(&owed), ["a", "b"]);
    owner.commit(after(&owed[..1])).await.unwrap();
    hold_durably_after_fill(&embedded, payer, "c").await;
    drop((owner, embedded));
    let embedded = open(&settings).await;
    let open_now: Vec<_> = open_holds(&embedded, payer).await.into_keys().collect();
    assert_eq!(open_now, [event_id("b"), event_id("c")], "what its owner has committed is settled");
    assert!(embedded.cache.account(payer).await.unwrap().is_none(), "absent until the database was asked");
    assert_eq!(embedded.cache.hold_now(hold_of(payer, "d", 1)).await.unwrap(), HoldResult::Miss);
    assert!(matches!(embedded.cache.hold_now(hold_of(payer, "b", 6)).await.unwrap(), HoldResult::Replayed(..)));
    fill(&*embedded.cache, payer, 95, 2).await;
    assert_eq!(embedded.cache.account(payer).await.unwrap().unwrap().held, Amount(7));
}

async fn hold_durably_after_fill(embedded: &Embedded, payer: Account, id: &str) {
    fill(&*embedded.cache, payer, 100, 1).await;
    hold_durably(embedded, payer, id, 1).await;
}

#[tokio::test]
async fn a_load_that_began_before_a_recovered_hold_was_settled_starts_over() {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings::new(dir.path());
    let embedded = open(&settings).await;
    let payer = account(1);
    hold_durably_after_fill(&embedded, payer, "a").await;
    embedded.close().await.unwrap();
    let embedded = open(&settings).await;
    let lease = embedded.cache.lease(payer).await.unwrap().unwrap();
    let release = Release { account: payer, events: vec![event_id("a")], settled: Some(settled(99, 2)) };
    embedded.cache.release(vec![release]).await.unwrap();
    assert!(!embedded.cache.fill(payer, lease, Some(settled(100, 1)), &[]).await.unwrap());
    fill(&*embedded.cache, payer, 99, 2).await;
    assert_eq!(embedded.cache.account(payer).await.unwrap().unwrap().held, Amount(0));
}

#[tokio::test]
async fn events_that_wait_in_the_database_have_their_holds_and_outcomes_again() {
    let dir = tempfile::tempdir().unwrap();
    let embedded = open(&Settings::new(dir.path())).await;
    let payer = account(1);
    let waiting = [paid("gift.sent", payer, "a", 30), told("gift.sent", "k", "b")];
    embedded.recover(&waiting);
    embedded.recover(&waiting);
    fill(&*embedded.cache, payer, 100, 1).await;
    assert_eq!(embedded.cache.account(payer).await.unwrap().unwrap().held, Amount(30));
    assert!(matches!(embedded.cache.hold_now(hold_of(payer, "a", 30)).await.unwrap(), HoldResult::Replayed(..)));
}

#[tokio::test]
async fn the_outcome_of_an_open_hold_is_known_after_a_restart_however_few_are_remembered() {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings { buckets: 1, outcomes_max: 2, ..Settings::new(dir.path()) };
    let embedded = open(&settings).await;
    let payer = account(1);
    fill(&*embedded.cache, payer, 100, 1).await;
    for id in ["a", "b", "c", "d", "e"] {
        hold_durably(&embedded, payer, id, 1).await;
    }
    drop(embedded);
    let embedded = open(&settings).await;
    let waiting: Vec<_> = ["f", "g", "h"].iter().map(|id| paid("gift.sent", payer, id, 1)).collect();
    embedded.recover(&waiting);
    for id in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        let known = embedded.cache.outcome(payer, &event_id(id)).await.unwrap();
        assert!(matches!(known, Remembered::Known(..)), "{id}");
    }
}

#[tokio::test]
async fn a_full_outbox_refuses_and_takes_again_once_it_is_consumed() {
    let dir = tempfile::tempdir().unwrap();
    let embedded = open(&Settings { outbox_len_max: 4, ..Settings::new(dir.path()) }).await;
    let payer = account(1);
    fill(&*embedded.cache, payer, 100, 1).await;
    let mut owner = embedded.queue.subscribe("gift", &["gift.sent".into()]).await.unwrap();
    for id in ["a", "b", "c"] {
        hold_durably(&embedded, payer, id, 1).await;
    }
    let pair = vec![told("gift.sent", "k", "x"), told("gift.sent", "k", "y")];
    assert!(matches!(embedded.queue.publish(pair.clone()).await, Err(queue::Error::Full)));
    hold_durably(&embedded, payer, "d", 1).await;
    assert!(matches!(embedded.cache.hold_now(hold_of(payer, "e", 1)).await, Err(cache::Error::Full(_))));
    assert_eq!(embedded.cache.account(payer).await.unwrap().unwrap().held, Amount(4));
    let shard = new_shard("p");
    let mut commit = commit_of(&shard, vec![Write::Add { key: "c".into(), delta: 1, max: None, ttl_ms: None }]);
    commit.events = vec![told("gift.sent", "k", "z")];
    assert!(matches!(embedded.cache.commit(commit.clone()).await, Err(cache::Error::Full(_))));
    assert_eq!(embedded.cache.counter(&shard, "c", NOW_MS).await.unwrap(), 0, "taken back");
    assert!(matches!(embedded.cache.hold_now(hold_of(payer, "a", 1)).await.unwrap(), HoldResult::Replayed(..)));
    let some = read(&mut *owner, 4).await;
    owner.commit(after(&some)).await.unwrap();
    embedded.queue.publish(pair).await.unwrap();
    assert!(matches!(embedded.cache.commit(commit).await.unwrap(), CommitResult::Applied(..)));
    assert_eq!(ids(&read(&mut *owner, 3).await), ["x", "y", "z"]);
}

#[tokio::test]
async fn a_full_key_space_refuses_to_grow_until_something_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let sweep_interval = Duration::from_millis(2);
    let embedded = open(&Settings { entries_max: 10, sweep_interval, ..Settings::new(dir.path()) }).await;
    let shard = new_shard("p");
    let add = |member: usize| Write::SetAdd { key: "s".into(), member: member.to_string().into() };
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut members = 0;
    while let Ok(result) = embedded.cache.commit(commit_of(&shard, vec![add(members)])).await {
        assert!(matches!(result, CommitResult::Applied(..)));
        assert!(Instant::now() < deadline, "the bound is found to be passed");
        members += 1;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(members >= 10);
    let refused = embedded.cache.commit(commit_of(&shard, vec![add(0)])).await;
    assert!(matches!(refused, Err(cache::Error::Full("the key space"))));
    embedded.cache.commit(commit_of(&shard, vec![Write::Delete { key: "s".into() }])).await.unwrap();
    while embedded.cache.commit(commit_of(&shard, vec![add(0)])).await.is_err() {
        assert!(Instant::now() < deadline, "there is room again");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn consumed_segments_are_removed_and_nothing_is_forgotten_with_them() {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings {
        segment_bytes: 2_000,
        checkpoint_bytes: 4_000,
        sweep_interval: Duration::from_millis(5),
        ..Settings::new(dir.path())
    };
    let embedded = open(&settings).await;
    let shard = new_shard("p");
    let mut owner = embedded.queue.subscribe("gift", &["gift.sent".into()]).await.unwrap();
    for number in 0..300 {
        let mut commit = commit_of(&shard, vec![Write::Add { key: "c".into(), delta: 1, max: None, ttl_ms: None }]);
        commit.events = vec![told("gift.sent", "k", &number.to_string())];
        let CommitResult::Applied(_, position) = embedded.cache.commit(commit).await.unwrap() else { panic!() };
        embedded.cache.durable(position).await.unwrap();
    }
    assert!(segments(dir.path()).len() > 10, "nothing is consumed");
    let all = read(&mut *owner, 300).await;
    owner.commit(after(&all[..299])).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while segments(dir.path()).len() > 5 {
        assert!(Instant::now() < deadline, "{} segments are left", segments(dir.path()).len());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop((owner, embedded));
    for _ in 0..3 {
        let embedded = open(&settings).await;
        assert_eq!(embedded.cache.counter(&shard, "c", NOW_MS).await.unwrap(), 300);
        let mut owner = embedded.queue.subscribe("gift", &["gift.sent".into()]).await.unwrap();
        assert_eq!(ids(&read(&mut *owner, 1).await), ["299"]);
        assert!(owner.poll(1, BRIEF).await.unwrap().is_empty());
        drop(owner);
        embedded.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_hundred_thousand_unsettled_events_come_back() {
    const EVENTS: i64 = 100_000;
    const PAYERS: i64 = 1_000;
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings { segment_bytes: 4 << 20, ..Settings::new(dir.path()) };
    let embedded = open(&settings).await;
    for number in 0..PAYERS {
        fill(&*embedded.cache, account(number + 1), EVENTS, 1).await;
    }
    let mut last = cache::Position::default();
    let started = Instant::now();
    for number in 0..EVENTS {
        let hold = hold_of(account(number % PAYERS + 1), &format!("event-{number}"), 2);
        (_, last) = held(&*embedded.cache, hold).await;
    }
    println!("{EVENTS} holds were made in {:?}", started.elapsed());
    embedded.cache.durable(last).await.unwrap();
    drop(embedded);
    let started = Instant::now();
    let embedded = open(&settings).await;
    println!("{EVENTS} unsettled events were read in {:?}", started.elapsed());
    assert_eq!(embedded.queue.lag().await.unwrap(), BTreeMap::from([("gift".into(), EVENTS as u64)]));
    for number in [0, 17, PAYERS - 1] {
        fill(&*embedded.cache, account(number + 1), EVENTS, 1).await;
        let cached = embedded.cache.account(account(number + 1)).await.unwrap().unwrap();
        assert_eq!(cached.held, Amount(2 * EVENTS / PAYERS));
    }
}
