//! The rate of a user over several processes.

use std::time::{Duration, Instant};

use greenroom::adapters::redis::{Redis, RedisRateLimit, Settings, open};
use greenroom::domain::UserId;
use greenroom::ports::rate_limit::RateLimit;

use crate::fixture::new_account;
use crate::redis_backend::{cluster, single};
use crate::redis_server::RedisServer;

/// So that none comes free within a test.
const AN_HOUR: Duration = Duration::from_secs(3_600);

async fn two_processes(settings: Settings) -> [Redis; 2] {
    [open(settings.clone()).await.unwrap(), open(settings).await.unwrap()]
}

async fn let_through(limits: &[&RedisRateLimit], user: UserId, requests: usize) -> usize {
    let mut let_through = 0;
    for number in 0..requests {
        let_through += usize::from(limits[number % limits.len()].count(user).await.is_none());
    }
    let_through
}

#[tokio::test]
async fn a_user_has_one_rate_over_all_processes_and_others_are_not_hurt() {
    for settings in [single(), cluster()] {
        let processes = two_processes(settings).await;
        let [one, other] = processes.each_ref().map(|redis| redis.rate_limit(10, AN_HOUR));
        let limits = [&one, &other];
        let user = new_account().user_id;
        assert_eq!(let_through(&limits, user, 30).await, 10);
        let wait = other.count(user).await.unwrap();
        assert!(wait > AN_HOUR / 20 && wait <= AN_HOUR / 10, "{wait:?} until the next of ten in an hour");
        assert_eq!(let_through(&limits, new_account().user_id, 3).await, 3);
    }
}

#[tokio::test]
async fn requests_come_free_one_by_one_and_the_key_of_a_user_who_is_quiet_goes() {
    let redis = open(single()).await.unwrap();
    let limit = redis.rate_limit(2, Duration::from_millis(400));
    let user = new_account().user_id;
    assert_eq!(let_through(&[&limit], user, 3).await, 2);
    let deadline = Instant::now() + Duration::from_secs(20);
    let wait = limit.count(user).await.unwrap();
    assert!(wait <= Duration::from_millis(200), "{wait:?}");
    while limit.count(user).await.is_some() {
        assert!(Instant::now() < deadline, "none comes free");
    }
    let mut administrator = crate::redis_faults::administrator(&crate::redis_backend::single_url()).await;
    let mine = format!("*:rate:{user}");
    while !redis::cmd("KEYS").arg(&mine).query_async::<Vec<String>>(&mut administrator).await.unwrap().is_empty() {
        assert!(Instant::now() < deadline, "the key stays");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_server_that_does_not_answer_holds_up_nobody_for_long_and_lets_everybody_through() {
    let mut server = RedisServer::start(&[]).await;
    let redis = open(Settings { urls: vec![server.url()], ..single() }).await.unwrap();
    let limit = redis.rate_limit(1, AN_HOUR);
    let user = new_account().user_id;
    assert_eq!(limit.count(user).await, None);
    assert!(limit.count(user).await.is_some());
    server.pause();
    let begun = Instant::now();
    for _ in 0..1_000 {
        assert_eq!(limit.count(user).await, None);
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?} for 1,000 requests", begun.elapsed());
    server.kill();
    assert_eq!(limit.count(user).await, None);
}
