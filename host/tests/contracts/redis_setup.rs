//! Servers that are set up so that they would lose what they are given.

use greenroom::adapters::redis::{Error, Settings, open};

use crate::redis_backend::{cluster, single};
use crate::redis_faults::as_a_user;
use crate::redis_server::RedisServer;

fn at(server: &RedisServer) -> Settings {
    Settings { urls: vec![server.url()], ..single() }
}

#[tokio::test]
async fn a_server_that_drops_keys_when_its_memory_is_full_is_refused_with_the_remedy() {
    let server = RedisServer::start(&["--maxmemory", "100mb", "--maxmemory-policy", "volatile-ttl"]).await;
    let error = open(at(&server)).await.unwrap_err();
    assert!(matches!(&error, Error::Evicts(policy) if policy == "volatile-ttl"), "{error}");
    let told = error.to_string();
    assert!(told.contains("maxmemory-policy is volatile-ttl") && told.contains("set it to noeviction"), "{told}");
    server.ask::<()>(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]).await.unwrap();
    open(at(&server)).await.unwrap();
}

#[tokio::test]
async fn a_policy_that_nothing_ever_calls_for_is_no_fault() {
    let server = RedisServer::start(&["--maxmemory-policy", "allkeys-lru", "--appendonly", "no"]).await;
    open(at(&server)).await.unwrap();
}

#[tokio::test]
async fn a_server_that_does_not_tell_how_it_is_set_up_is_believed() {
    for settings in [single(), cluster()] {
        let (settings, _) = as_a_user(settings, &["-config"]).await;
        open(settings).await.unwrap();
    }
}
