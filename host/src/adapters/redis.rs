//! Cache, outbox and push bus in Redis 7: a single server, or Redis Cluster. Steps 5, 7 and 10 of the way of a gift.
//!
//! Users and shards are divided into buckets. All keys of a bucket carry one hash tag, so that a bucket lies on one node, and every
//! step is one script there: it is made as a whole or not at all. Amounts are 64 bits; the scripts reckon with decimal strings, because
//! numbers of Lua are doubles. Bounded are the outbox, the time of each call, and the time for which anything without open holds is
//! kept; the memory is Redis's own to bound, with `maxmemory` and the policy `noeviction`: then steps are refused, and nothing is lost.
//! A bucket without its epoch refuses holds and commits. What lasts how well is said by [`Durability`].
//!
//! An epoch names the history of data that it was set in, as Redis does (`master_replid`): another one begins when a replica is promoted,
//! when a server starts as a master, when it gets its first replica, and when it has been without one for `repl-backlog-ttl` (set that to
//! 0). Then the bucket is recovered, whether data was lost or not. The scripts ask for it with INFO, which costs about 3 µs.
//!
//! The clocks of hosts and servers may differ by up to a minute. Nothing here retries a step for its caller: a step whose answer was
//! lost is `Unavailable`, and the same event id finds out. Where Redis Cluster's client asks again by itself, the scripts see to it that
//! a step is made once.

mod accounts;
mod appended;
mod cache;
mod commit;
mod durability;
mod event;
mod hold;
mod key_space;
mod keys;
mod nodes;
mod outbox;
mod push_bus;
mod rate_limit;
mod reply;
mod scripts;
mod server;
mod setup;

use std::sync::Arc;
use std::time::Duration;

pub use cache::RedisCache;
pub use durability::Durability;
pub use outbox::RedisOutbox;
pub use push_bus::RedisPushBus;
pub use rate_limit::RedisRateLimit;

use appended::Appended;
use durability::Steps;
use keys::Keys;
use server::Server;

use super::guard::{self, Guard};
use crate::breaker::Breaker;

/// Where Redis is, how it is divided, and what bounds it. Every host that shares a prefix needs the same `prefix`, `buckets` and
/// `channels`; to change one of these, let the outbox run empty and choose another prefix.
#[derive(Debug, Clone)]
pub struct Settings {
    /// One server: `redis://user:password@host:port/db`. Redis Cluster: any of its nodes.
    pub urls: Vec<String>,
    /// Whether the URLs are nodes of a Redis Cluster.
    pub is_cluster: bool,
    /// What every key and channel begins with; without `{` and `}`.
    pub prefix: String,
    /// Into how many buckets users and shards are divided, 1 or more.
    pub buckets: u32,
    /// What has to be before an answer is told.
    pub durability: Durability,
    /// Events that wait for the relay, in all buckets together; then holds and commits with events are refused as full.
    pub outbox_len_max: u64,
    /// How long the outcome of an event is remembered; a day at least. An open hold keeps its outcome.
    pub outcome_lifetime: Duration,
    /// How long an account without open holds is kept after its last release, and up to a quarter longer.
    pub account_lifetime: Duration,
    /// How long a user who does not exist is remembered as such.
    pub absent_lifetime: Duration,
    /// How long a load of an account may take.
    pub lease_lifetime: Duration,
    /// How long a call may take; then it counts as unavailable.
    pub call_timeout: Duration,
    /// How long connecting to a server may take.
    pub connect_timeout: Duration,
    /// When Redis counts as away.
    pub guard: guard::Settings,
    /// The longest time between two tries to connect.
    pub reconnect_delay_max: Duration,
    /// How long `durable` waits for replicas or the relay; then the durability of a step is not known.
    pub durable_wait: Duration,
    /// The circuit of the queue, if it has one: nobody waits for a queue that does not answer.
    pub queue: Option<Arc<Breaker>>,
    /// Channels that the rooms' pushes are divided into, 1 or more.
    pub channels: u32,
    /// Pushes that wait for the hub; then publishing waits. Pushes of other hosts are lost at sixteen times as many.
    pub push_capacity: usize,
}

impl Settings {
    /// Defaults for a server.
    #[must_use]
    pub fn new(urls: Vec<String>, is_cluster: bool) -> Self {
        Self {
            urls,
            is_cluster,
            prefix: "greenroom".into(),
            buckets: 64,
            durability: Durability::Cached,
            outbox_len_max: 1_000_000,
            outcome_lifetime: Duration::from_secs(2 * 86_400),
            account_lifetime: Duration::from_secs(3_600),
            absent_lifetime: Duration::from_secs(1),
            lease_lifetime: Duration::from_secs(5),
            call_timeout: Duration::from_secs(2),
            connect_timeout: Duration::from_secs(2),
            guard: guard::Settings::default(),
            reconnect_delay_max: Duration::from_secs(1),
            durable_wait: Duration::from_secs(5),
            queue: None,
            channels: 16,
            push_capacity: 16_384,
        }
    }
}

/// Redis could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The settings cannot be.
    #[error("{0}")]
    Settings(&'static str),
    /// A server would drop what it was given.
    #[error(
        "redis: maxmemory-policy is {0}, which drops balances and gifts when the memory is full; set it to noeviction, \
         in redis.conf and with CONFIG SET maxmemory-policy noeviction, on every node"
    )]
    Evicts(String),
    /// A server does not answer, or not as it should. Worth a retry.
    #[error("redis is unavailable: {0}")]
    Unavailable(String),
}

/// The open backends; they share their connections.
#[derive(Debug)]
pub struct Redis {
    /// The cache.
    pub cache: Arc<RedisCache>,
    /// The outbox of that cache.
    pub outbox: Arc<RedisOutbox>,
    /// The push bus.
    pub push_bus: Arc<RedisPushBus>,
    /// The guard of cache and outbox, and that of the push bus, which has connections of its own.
    pub guards: [Arc<Guard>; 2],
}

impl Redis {
    /// A rate of each user over all processes that share the prefix: so many requests in a period, all of which may come at once.
    #[must_use]
    pub fn rate_limit(&self, requests_max: u32, period: Duration) -> RedisRateLimit {
        RedisRateLimit::new(self.cache.server.clone(), Arc::clone(&self.cache.keys), requests_max, period)
    }
}

/// Connects. Nobody can hold or commit until a relay has given each bucket its epoch.
///
/// # Errors
/// If the settings cannot be or a server does not answer.
pub async fn open(settings: Settings) -> Result<Redis, Error> {
    if settings.urls.is_empty() {
        return Err(Error::Settings("redis: there is no URL"));
    }
    if settings.buckets == 0 || settings.channels == 0 {
        return Err(Error::Settings("redis: there must be a bucket and a channel"));
    }
    if settings.buckets > durability::BUCKETS_MAX {
        return Err(Error::Settings("redis: there may be up to 65,536 buckets"));
    }
    if settings.prefix.contains(['{', '}']) {
        return Err(Error::Settings("redis: the prefix may not contain { or }"));
    }
    let guards = [Guard::new("redis", settings.guard), Guard::new("redis-push", settings.guard)];
    let [guard, push_guard] = &guards;
    let server = Server::open(&settings, guard).await.map_err(Error::Unavailable)?;
    setup::check(&server).await?;
    let appended = Arc::new(Appended::new(settings.buckets));
    let push_bus = RedisPushBus::open(&settings, push_guard, &appended).await.map_err(Error::Unavailable)?;
    let keys = Arc::new(Keys::new(&settings.prefix, settings.buckets));
    let steps = Arc::new(Steps::open(&settings, &server, &keys, &appended).await.map_err(Error::Unavailable)?);
    let outbox = RedisOutbox::new(server.clone(), Arc::clone(&keys), Arc::clone(&steps), appended);
    let cache = RedisCache::new(server, keys, steps, settings);
    Ok(Redis { cache: Arc::new(cache), outbox: Arc::new(outbox), push_bus: Arc::new(push_bus), guards })
}
