//! How long the server keeps a plugin's key: an hour longer than the step says, which is not said anew with every step.

use greenroom::ports::cache::{Cache, Commit, CommitResult, Write};
use redis::aio::MultiplexedConnection;

use crate::fixture::{NOW_MS, new_shard};
use crate::key_space::commit_of;
use crate::redis_backend::{open_single, single_url};
use crate::redis_faults::administrator;

const MINUTE_MS: u32 = 60_000;
/// What the test makes of lifetimes, to see which are said anew.
const LEFT_MS: i64 = 1_000;

async fn shorten(link: &mut MultiplexedConnection, keys: &[String]) {
    for key in keys {
        redis::cmd("PEXPIRE").arg(key).arg(LEFT_MS * 1_000).exec_async(link).await.unwrap();
    }
}

async fn lifetimes(link: &mut MultiplexedConnection, keys: &[String]) -> Vec<i64> {
    let mut left = Vec::new();
    for key in keys {
        left.push(redis::cmd("PTTL").arg(key).query_async::<i64>(link).await.unwrap());
    }
    left
}

#[tokio::test]
async fn a_lifetime_is_said_anew_before_half_of_the_hour_is_over_and_not_with_every_step() {
    let backend = open_single().await;
    let mut link = administrator(&single_url()).await;
    let shard = new_shard("p");
    // A whole multiple of half an hour, so that the steps lie where they are meant to.
    let began_ms = NOW_MS - NOW_MS % 1_800_000;
    let ttl_ms = Some(60 * MINUTE_MS);
    let step = |minutes: u64| {
        let writes = vec![
            Write::RankAdd { key: "ranking".into(), member: "m".into(), delta: 1, ttl_ms },
            Write::Add { key: "counter".into(), delta: 1, max: None, ttl_ms },
            Write::Put { key: "bytes".into(), value: "x".into(), ttl_ms },
        ];
        backend.cache.commit(Commit { now_ms: began_ms + minutes * u64::from(MINUTE_MS), ..commit_of(&shard, writes) })
    };
    step(0).await.unwrap();
    let keys: Vec<String> = redis::cmd("KEYS").arg(format!("*{}*", shard.name)).query_async(&mut link).await.unwrap();
    assert_eq!(keys.len(), 5, "three keys, the order of the ranking, and the listing: {keys:?}");
    let two_hours = |left: &i64| (7_190_000..=7_200_000).contains(left);
    assert!(lifetimes(&mut link, &keys).await.iter().all(two_hours));

    shorten(&mut link, &keys).await;
    step(29).await.unwrap();
    let left = lifetimes(&mut link, &keys).await;
    assert!(left.iter().all(|left| *left <= LEFT_MS * 1_000), "nothing had to be said: {left:?}");
    step(31).await.unwrap();
    let left = lifetimes(&mut link, &keys).await;
    assert!(left.iter().all(two_hours), "half of the hour is over: {left:?}");
    let score = backend.cache.rank(&shard, "ranking", "m", began_ms).await.unwrap().unwrap().score;
    assert_eq!(score, 3);
}

#[tokio::test]
async fn a_ranking_whose_only_member_moves_keeps_the_lifetime_of_its_order() {
    let backend = open_single().await;
    let mut link = administrator(&single_url()).await;
    let shard = new_shard("p");
    // The second score has so many digits that its place has another name.
    for delta in [1, 1_000_000_000_000_000] {
        let write = Write::RankAdd { key: "ranking".into(), member: "m".into(), delta, ttl_ms: Some(MINUTE_MS) };
        backend.cache.commit(commit_of(&shard, vec![write])).await.unwrap();
    }
    let keys: Vec<String> = redis::cmd("KEYS").arg(format!("*{}*", shard.name)).query_async(&mut link).await.unwrap();
    let left = lifetimes(&mut link, &keys).await;
    assert!(left.len() == 3 && left.iter().all(|left| *left > 0), "{keys:?}: {left:?}");
}

#[tokio::test]
async fn very_many_members_of_one_key_change_in_one_step_and_are_counted_exactly() {
    // As many as a plugin may write in one step.
    const MEMBERS: usize = 10_000;
    let backend = open_single().await;
    let shard = new_shard("p");
    let enter = |number: usize| Write::RankEnter {
        key: "entrants".into(),
        member: format!("m{number}").into(),
        max: Some(10_000),
        ttl_ms: None,
    };
    let step = commit_of(&shard, (0..MEMBERS).map(enter).collect());
    let CommitResult::Applied(numbers, _) = backend.cache.commit(step).await.unwrap() else { panic!("not applied") };
    assert!(numbers.iter().enumerate().all(|(before, number)| *number == before as i64 + 1));
    let again = commit_of(&shard, vec![enter(MEMBERS - 1), enter(MEMBERS)]);
    assert!(matches!(backend.cache.commit(again).await.unwrap(), CommitResult::LimitReached(..)));
}
