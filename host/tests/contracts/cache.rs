//! What every cache must do, over `dyn Cache`: accounts, holds and outcomes.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use greenroom::domain::{Amount, ContentDigest};
use greenroom::ports::cache::{Cache, CounterAdd, Error, HoldResult, Release, Remembered, Write};

use crate::fixture::*;
use crate::key_space::commit_of;

fn counter(key: &str, delta: i64, max: Option<i64>) -> CounterAdd {
    CounterAdd { key: key.into(), delta, max, ttl_ms: 60_000 }
}

pub(crate) async fn a_hold_reserves_and_a_repetition_gets_the_same_answer(cache: &dyn Cache) {
    let payer = funded(cache, 100).await;
    let (outcome, position) = held(cache, hold_of(payer, "a", 30)).await;
    assert_eq!((outcome.amount, outcome.balance), (Amount(30), Amount(70)));
    held(cache, hold_of(payer, "b", 50)).await;
    // The price has changed meanwhile; what was asked for has not.
    let again = cache.hold_now(hold_of(payer, "a", 99)).await.unwrap();
    assert_eq!(again, HoldResult::Replayed(outcome.clone(), position));
    let known = cache.outcome(payer, &event_id("a")).await.unwrap();
    assert_eq!(known, Remembered::Known(hold_of(payer, "a", 1).digest, outcome, position));
    let stranger = cache.outcome(new_account(), &event_id("a")).await.unwrap();
    assert!(matches!(stranger, Remembered::Unknown | Remembered::Miss), "{stranger:?}");
    assert_eq!(cache.account(payer).await.unwrap().unwrap().held, Amount(80));
    cache.durable(position).await.unwrap();
}

pub(crate) async fn an_event_id_with_other_content_is_refused(cache: &dyn Cache) {
    let payer = funded(cache, 100).await;
    held(cache, hold_of(payer, "a", 30)).await;
    let mut other = hold_of(payer, "a", 30);
    other.digest = ContentDigest::of("gift.sent", payer, b"another gift");
    assert_eq!(cache.hold_now(other).await.unwrap(), HoldResult::Reused);
    assert_eq!(cache.account(payer).await.unwrap().unwrap().held, Amount(30));
}

pub(crate) async fn two_payers_may_use_one_event_id(cache: &dyn Cache) {
    let (one, other) = (funded(cache, 10).await, funded(cache, 10).await);
    held(cache, hold_of(one, "same", 10)).await;
    held(cache, hold_of(other, "same", 10)).await;
}

pub(crate) async fn answers_come_in_order_of_precedence(cache: &dyn Cache) {
    let payer = new_account();
    let mut hold = hold_of(payer, "a", 50);
    hold.counters = vec![counter("n", 1, Some(0))];
    assert_eq!(cache.hold_now(hold.clone()).await.unwrap(), HoldResult::Miss);
    let lease = cache.lease(payer).await.unwrap().unwrap();
    assert!(cache.fill(payer, lease, None, &[]).await.unwrap());
    assert_eq!(cache.hold_now(hold.clone()).await.unwrap(), HoldResult::NoAccount);
    cache.release(vec![Release { account: payer, events: vec![], settled: Some(settled(40, 1)) }]).await.unwrap();
    fill(cache, payer, 40, 1).await;
    assert_eq!(cache.hold_now(hold.clone()).await.unwrap(), HoldResult::LimitReached(0));
    hold.counters.clear();
    assert_eq!(cache.hold_now(hold.clone()).await.unwrap(), HoldResult::Insufficient(Amount(40)));
    assert_eq!(cache.outcome(payer, &hold.event_id).await.unwrap(), Remembered::Unknown);
    hold.amount = Amount(40);
    held(cache, hold.clone()).await;
    // Known comes before everything: nothing is left, and the counter would refuse.
    hold.counters = vec![counter("n", 1, Some(0))];
    assert!(matches!(cache.hold_now(hold).await.unwrap(), HoldResult::Replayed(..)));
}

pub(crate) async fn counters_change_all_or_none_and_only_with_the_hold(cache: &dyn Cache) {
    let payer = funded(cache, 100).await;
    let plugin: Arc<str> = new_name("p").into();
    let shard =
        greenroom::ports::cache::Shard { plugin: Arc::clone(&plugin), name: format!("user/{}", payer.user_id).into() };
    let mut hold = hold_of(payer, "a", 10);
    hold.plugin = plugin;
    hold.counters = vec![counter("combo", 1, None), counter("day", 5, Some(9)), counter("combo", 1, None)];
    let (outcome, _) = held(cache, hold.clone()).await;
    assert_eq!(outcome.counters, [1, 5, 2]);
    hold.event_id = event_id("b");
    assert_eq!(cache.hold_now(hold.clone()).await.unwrap(), HoldResult::LimitReached(1));
    hold.counters.remove(1);
    hold.amount = Amount(1_000);
    assert_eq!(cache.hold_now(hold.clone()).await.unwrap(), HoldResult::Insufficient(Amount(90)));
    assert_eq!(cache.counter(&shard, "combo", NOW_MS).await.unwrap(), 2);
    assert_eq!(cache.counter(&shard, "day", NOW_MS).await.unwrap(), 5);
    assert_eq!(cache.counter(&shard, "day", NOW_MS + 60_000).await.unwrap(), 0, "its time to live has passed");
    let put = Write::Put { key: "combo".into(), value: "text".into(), ttl_ms: None };
    cache.commit(commit_of(&shard, vec![put])).await.unwrap();
    hold.amount = Amount(1);
    assert!(matches!(cache.hold_now(hold).await, Err(Error::WrongKind(key)) if key == "combo"));
    assert_eq!(cache.account(payer).await.unwrap().unwrap().held, Amount(10));
}

pub(crate) async fn release_removes_each_hold_once_and_takes_only_newer_versions(cache: &dyn Cache) {
    let payer = funded(cache, 100).await;
    held(cache, hold_of(payer, "a", 30)).await;
    held(cache, hold_of(payer, "b", 20)).await;
    for _ in 0..3 {
        cache
            .release(vec![Release {
                account: payer,
                events: vec![event_id("a"), event_id("a")],
                settled: Some(settled(70, 2)),
            }])
            .await
            .unwrap();
        let account = cache.account(payer).await.unwrap().unwrap();
        assert_eq!((account.settled, account.held), (settled(70, 2), Amount(20)));
    }
    assert_eq!(cache.open_holds(payer).await.unwrap(), [(event_id("b"), Amount(20))]);
    cache
        .release(vec![Release { account: payer, events: vec![event_id("unknown")], settled: Some(settled(100, 1)) }])
        .await
        .unwrap();
    assert_eq!(cache.account(payer).await.unwrap().unwrap().settled, settled(70, 2));
    cache.release(vec![Release { account: payer, events: vec![event_id("b")], settled: None }]).await.unwrap();
    let account = cache.account(payer).await.unwrap().unwrap();
    assert_eq!((account.settled, account.held), (settled(70, 2), Amount(0)));
    assert!(cache.accounts().await.unwrap().contains(&(payer, account)));
    assert!(matches!(cache.hold_now(hold_of(payer, "a", 30)).await.unwrap(), HoldResult::Replayed(..)));
}

pub(crate) async fn a_load_under_way_starts_over_when_the_account_was_settled_meanwhile(cache: &dyn Cache) {
    let account = new_account();
    let lease = cache.lease(account).await.unwrap().unwrap();
    assert_eq!(cache.lease(account).await.unwrap(), None, "somebody loads it");
    cache.release(vec![Release { account, events: vec![], settled: Some(settled(5, 2)) }]).await.unwrap();
    assert!(!cache.fill(account, lease, Some(settled(10, 1)), &[]).await.unwrap());
    assert_eq!(cache.account(account).await.unwrap(), None);
    let again = cache.lease(account).await.unwrap().unwrap();
    assert!(!cache.fill(account, lease, Some(settled(10, 1)), &[]).await.unwrap(), "the old lease stays void");
    assert!(cache.fill(account, again, Some(settled(5, 2)), &[]).await.unwrap());
    assert!(!cache.fill(account, again, Some(settled(10, 1)), &[]).await.unwrap(), "the account is there");
    assert_eq!(cache.lease(account).await.unwrap(), None, "the account is there");
    assert_eq!(cache.account(account).await.unwrap().unwrap().settled, settled(5, 2));
}

pub(crate) async fn events_that_wait_are_open_holds_of_an_account_that_is_loaded(cache: &dyn Cache) {
    // Only exact beyond what a double holds.
    const LARGE: i64 = 9_007_199_254_740_993;
    let payer = new_account();
    let waiting = |id, amount| {
        let mut event = paid("gift.sent", payer, id, amount);
        let held = event.held.as_mut().unwrap();
        held.outcome.balance = Amount(7);
        held.outcome.counters = vec![3, -4];
        event
    };
    let events = [waiting("a", LARGE), waiting("b", 30), waiting("a", LARGE)];
    let lease = cache.lease(payer).await.unwrap().unwrap();
    assert!(cache.fill(payer, lease, Some(settled(LARGE + 100, 1)), &events).await.unwrap());
    assert_eq!(cache.account(payer).await.unwrap().unwrap().held, Amount(LARGE + 30), "each is held once");
    let mut open = cache.open_holds(payer).await.unwrap();
    open.sort_by_key(|(event_id, _)| event_id.to_string());
    assert_eq!(open, [(event_id("a"), Amount(LARGE)), (event_id("b"), Amount(30))]);
    let too_much = cache.hold_now(hold_of(payer, "c", 71)).await.unwrap();
    assert_eq!(too_much, HoldResult::Insufficient(Amount(70)));

    let outcome = events[1].held.as_ref().unwrap().outcome.clone();
    let known = cache.outcome(payer, &event_id("b")).await.unwrap();
    let Remembered::Known(digest, told, position) = known else { panic!("{known:?}") };
    assert_eq!((digest, &told), (hold_of(payer, "b", 30).digest, &outcome));
    assert_eq!(cache.hold_now(hold_of(payer, "b", 30)).await.unwrap(), HoldResult::Replayed(outcome, position));
    cache.durable(position).await.unwrap();
    for _ in 0..2 {
        cache
            .release(vec![Release { account: payer, events: vec![event_id("a")], settled: Some(settled(100, 2)) }])
            .await
            .unwrap();
        let account = cache.account(payer).await.unwrap().unwrap();
        assert_eq!((account.settled, account.held), (settled(100, 2), Amount(30)));
    }
    held(cache, hold_of(payer, "c", 70)).await;
    cache
        .release(vec![Release {
            account: payer,
            events: vec![event_id("b"), event_id("c")],
            settled: Some(settled(0, 3)),
        }])
        .await
        .unwrap();
    assert_eq!(cache.account(payer).await.unwrap().unwrap().held, Amount(0));
    assert_eq!(cache.open_holds(payer).await.unwrap(), []);
}

pub(crate) async fn an_unknown_user_is_remembered_for_a_short_time(cache: &dyn Cache) {
    let account = new_account();
    let lease = cache.lease(account).await.unwrap().unwrap();
    assert!(cache.fill(account, lease, None, &[]).await.unwrap());
    assert_eq!(cache.account(account).await.unwrap(), None);
    assert_eq!(cache.hold_now(hold_of(account, "a", 1)).await.unwrap(), HoldResult::NoAccount);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while cache.hold_now(hold_of(account, "a", 1)).await.unwrap() == HoldResult::NoAccount {
        assert!(std::time::Instant::now() < deadline, "it is remembered for too long");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(cache.hold_now(hold_of(account, "a", 1)).await.unwrap(), HoldResult::Miss);
}

/// Eight threads hammer one account, each event id by two of them.
pub(crate) async fn hammering_one_account_never_overspends_and_debits_each_event_once(cache: Arc<dyn Cache>) {
    const BALANCE: i64 = 1_000;
    let payer = funded(&*cache, BALANCE).await;
    let spent = Arc::new(AtomicI64::new(0));
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..8 {
        let (cache, spent) = (Arc::clone(&cache), Arc::clone(&spent));
        tasks.spawn(async move {
            for number in 0..250 {
                let amount = 1 + number % 3;
                let result = cache.hold_now(hold_of(payer, &format!("{}-{number}", task / 2), amount)).await.unwrap();
                match result {
                    HoldResult::Held(outcome, _) => {
                        assert!(outcome.balance >= Amount::ZERO);
                        spent.fetch_add(outcome.amount.0, Ordering::Relaxed);
                    }
                    HoldResult::Replayed(..) | HoldResult::Insufficient(_) => {}
                    other => panic!("{other:?}"),
                }
            }
        });
    }
    tasks.join_all().await;
    let spent = spent.load(Ordering::Relaxed);
    let account = cache.account(payer).await.unwrap().unwrap();
    let open = cache.open_holds(payer).await.unwrap();
    assert_eq!(account.held, Amount(spent));
    assert_eq!(open.iter().map(|(_, amount)| amount.0).sum::<i64>(), spent);
    // 4 × 250 events of 2 on average want 1,999 in all: the account must have been spent to the last coin.
    assert_eq!(spent, BALANCE);
    assert!(open.len() <= 1_000);
}

/// Makes a test of each contract for a backend that `$open` opens; its `cache` is an `Arc<dyn Cache>`.
#[macro_export]
macro_rules! cache_contracts {
    ($open:path) => {
        $crate::cache_contracts!(@each $open;
            cache::a_hold_reserves_and_a_repetition_gets_the_same_answer
            cache::an_event_id_with_other_content_is_refused
            cache::two_payers_may_use_one_event_id
            cache::answers_come_in_order_of_precedence
            cache::counters_change_all_or_none_and_only_with_the_hold
            cache::release_removes_each_hold_once_and_takes_only_newer_versions
            cache::a_load_under_way_starts_over_when_the_account_was_settled_meanwhile
            cache::events_that_wait_are_open_holds_of_an_account_that_is_loaded
            cache::an_unknown_user_is_remembered_for_a_short_time
            key_space::a_commit_checks_then_writes_all_or_none
            key_space::a_commit_with_a_key_of_once_is_made_once_within_a_day
            key_space::counters_keep_their_limits_and_their_64_bits
            key_space::keys_of_one_kind_refuse_the_others
            key_space::keys_expire_by_the_time_of_the_caller
            key_space::sets_and_listings_hold_what_was_put_in
            key_space::who_enters_a_ranking_is_numbered_once_and_up_to_its_bound
            key_space::rankings_are_ordered_by_score_then_member
        );
        #[tokio::test(flavor = "multi_thread", worker_threads = 8)]
        async fn hammering_one_account_never_overspends_and_debits_each_event_once() {
            let backend = $open().await;
            let cache: std::sync::Arc<dyn greenroom::ports::cache::Cache> = backend.cache.clone();
            $crate::cache::hammering_one_account_never_overspends_and_debits_each_event_once(cache).await;
        }
    };
    (@each $open:path; $($module:ident :: $contract:ident)*) => {
        $(
            #[tokio::test]
            async fn $contract() {
                let backend = $open().await;
                $crate::$module::$contract(&*backend.cache).await;
            }
        )*
    };
}
