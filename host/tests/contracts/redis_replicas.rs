//! What a gift waits for with durability `replicated`: the replicas' memory, or the disks where the servers can tell of them.

use std::time::Duration;

use futures::future::join_all;
use greenroom::adapters::redis::{Durability, Settings};
use greenroom::ports::cache::{Cache, Remembered};

use crate::fixture::*;
use crate::redis_backend::{begin, single};
use crate::redis_newer::Newer;
use crate::redis_server::RedisServer;

fn replicated(url: String, timeout: Duration) -> Settings {
    let durability = Durability::Replicated { replicas: 1, timeout };
    Settings { urls: vec![url], durability, buckets: 4, ..single() }
}

/// How often a server was asked for a command.
async fn asked(server: &RedisServer, command: &str) -> usize {
    let info: String = server.ask(&["INFO", "commandstats"]).await.unwrap();
    let line = info.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
    line.map_or(0, |rest| rest.split(',').next().unwrap().parse().unwrap())
}

/// Each would wait for a second in vain, one after the other.
#[tokio::test]
async fn those_who_wait_together_for_too_few_replicas_fail_together_and_may_ask_again() {
    let (x, y) = (RedisServer::start(&[]).await, RedisServer::start(&[]).await);
    let backend = begin(replicated(x.url(), Duration::from_millis(500))).await;
    let payer = funded(&*backend.cache, 100).await;
    let mut positions = Vec::new();
    for number in 0..20 {
        positions.push(held(&*backend.cache, hold_of(payer, &number.to_string(), 1)).await.1);
    }
    let waited = join_all(positions.iter().map(|position| backend.cache.durable(*position))).await;
    assert!(
        waited.iter().all(|waited| waited.as_ref().is_err_and(|error| error.to_string().contains("0 of 1 replicas")))
    );
    assert_eq!(asked(&x, "wait").await + asked(&x, "waitaof").await, 1);

    y.follow(&x).await;
    let again = hold_of(payer, "3", 1);
    let known = backend.cache.outcome(payer, &again.event_id).await.unwrap();
    let Remembered::Known(_, _, position) = known else { panic!("{known:?}") };
    backend.cache.durable(position).await.unwrap();
}

#[tokio::test]
async fn disks_are_waited_for_where_the_server_can_tell_of_them() {
    let (x, y) = (RedisServer::start(&["--appendfsync", "always"]).await, RedisServer::start(&[]).await);
    y.follow(&x).await;
    let newer = Newer::open(x.url()).await;
    let backend = begin(replicated(newer.url(), Duration::from_millis(500))).await;
    let payer = funded(&*backend.cache, 100).await;
    for (number, told, is_safe) in [(0, (1, 1), true), (1, (1, 0), false), (2, (0, 1), false), (3, (1, 2), true)] {
        newer.tell(told);
        let (_, position) = held(&*backend.cache, hold_of(payer, &number.to_string(), 1)).await;
        let waited = backend.cache.durable(position).await;
        assert_eq!(waited.is_ok(), is_safe, "{told:?}: {waited:?}");
    }
    assert_eq!(
        newer.asked(),
        ["1", "1", "2500"],
        "one disk of the master, one of a replica, half a second and two for disks"
    );
    assert_eq!(asked(&x, "wait").await, 0);
}

#[tokio::test]
async fn memory_is_waited_for_where_there_is_no_append_only_file_or_no_newer_server() {
    let y = RedisServer::start(&[]).await;
    for aof in ["yes", "no"] {
        let x = RedisServer::start(&["--appendonly", aof]).await;
        y.follow(&x).await;
        // A server that can, without a file; and one that has a file and may be too old: what it is, it says itself.
        let version: String = x.ask(&["INFO", "server"]).await.unwrap();
        let is_newer = !version.contains("redis_version:7.0");
        let newer = Newer::open(x.url()).await;
        let url = if aof == "no" { newer.url() } else { x.url() };
        let backend = begin(replicated(url, Duration::from_secs(20))).await;
        let payer = funded(&*backend.cache, 100).await;
        let (_, position) = held(&*backend.cache, hold_of(payer, "a", 1)).await;
        backend.cache.durable(position).await.unwrap();
        let command = if aof == "yes" && is_newer { "waitaof" } else { "wait" };
        assert_eq!(asked(&x, command).await, 1, "{command}, appendonly {aof}");
    }
}
