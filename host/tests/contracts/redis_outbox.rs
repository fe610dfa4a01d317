//! What a relay finds in Redis.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use greenroom::adapters::redis::{Durability, Settings};
use greenroom::domain::Amount;
use greenroom::ports::cache::{Cache, Commit, CommitResult, Epoch, Error, HoldResult, Position, Remembered};
use greenroom::ports::outbox::{EntryId, Outbox};

use crate::fixture::*;
use crate::key_space::commit_of;
use crate::redis_backend::{Backend, RELAY_TTL, begin, cluster, join, page_of, remove, single, single_url};
use crate::redis_faults::administrator;

const NO_WAIT: Duration = Duration::ZERO;

/// With one bucket, so that everything meets.
async fn open() -> Backend {
    begin(Settings { buckets: 1, ..single() }).await
}

#[tokio::test]
async fn a_relay_reads_what_was_held_in_order_and_removes_it() {
    let backend = open().await;
    let payer = funded(&*backend.cache, 100).await;
    let mut hold = hold_of(payer, "a", 30);
    hold.room_id = Some(greenroom::domain::RoomId(7));
    let (outcome, _) = held(&*backend.cache, hold.clone()).await;
    let events = vec![told("seen", "k", "x"), told("seen", "k", "y")];
    let commit = Commit { events: events.clone(), ..commit_of(&new_shard("p"), Vec::new()) };
    assert!(matches!(backend.cache.commit(commit).await.unwrap(), CommitResult::Applied(..)));
    assert_eq!(backend.outbox.backlog().await.unwrap(), 3);
    let pending = backend.outbox.pending().await.unwrap();

    let lease = backend.outbox.lease(0, RELAY_TTL).await.unwrap().unwrap();
    let page = page_of(&backend.outbox, lease, 10).await;
    assert!(page.has_epoch);
    assert_eq!(page.last.as_ref(), page.entries.last().map(|(id, _)| id));
    assert!(page.entries.is_sorted_by(|(a, _), (b, _)| a < b));
    let (id, event) = &page.entries[0];
    assert_eq!((&event.event_id, &event.payload, event.room_id), (&hold.event_id, &hold.payload, hold.room_id));
    assert_eq!((&*event.key, event.at_ms), (payer.user_id.to_string().as_str(), NOW_MS));
    assert_eq!(pending, [Arc::clone(event)], "what was told holds no money");
    let money = event.held.as_ref().unwrap();
    assert_eq!((money.payer, money.digest, &money.outcome), (payer, hold.digest, &outcome));
    assert_eq!(
        page.entries[1..].iter().map(|(_, event)| &**event).collect::<Vec<_>>(),
        events.iter().collect::<Vec<_>>()
    );

    let after = backend.outbox.read(lease, Some(id), 1, NO_WAIT).await.unwrap().unwrap();
    assert_eq!(after.entries.len(), 1);
    assert_eq!(*after.entries[0].1, events[0]);
    assert_eq!(after.last, page.last, "a page that is full says nothing of what comes after it");
    assert_eq!(backend.outbox.backlog().await.unwrap(), 2, "the first was removed");
    let last = page.last.clone().unwrap();
    assert!(remove(&backend.outbox, lease, &last).await);
    let empty = page_of(&backend.outbox, lease, 10).await;
    assert!(empty.entries.is_empty());
    assert_eq!(empty.last, page.last, "what was removed still counts");
}

#[tokio::test]
async fn what_holds_money_is_read_page_by_page_in_every_bucket() {
    let backend = begin(Settings { buckets: 2, ..single() }).await;
    let mut expected = Vec::new();
    for number in 0..8 {
        let payer = funded(&*backend.cache, 100).await;
        for gift in 0..100 {
            let (hold, told) = (hold_of(payer, &format!("{number}-{gift}"), 1), told("seen", "k", "x"));
            expected.push(hold.event_id.to_string());
            held(&*backend.cache, hold).await;
            let commit = Commit { events: vec![told], ..commit_of(&new_shard("p"), Vec::new()) };
            assert!(matches!(backend.cache.commit(commit).await.unwrap(), CommitResult::Applied(..)));
        }
    }
    let pending = backend.outbox.pending().await.unwrap();
    let mut found: Vec<String> = pending.iter().map(|event| event.event_id.to_string()).collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn a_relay_that_waits_is_woken_by_a_hold_of_any_process() {
    let backend = open().await;
    let other = join(&backend.settings).await;
    let lease = backend.outbox.lease(0, RELAY_TTL).await.unwrap().unwrap();
    let mut taken: Option<EntryId> = None;
    for (number, cache) in [&backend.cache, &other.cache].into_iter().enumerate() {
        let payer = funded(&**cache, 1).await;
        let wait = Duration::from_secs(20);
        let (page, _) = tokio::join!(backend.outbox.read(lease, taken.as_ref(), 10, wait), async {
            held(&**cache, hold_of(payer, &number.to_string(), 1)).await
        });
        let page = page.unwrap().unwrap();
        assert_eq!(page.entries.len(), 1);
        taken = page.last;
    }
}

#[tokio::test]
async fn what_is_appended_to_a_bucket_is_told_of_where_another_process_relays_it() {
    let backend = open().await;
    let other = join(&backend.settings).await;
    let mut heard = redis::Client::open(single_url()).unwrap().get_async_pubsub().await.unwrap();
    let channel = format!("{}:appended", backend.settings.prefix);
    heard.subscribe(&channel).await.unwrap();
    let lease = backend.outbox.lease(0, RELAY_TTL).await.unwrap().unwrap();
    page_of(&backend.outbox, lease, 1).await;
    for cache in [&backend.cache, &other.cache] {
        let payer = funded(&**cache, 1).await;
        held(&**cache, hold_of(payer, "a", 1)).await;
    }
    let mut heard = heard.into_on_message();
    let word = heard.next().await.unwrap().get_payload_bytes().to_vec();
    assert_eq!(postcard::from_bytes::<Vec<u32>>(&word).unwrap(), [0]);
    let mut administrator = administrator(&single_url()).await;
    redis::cmd("PUBLISH").arg(&channel).arg("the end").exec_async(&mut administrator).await.unwrap();
    let last = heard.next().await.unwrap();
    assert_eq!(last.get_payload_bytes(), b"the end", "the relay's own process tells nobody else");
}

#[tokio::test]
async fn a_lease_is_had_by_one_and_a_lost_one_can_do_nothing() {
    let backend = open().await;
    let outbox = &backend.outbox;
    let old = outbox.lease(0, Duration::from_millis(1)).await.unwrap().unwrap();
    let mut taken = None;
    while taken.is_none() {
        taken = outbox.lease(0, RELAY_TTL).await.unwrap();
    }
    let new = taken.unwrap();
    assert!(new.token > old.token);
    assert_eq!(outbox.lease(0, RELAY_TTL).await.unwrap(), None, "somebody has it");
    let payer = funded(&*backend.cache, 1).await;
    held(&*backend.cache, hold_of(payer, "a", 1)).await;
    let last = page_of(outbox, new, 1).await.last.unwrap();
    assert!(!outbox.renew(old, RELAY_TTL).await.unwrap());
    assert!(!remove(outbox, old, &last).await);
    outbox.drop_epoch(old).await.unwrap();
    outbox.give_back(old).await.unwrap();
    let page = page_of(outbox, new, 1).await;
    assert!(page.has_epoch && page.entries.len() == 1);
    assert!(outbox.renew(new, RELAY_TTL).await.unwrap());
    outbox.give_back(new).await.unwrap();
    assert!(outbox.lease(0, RELAY_TTL).await.unwrap().unwrap().token > new.token);
}

#[tokio::test]
async fn without_its_epoch_a_bucket_refuses_until_it_has_recovered_and_then_loads_anew() {
    let backend = open().await;
    let (cache, outbox) = (&backend.cache, &backend.outbox);
    let payer = funded(&**cache, 100).await;
    let (outcome, position) = held(&**cache, hold_of(payer, "a", 30)).await;
    let lease = outbox.lease(0, RELAY_TTL).await.unwrap().unwrap();
    outbox.drop_epoch(lease).await.unwrap();
    assert_eq!(cache.hold_now(hold_of(payer, "b", 1)).await.unwrap(), HoldResult::Recovering);
    let known = HoldResult::Replayed(outcome, position);
    assert_eq!(cache.hold_now(hold_of(payer, "a", 30)).await.unwrap(), known, "what is known is known");
    assert!(matches!(cache.outcome(payer, &event_id("a")).await.unwrap(), Remembered::Known(..)));
    let lost = cache.outcome(payer, &event_id("lost")).await;
    assert!(matches!(lost, Err(Error::Recovering)), "it may be on its way: {lost:?}");
    let commit = commit_of(&new_shard("p"), Vec::new());
    assert!(matches!(cache.commit(commit).await, Err(Error::Recovering)));
    assert_eq!(cache.account(payer).await.unwrap(), None, "its balance may be too high");
    assert_eq!(cache.lease(payer).await.unwrap(), None, "the database does not know what is on its way");
    assert_eq!(cache.accounts().await.unwrap(), []);
    let page = page_of(outbox, lease, 1).await;
    assert!(outbox.set_epoch(lease, &page.history).await.is_err(), "an event has yet to be relayed");
    assert!(remove(outbox, lease, &page.last.unwrap()).await);
    assert!(outbox.set_epoch(lease, "of another server").await.is_err(), "the recovery was seen to elsewhere");
    assert!(outbox.set_epoch(lease, &page.history).await.unwrap());
    assert_eq!(cache.hold_now(hold_of(payer, "b", 1)).await.unwrap(), HoldResult::Miss);
    assert_eq!(cache.outcome(payer, &event_id("b")).await.unwrap(), Remembered::Miss, "it may be set aside");
    fill(&**cache, payer, 70, 2).await;
    assert_eq!(cache.hold_now(hold_of(payer, "b", 71)).await.unwrap(), HoldResult::Insufficient(Amount(70)));
}

#[tokio::test]
async fn a_load_that_began_before_the_epoch_does_not_end_after_it() {
    let backend = open().await;
    let account = new_account();
    let lease = backend.cache.lease(account).await.unwrap().unwrap();
    let relay = backend.outbox.lease(0, RELAY_TTL).await.unwrap().unwrap();
    backend.recover_again(relay).await;
    assert!(!backend.cache.fill(account, lease, Some(settled(10, 1)), &[]).await.unwrap());
}

/// A request looks into the database, pauses, and holds only after the bucket has lost its data and recovered: the database may know
/// the event by now.
#[tokio::test]
async fn a_hold_that_names_an_epoch_of_before_is_refused_whoever_remembers_that_epoch() {
    let backend = open().await;
    let other = join(&backend.settings).await;
    let payer = funded(&*backend.cache, 100).await;
    let before = backend.cache.epoch(payer.user_id).await.unwrap();
    assert_eq!(other.cache.epoch(payer.user_id).await.unwrap().number, before.number);
    assert_eq!(backend.cache.hold(hold_of(payer, "a", 1), Epoch::NONE).await.unwrap(), HoldResult::OtherEpoch);
    let relay = backend.outbox.lease(0, RELAY_TTL).await.unwrap().unwrap();
    backend.recover_again(relay).await;
    for cache in [&backend.cache, &other.cache] {
        assert_eq!(cache.hold(hold_of(payer, "a", 1), before).await.unwrap(), HoldResult::OtherEpoch);
        let now = cache.epoch(payer.user_id).await.unwrap();
        assert!(now.number > before.number, "{now:?} after {before:?}");
        assert_eq!(cache.hold(hold_of(payer, "a", 1), now).await.unwrap(), HoldResult::Miss);
    }
    fill(&*backend.cache, payer, 100, 1).await;
    held(&*backend.cache, hold_of(payer, "a", 1)).await;
    let known = backend.cache.hold(hold_of(payer, "a", 1), before).await.unwrap();
    assert!(matches!(known, HoldResult::Replayed(..)), "what is known is known under any epoch: {known:?}");
}

#[tokio::test]
async fn outcomes_are_complete_since_the_epoch_of_the_bucket_and_for_no_event_without_one() {
    let backend = open().await;
    let user = new_account().user_id;
    let since_ms = backend.cache.epoch(user).await.unwrap().complete_since_ms;
    let now_ms =
        u64::try_from(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis()).unwrap();
    // The epoch is seconds old; five minutes are for clients' clocks, one for ours.
    assert!(since_ms > now_ms + 300_000 && since_ms < now_ms + 400_000, "{since_ms} at {now_ms}");
    let lease = backend.outbox.lease(0, RELAY_TTL).await.unwrap().unwrap();
    backend.outbox.drop_epoch(lease).await.unwrap();
    let other = join(&backend.settings).await;
    assert_eq!(other.cache.epoch(user).await.unwrap(), Epoch::NONE);
}

#[tokio::test]
async fn a_full_outbox_refuses_and_changes_nothing() {
    let backend = begin(Settings { buckets: 1, outbox_len_max: 2, ..single() }).await;
    let cache = &backend.cache;
    let payer = funded(&**cache, 100).await;
    held(&**cache, hold_of(payer, "a", 1)).await;
    let shard = new_shard("p");
    let mut commit = commit_of(
        &shard,
        vec![greenroom::ports::cache::Write::Add { key: "n".into(), delta: 1, max: None, ttl_ms: None }],
    );
    commit.events = vec![told("seen", "k", "x"), told("seen", "k", "y")];
    assert!(matches!(cache.commit(commit.clone()).await, Err(Error::Full(_))));
    assert_eq!(cache.counter(&shard, "n", NOW_MS).await.unwrap(), 0);
    commit.events.pop();
    cache.commit(commit).await.unwrap();
    assert!(matches!(cache.hold_now(hold_of(payer, "b", 1)).await, Err(Error::Full(_))));
    assert_eq!(cache.account(payer).await.unwrap().unwrap().held, Amount(1));
    let lease = backend.outbox.lease(0, RELAY_TTL).await.unwrap().unwrap();
    let first = page_of(&backend.outbox, lease, 1).await.entries.remove(0).0;
    assert!(remove(&backend.outbox, lease, &first).await);
    held(&**cache, hold_of(payer, "b", 1)).await;
}

#[tokio::test]
async fn a_queued_answer_waits_for_the_relay() {
    let backend = begin(Settings { buckets: 1, durability: Durability::Queued, ..single() }).await;
    let cache = Arc::clone(&backend.cache);
    let payer = funded(&*cache, 100).await;
    let (_, first) = held(&*cache, hold_of(payer, "a", 1)).await;
    let (_, second) = held(&*cache, hold_of(payer, "b", 1)).await;
    assert!(Position(0) < first && first < second);
    let waiting = tokio::spawn({
        let cache = Arc::clone(&cache);
        async move { cache.durable(first).await }
    });
    let lease = backend.outbox.lease(0, RELAY_TTL).await.unwrap().unwrap();
    let entries = page_of(&backend.outbox, lease, 10).await.entries;
    assert!(!waiting.is_finished());
    assert!(remove(&backend.outbox, lease, &entries[0].0).await);
    waiting.await.unwrap().unwrap();
    let impatient = tokio::time::timeout(Duration::from_millis(50), cache.durable(second)).await;
    assert!(impatient.is_err(), "the second is still in the outbox");
    assert!(remove(&backend.outbox, lease, &entries[1].0).await);
    cache.durable(second).await.unwrap();
}

#[tokio::test]
async fn a_queued_answer_is_told_at_the_acknowledgement_and_only_that_of_the_entry() {
    let backend = begin(Settings { buckets: 1, durability: Durability::Queued, ..single() }).await;
    let cache = Arc::clone(&backend.cache);
    let payer = funded(&*cache, 100).await;
    let (_, first) = held(&*cache, hold_of(payer, "a", 1)).await;
    let (_, second) = held(&*cache, hold_of(payer, "b", 1)).await;
    let lease = backend.outbox.lease(0, RELAY_TTL).await.unwrap().unwrap();
    let entries = page_of(&backend.outbox, lease, 10).await.entries;
    // Both stay in the outbox, so nothing but the acknowledgement tells of the second.
    backend.outbox.acknowledged(lease, std::slice::from_ref(&entries[1].0));
    cache.durable(second).await.unwrap();
    let impatient = tokio::time::timeout(Duration::from_millis(50), cache.durable(first)).await;
    assert!(impatient.is_err(), "the queue was not said to have the first");
    backend.outbox.acknowledged(lease, std::slice::from_ref(&entries[0].0));
    cache.durable(first).await.unwrap();
}

#[tokio::test]
async fn a_replicated_answer_needs_its_replicas() {
    let wait = Duration::from_millis(200);
    let one = Durability::Replicated { replicas: 1, timeout: Duration::from_secs(20) };
    let many = Durability::Replicated { replicas: 5, timeout: wait };
    for (durability, is_enough) in [(one, true), (many, false)] {
        let backend = begin(Settings { durability, ..cluster() }).await;
        let payer = funded(&*backend.cache, 10).await;
        let (_, position) = held(&*backend.cache, hold_of(payer, "a", 1)).await;
        let (_, again) = match backend.cache.hold_now(hold_of(payer, "a", 1)).await.unwrap() {
            HoldResult::Replayed(outcome, position) => (outcome, position),
            other => panic!("{other:?}"),
        };
        assert_eq!(position, again);
        assert_eq!(backend.cache.durable(position).await.is_ok(), is_enough);
    }
}
