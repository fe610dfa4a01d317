//! The scripts of Redis against the embedded cache: the same steps, the same answers.

use std::sync::Arc;

use greenroom::adapters::embedded;
use greenroom::ports::cache::{Cache, Check, Commit, CommitResult, CounterAdd, HoldResult, Release, Shard, Write};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::fixture::*;
use crate::key_space::commit_of;
use crate::redis_backend::open_single;

const STEPS: usize = 1_500;
const NAMES: [&str; 4] = ["a", "b", "ä", ""];

fn name(random: &mut StdRng) -> Arc<str> {
    NAMES[random.random_range(0..NAMES.len())].into()
}

fn number(random: &mut StdRng) -> i64 {
    match random.random_range(0..12) {
        0 => i64::MAX,
        1 => i64::MIN,
        2 => random.random(),
        _ => random.random_range(-3..=3),
    }
}

fn ttl(random: &mut StdRng) -> Option<u32> {
    random.random_bool(0.5).then(|| random.random_range(1..20))
}

fn write(random: &mut StdRng) -> Write {
    let (key, member) = (name(random), name(random));
    match random.random_range(0..9) {
        0 => Write::Put { key, value: member.as_bytes().to_vec().into(), ttl_ms: ttl(random) },
        1 => Write::Delete { key },
        2 => {
            let max = random.random_bool(0.3).then(|| number(random));
            Write::Add { key, delta: number(random), max, ttl_ms: ttl(random) }
        }
        3 => Write::SetAdd { key, member },
        4 => Write::SetRemove { key, member },
        5 => Write::RankAdd { key, member, delta: number(random), ttl_ms: ttl(random) },
        6 => {
            let max = random.random_bool(0.5).then(|| random.random_range(0..4));
            Write::RankEnter { key, member, max, ttl_ms: ttl(random) }
        }
        7 => Write::RankSet { key, member, score: number(random) },
        _ => Write::RankRemove { key, member },
    }
}

fn commit(random: &mut StdRng, shard: &Shard, now_ms: u64) -> Commit {
    let writes = (0..random.random_range(1..4)).map(|_| write(random)).collect();
    let checks = usize::from(random.random_bool(0.2));
    let check = |_| Check {
        key: name(random),
        expected: random.random_bool(0.3).then(|| name(random).as_bytes().to_vec().into()),
    };
    let checks = (0..checks).map(check).collect();
    let once = random.random_bool(0.1).then(|| name(random));
    Commit { checks, once, now_ms, ..commit_of(shard, writes) }
}

/// An answer without what each cache calls its own.
async fn answer(cache: &dyn Cache, commit: Commit) -> String {
    match cache.commit(commit).await {
        Ok(CommitResult::Applied(numbers, _)) => format!("applied {numbers:?}"),
        Ok(CommitResult::Repeated(_)) => "repeated".into(),
        other => format!("{other:?}"),
    }
}

async fn view(cache: &dyn Cache, shard: &Shard, now_ms: u64) -> String {
    let mut view = format!("{:?}", cache.keys(shard, None, 10, now_ms).await);
    for key in NAMES {
        view += &format!(
            "\n{key}: {:?} {:?} {:?} {:?}",
            cache.get(shard, key, now_ms).await,
            cache.counter(shard, key, now_ms).await,
            cache.top(shard, key, 0, 10, now_ms).await,
            cache.top(shard, key, 1, 1, now_ms).await,
        );
        for member in NAMES {
            let is_in = cache.contains(shard, key, member, now_ms).await;
            view += &format!(" {is_in:?} {:?}", cache.rank(shard, key, member, now_ms).await);
        }
    }
    view
}

#[tokio::test]
async fn a_shard_in_redis_answers_as_an_embedded_one() {
    let seed = rand::random();
    let mut random = StdRng::seed_from_u64(seed);
    let dir = tempfile::tempdir().unwrap();
    let embedded = embedded::open(embedded::Settings::new(dir.path())).await.unwrap();
    let redis = open_single().await;
    let shards = [new_shard("p"), new_shard("p"), new_shard("p")];
    let mut now_ms = NOW_MS;
    let mut applied = 0;
    for step in 0..STEPS {
        now_ms += random.random_range(0..5);
        let shard = &shards[random.random_range(0..shards.len())];
        let commit = commit(&mut random, shard, now_ms);
        let expected = answer(&*embedded.cache, commit.clone()).await;
        applied += usize::from(expected.starts_with("applied"));
        assert_eq!(answer(&*redis.cache, commit.clone()).await, expected, "seed {seed}, step {step}: {commit:?}");
        if step % 5 == 0 {
            let expected = view(&*embedded.cache, shard, now_ms).await;
            assert_eq!(view(&*redis.cache, shard, now_ms).await, expected, "seed {seed}, step {step}: {commit:?}");
        }
    }
    assert!(applied > STEPS / 10, "seed {seed}: only {applied} steps were applied");
}

#[tokio::test]
async fn an_account_in_redis_answers_as_an_embedded_one() {
    let seed = rand::random();
    let mut random = StdRng::seed_from_u64(seed);
    let dir = tempfile::tempdir().unwrap();
    let embedded = embedded::open(embedded::Settings::new(dir.path())).await.unwrap();
    let redis = open_single().await;
    let caches: [&dyn Cache; 2] = [&*embedded.cache, &*redis.cache];
    let account = new_account();
    for cache in caches {
        fill(cache, account, 100, 1).await;
    }
    for step in 0..STEPS {
        let id = format!("e{}", random.random_range(0..200));
        let mut hold = hold_of(account, &id, random.random_range(-1..40));
        if random.random_bool(0.1) {
            hold.digest = greenroom::domain::ContentDigest::of("other", account, b"");
        }
        let max = random.random_bool(0.5).then(|| number(&mut random));
        if random.random_bool(0.3) {
            hold.counters = vec![CounterAdd { key: name(&mut random), delta: number(&mut random), max, ttl_ms: 9 }; 2];
        }
        hold.now_ms += step as u64;
        let settled = random
            .random_bool(0.5)
            .then(|| settled(random.random_range(-20..200), random.random_range(0..9) + step as i64 / 20));
        let is_hold = random.random_bool(0.6);
        let mut answers = Vec::new();
        for cache in caches {
            let answer = if is_hold {
                match cache.hold_now(hold.clone()).await {
                    Ok(HoldResult::Held(outcome, _)) => format!("held {outcome:?}"),
                    Ok(HoldResult::Replayed(outcome, _)) => format!("replayed {outcome:?}"),
                    other => format!("{other:?}"),
                }
            } else {
                format!(
                    "{:?}",
                    cache
                        .release(vec![Release { account, events: vec![event_id(&id), event_id("e0")], settled }])
                        .await
                )
            };
            let mut open = cache.open_holds(account).await.unwrap();
            open.sort();
            answers.push(format!("{answer} {:?} {open:?}", cache.account(account).await));
        }
        assert_eq!(answers[1], answers[0], "seed {seed}, step {step}: {hold:?}");
    }
}
