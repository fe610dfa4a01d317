//! A million participants of one room: each counted once by a counter over many shards, all of them in one ranking.

use std::sync::Arc;
use std::time::{Instant, UNIX_EPOCH};

use futures::stream::{self, StreamExt};
use greenroom::ports::cache::{Cache, Commit, CommitResult, Shard, Write};

use super::{Goal, Row, argument, median};

/// Shards of the counter, as many as a plugin takes for a room.
const SHARDS: usize = 16;
/// Members of one step of the ranking, as a consumer's batch has them.
const MEMBERS: usize = 100;
const AT_ONCE: usize = 256;
const READS: usize = 200;
const PAGE: usize = 100;
const KEY: &str = "participants";

/// What the four rows are called.
pub struct Names {
    pub counter: &'static str,
    pub ranking: &'static str,
    pub first: &'static str,
    pub place: &'static str,
}

/// Measures it on a cache whose buckets have their epochs.
pub async fn measure(cache: &dyn Cache, names: &Names) {
    let count = argument(KEY, 1_000_000);
    let counted = counter(cache, count).await;
    let (first, last) = ranking(cache, count).await;
    let (page, place) = reads(cache, count).await;
    let row = |name, figure, unit, limit: Option<f64>, contains| {
        let ratio = limit.map(|limit| figure / limit);
        Row { name, figure, unit, limit, ratio, goal: Goal::None, contains }.print();
    };
    row(
        names.counter,
        counted,
        "/s",
        None,
        "1,000,000 participants (or --participants) of one room, each a durable step of its own that adds 1 in one of 16 shards; the sum is exact",
    );
    row(
        names.ranking,
        last,
        "/s",
        Some(first),
        "members put into one ranking, 100 a step, the last tenth of them; limit: the first tenth, when it was small",
    );
    row(
        names.first,
        page,
        "us",
        None,
        "median of reading the first 100 places of that ranking, with all of its members",
    );
    row(names.place, place, "us", None, "median of reading one member's place and score in it");
}

/// Participants a second.
async fn counter(cache: &dyn Cache, count: usize) -> f64 {
    let started = Instant::now();
    let add = |user: usize| {
        let write = Write::Add { key: KEY.into(), delta: 1, max: None, ttl_ms: None };
        step(cache, shard(user % SHARDS), vec![write])
    };
    stream::iter(1..=count).map(add).buffer_unordered(AT_ONCE).for_each(async |()| {}).await;
    let took = started.elapsed().as_secs_f64();
    let mut sum = 0;
    for number in 0..SHARDS {
        sum += cache.counter(&shard(number), KEY, now_ms()).await.unwrap();
    }
    assert_eq!(sum, count as i64, "each participant counts once");
    count as f64 / took
}

/// Members a second: of the first tenth, and of the last.
async fn ranking(cache: &dyn Cache, count: usize) -> (f64, f64) {
    let users: Vec<usize> = (1..=count).collect();
    let mut rates = Vec::new();
    for tenth in users.chunks(count.div_ceil(10)) {
        let started = Instant::now();
        let add = |users: &[usize]| step(cache, ranked(), users.iter().map(|user| score(*user)).collect());
        stream::iter(tenth.chunks(MEMBERS)).map(add).buffer_unordered(AT_ONCE).for_each(async |()| {}).await;
        rates.push(tenth.len() as f64 / started.elapsed().as_secs_f64());
    }
    (rates[0], rates[rates.len() - 1])
}

/// Each has its own number as score.
fn score(user: usize) -> Write {
    Write::RankAdd { key: KEY.into(), member: user.to_string().into(), delta: user as i64, ttl_ms: None }
}

/// Microseconds of a page from the top, and of a place.
async fn reads(cache: &dyn Cache, count: usize) -> (f64, f64) {
    let (mut pages, mut places) = (Vec::new(), Vec::new());
    for number in 0..READS {
        let started = Instant::now();
        let page = cache.top(&ranked(), KEY, 0, PAGE, now_ms()).await.unwrap();
        pages.push(started.elapsed().as_secs_f64() * 1e6);
        let scores: Vec<i64> = page.iter().map(|ranked| ranked.score).collect();
        let expected: Vec<i64> = (0..PAGE as i64).map(|place| count as i64 - place).collect();
        assert_eq!(scores, expected);

        let user = 1 + number * (count / READS);
        let started = Instant::now();
        let place = cache.rank(&ranked(), KEY, &user.to_string(), now_ms()).await.unwrap().unwrap();
        places.push(started.elapsed().as_secs_f64() * 1e6);
        assert_eq!((place.score, place.rank as usize), (user as i64, count - user + 1));
    }
    (median(pages), median(places))
}

async fn step(cache: &dyn Cache, shard: Shard, writes: Vec<Write>) {
    let (checks, events) = (Vec::new(), Vec::new());
    let commit = Commit { shard, once: None, checks, writes, events, now_ms: now_ms() };
    match cache.commit(commit).await.unwrap() {
        CommitResult::Applied(_, position) => cache.durable(position).await.unwrap(),
        refused => panic!("{refused:?}"),
    }
}

fn shard(number: usize) -> Shard {
    Shard { plugin: Arc::from("bench"), name: format!("room/7/{number}").into() }
}

fn ranked() -> Shard {
    Shard { plugin: Arc::from("bench"), name: "room/7".into() }
}

fn now_ms() -> u64 {
    u64::try_from(UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap()
}
