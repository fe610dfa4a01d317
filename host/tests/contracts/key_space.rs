//! What every cache must do, over `dyn Cache`: the plugins' key space.

use std::collections::HashMap;
use std::sync::Arc;

use greenroom::ports::cache::{Cache, Check, Commit, CommitResult, Error, Shard, Write};

use crate::fixture::*;

pub(crate) fn commit_of(shard: &Shard, writes: Vec<Write>) -> Commit {
    Commit { shard: shard.clone(), once: None, checks: Vec::new(), writes, events: Vec::new(), now_ms: NOW_MS }
}

fn put(key: &str, value: &str) -> Write {
    Write::Put { key: key.into(), value: value.to_owned().into(), ttl_ms: None }
}

fn add(key: &str, delta: i64, max: Option<i64>) -> Write {
    Write::Add { key: key.into(), delta, max, ttl_ms: None }
}

fn set_add(key: &str, member: &str) -> Write {
    Write::SetAdd { key: key.into(), member: member.into() }
}

fn rank_add(key: &str, member: &str, delta: i64) -> Write {
    Write::RankAdd { key: key.into(), member: member.into(), delta, ttl_ms: Some(1_000) }
}

async fn applied(cache: &dyn Cache, commit: Commit) -> Vec<i64> {
    match cache.commit(commit).await.unwrap() {
        CommitResult::Applied(numbers, position) => {
            cache.durable(position).await.unwrap();
            numbers
        }
        other => panic!("not applied: {other:?}"),
    }
}

pub(crate) async fn a_commit_checks_then_writes_all_or_none(cache: &dyn Cache) {
    let shard = new_shard("p");
    let check = |key: &str, expected: Option<&str>| Check {
        key: key.into(),
        expected: expected.map(|text| text.to_owned().into()),
    };
    let mut commit = commit_of(&shard, vec![put("k", "1"), set_add("s", "m"), rank_add("r", "m", 4)]);
    commit.checks = vec![check("k", None)];
    assert_eq!(applied(cache, commit.clone()).await, [0, 1, 4]);
    commit.checks = vec![check("k", Some("1")), check("k", Some("2"))];
    assert_eq!(cache.commit(commit.clone()).await.unwrap(), CommitResult::CheckFailed(1));
    let full = vec![
        Write::Delete { key: "k".into() },
        set_add("s", "n"),
        Write::SetRemove { key: "s".into(), member: "m".into() },
        rank_add("r", "m", 1),
        Write::RankRemove { key: "r".into(), member: "m".into() },
        Write::Delete { key: "s".into() },
        put("new", "x"),
        add("c", 2, Some(1)),
    ];
    assert_eq!(cache.commit(commit_of(&shard, full)).await.unwrap(), CommitResult::LimitReached(7));
    assert_eq!(cache.get(&shard, "k", NOW_MS).await.unwrap().unwrap(), "1");
    assert_eq!(cache.get(&shard, "new", NOW_MS).await.unwrap(), None);
    assert!(cache.contains(&shard, "s", "m", NOW_MS).await.unwrap());
    assert!(!cache.contains(&shard, "s", "n", NOW_MS).await.unwrap());
    assert_eq!(cache.rank(&shard, "r", "m", NOW_MS).await.unwrap().unwrap().score, 4);
    let other = Shard { plugin: "q".into(), ..shard };
    assert_eq!(cache.get(&other, "k", NOW_MS).await.unwrap(), None, "another plugin's keys cannot be reached");
}

pub(crate) async fn a_commit_with_a_key_of_once_is_made_once_within_a_day(cache: &dyn Cache) {
    const DAY_MS: u64 = 86_400_000;
    let shard = new_shard("p");
    let mut commit = commit_of(&shard, vec![add("c", 1, Some(2))]);
    commit.once = Some("vote".into());
    let CommitResult::Applied(numbers, position) = cache.commit(commit.clone()).await.unwrap() else { panic!() };
    assert_eq!(numbers, [1]);
    assert_eq!(cache.commit(commit.clone()).await.unwrap(), CommitResult::Repeated(position));
    commit.now_ms += DAY_MS - 1;
    assert_eq!(cache.commit(commit.clone()).await.unwrap(), CommitResult::Repeated(position));
    assert_eq!(cache.counter(&shard, "c", NOW_MS).await.unwrap(), 1);
    commit.once = Some("other".into());
    commit.writes = vec![add("c", 5, Some(2))];
    assert_eq!(cache.commit(commit.clone()).await.unwrap(), CommitResult::LimitReached(0));
    commit.writes = vec![add("c", 1, Some(2))];
    assert_eq!(applied(cache, commit).await, [2], "what was refused did not use the key");
}

pub(crate) async fn counters_keep_their_limits_and_their_64_bits(cache: &dyn Cache) {
    let shard = new_shard("p");
    let numbers =
        applied(cache, commit_of(&shard, vec![add("c", 3, Some(3)), add("c", -5, None), add("c", 1, None)])).await;
    assert_eq!(numbers, [3, -2, -1]);
    let over = commit_of(&shard, vec![add("c", i64::MIN, None)]);
    assert_eq!(cache.commit(over).await.unwrap(), CommitResult::LimitReached(0));
    let over = commit_of(&shard, vec![rank_add("r", "m", i64::MAX), rank_add("r", "m", 1)]);
    assert_eq!(cache.commit(over).await.unwrap(), CommitResult::LimitReached(1));
    assert_eq!(cache.rank(&shard, "r", "m", NOW_MS).await.unwrap(), None);
    assert_eq!(cache.counter(&shard, "absent", NOW_MS).await.unwrap(), 0);
}

pub(crate) async fn keys_of_one_kind_refuse_the_others(cache: &dyn Cache) {
    let shard = new_shard("p");
    applied(cache, commit_of(&shard, vec![put("bytes", "x"), add("counter", 1, None), set_add("set", "m")])).await;
    for write in [add("bytes", 1, None), set_add("counter", "m"), rank_add("set", "m", 1)] {
        let refused = cache.commit(commit_of(&shard, vec![put("other", "x"), write])).await;
        assert!(matches!(refused, Err(Error::WrongKind(_))), "{refused:?}");
    }
    assert!(matches!(cache.get(&shard, "set", NOW_MS).await, Err(Error::WrongKind(_))));
    assert!(matches!(cache.counter(&shard, "bytes", NOW_MS).await, Err(Error::WrongKind(_))));
    assert!(matches!(cache.top(&shard, "counter", 0, 1, NOW_MS).await, Err(Error::WrongKind(_))));
    assert_eq!(cache.get(&shard, "other", NOW_MS).await.unwrap(), None);
    applied(cache, commit_of(&shard, vec![put("set", "now bytes"), Write::Delete { key: "counter".into() }])).await;
    assert_eq!(cache.get(&shard, "set", NOW_MS).await.unwrap().unwrap(), "now bytes");
}

pub(crate) async fn keys_expire_by_the_time_of_the_caller(cache: &dyn Cache) {
    let shard = new_shard("p");
    let brief = Write::Put { key: "k".into(), value: "x".into(), ttl_ms: Some(1_000) };
    let counted = Write::Add { key: "c".into(), delta: 7, max: None, ttl_ms: Some(1_000) };
    applied(cache, commit_of(&shard, vec![brief, counted, rank_add("r", "m", 5), put("stays", "x")])).await;
    let (before, after) = (NOW_MS + 999, NOW_MS + 1_000);
    assert!(cache.get(&shard, "k", before).await.unwrap().is_some());
    assert_eq!(cache.get(&shard, "k", after).await.unwrap(), None);
    assert_eq!(cache.counter(&shard, "c", before).await.unwrap(), 7);
    assert_eq!(cache.rank(&shard, "r", "m", after).await.unwrap(), None);
    assert_eq!(cache.keys(&shard, None, 10, after).await.unwrap(), [Arc::<str>::from("stays")]);
    let mut later = commit_of(&shard, vec![rank_add("r", "n", 1), add("c", 1, None)]);
    later.now_ms = after;
    assert_eq!(applied(cache, later).await, [1, 1], "what has expired starts anew");
    assert_eq!(cache.rank(&shard, "r", "m", after).await.unwrap(), None);
    assert_eq!(cache.top(&shard, "r", 0, 10, after).await.unwrap().len(), 1);
}

pub(crate) async fn sets_and_listings_hold_what_was_put_in(cache: &dyn Cache) {
    let shard = new_shard("p");
    let remove = |member: &str| Write::SetRemove { key: "s".into(), member: member.into() };
    let writes = vec![set_add("s", "a"), set_add("s", "a"), remove("b"), put("b", ""), put("a", ""), put("c", "")];
    assert_eq!(applied(cache, commit_of(&shard, writes)).await, [1, 0, 0, 0, 0, 0]);
    let after_a: Vec<Arc<str>> = cache.keys(&shard, Some("a"), 2, NOW_MS).await.unwrap();
    assert_eq!(after_a, [Arc::<str>::from("b"), "c".into()]);
    assert_eq!(applied(cache, commit_of(&shard, vec![remove("a")])).await, [1]);
    assert_eq!(
        cache.keys(&shard, Some("c"), 9, NOW_MS).await.unwrap(),
        Vec::<Arc<str>>::new(),
        "an empty set is no key"
    );
}

pub(crate) async fn who_enters_a_ranking_is_numbered_once_and_up_to_its_bound(cache: &dyn Cache) {
    let shard = new_shard("p");
    let enter =
        |member: &str, max| Write::RankEnter { key: "r".into(), member: member.into(), max, ttl_ms: Some(1_000) };
    let writes = ["a", "b", "a", "c", "b"].map(|member| enter(member, Some(3))).to_vec();
    assert_eq!(applied(cache, commit_of(&shard, writes)).await, [1, 2, 1, 3, 2]);
    let over = commit_of(&shard, vec![enter("b", Some(3)), enter("d", Some(3))]);
    assert_eq!(cache.commit(over).await.unwrap(), CommitResult::LimitReached(1));
    let last_first = cache.top(&shard, "r", 0, 10, NOW_MS).await.unwrap();
    let last_first: Vec<_> = last_first.iter().map(|place| (&*place.member, place.score)).collect();
    assert_eq!(last_first, [("c", 3), ("b", 2), ("a", 1)]);
    assert_eq!(applied(cache, commit_of(&shard, vec![enter("d", None), enter("a", Some(0))])).await, [4, 1]);
    let mut later = commit_of(&shard, vec![enter("e", None)]);
    later.now_ms = NOW_MS + 1_000;
    assert_eq!(applied(cache, later).await, [1], "what has expired starts anew");
}

pub(crate) async fn rankings_are_ordered_by_score_then_member(cache: &dyn Cache) {
    let shard = new_shard("p");
    let mut model: HashMap<String, i64> = HashMap::new();
    for round in 0..20i64 {
        let step = |index: i64| (format!("m{}", (index * 7 + round) % 61), (index * round) % 5 - 1);
        let steps: Vec<_> = (0..30).map(step).collect();
        let writes = steps.iter().map(|(member, delta)| rank_add("r", member, *delta)).collect();
        applied(cache, commit_of(&shard, writes)).await;
        steps.into_iter().for_each(|(member, delta)| *model.entry(member).or_default() += delta);
    }
    let set = Write::RankSet { key: "r".into(), member: "m0".into(), score: 1_000 };
    let remove = Write::RankRemove { key: "r".into(), member: "m1".into() };
    applied(cache, commit_of(&shard, vec![set, remove])).await;
    model.insert("m0".into(), 1_000);
    model.remove("m1");
    let mut expected: Vec<_> = model.into_iter().collect();
    expected.sort_by(|(a, x), (b, y)| y.cmp(x).then(a.cmp(b)));
    let top = cache.top(&shard, "r", 5, 20, NOW_MS).await.unwrap();
    assert_eq!(top.len(), 20);
    for (place, (member, score)) in top.iter().zip(expected.iter().skip(5)) {
        assert_eq!((&*place.member, place.score), (member.as_str(), *score));
    }
    for (index, (member, score)) in expected.iter().enumerate() {
        let place = cache.rank(&shard, "r", member, NOW_MS).await.unwrap().unwrap();
        assert_eq!((place.rank as usize, place.score), (index + 1, *score));
    }
    assert!(cache.rank(&shard, "r", "m0", u64::MAX - 2).await.unwrap().is_some(), "RankSet keeps the ranking");
}
