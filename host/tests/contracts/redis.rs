//! Where the tests find Redis, and how each has it for itself: under a prefix of its own.

use std::sync::Arc;
use std::time::Duration;

use greenroom::adapters::guard::Guard;
use greenroom::adapters::redis::{self, Durability, RedisCache, RedisOutbox, RedisPushBus, Settings};
use greenroom::ports::outbox::{BucketLease, EntryId, Outbox, Page};

use crate::fixture::new_name;
use crate::loading::{ABSENT_FOR, KEPT_FOR};

/// How long a test's relay has a bucket.
pub(crate) const RELAY_TTL: Duration = Duration::from_secs(30);

pub(crate) struct Backend {
    pub(crate) cache: Arc<RedisCache>,
    pub(crate) outbox: Arc<RedisOutbox>,
    pub(crate) push_bus: Arc<RedisPushBus>,
    pub(crate) guards: [Arc<Guard>; 2],
    pub(crate) settings: Settings,
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("set {name}, or run `cargo xtask test`, which starts it"))
}

pub(crate) fn single_url() -> String {
    variable("GREENROOM_TEST_REDIS_URL")
}

fn settings(urls: Vec<String>, is_cluster: bool) -> Settings {
    Settings {
        prefix: new_name("t"),
        buckets: 4,
        absent_lifetime: ABSENT_FOR,
        call_timeout: Duration::from_secs(20),
        connect_timeout: Duration::from_secs(20),
        channels: 4,
        push_capacity: 2,
        ..Settings::new(urls, is_cluster)
    }
}

pub(crate) fn single() -> Settings {
    settings(vec![single_url()], false)
}

pub(crate) fn cluster() -> Settings {
    let urls = variable("GREENROOM_TEST_REDIS_CLUSTER_URLS");
    settings(urls.split(',').map(str::to_owned).collect(), true)
}

/// As another process that shares it.
pub(crate) async fn join(settings: &Settings) -> Backend {
    let opened = redis::open(settings.clone()).await.unwrap();
    let redis::Redis { cache, outbox, push_bus, guards } = opened;
    Backend { cache, outbox, push_bus, guards, settings: settings.clone() }
}

/// With the epochs that a relay would have set.
pub(crate) async fn begin(settings: Settings) -> Backend {
    let backend = join(&settings).await;
    backend.recover().await;
    backend
}

pub(crate) async fn open_single() -> Backend {
    begin(single()).await
}

pub(crate) async fn open_cluster() -> Backend {
    begin(cluster()).await
}

/// With accounts that expire soon.
pub(crate) async fn open_single_brief() -> Backend {
    begin(Settings { account_lifetime: KEPT_FOR, ..single() }).await
}

pub(crate) async fn open_cluster_brief() -> Backend {
    begin(Settings { account_lifetime: KEPT_FOR, ..cluster() }).await
}

pub(crate) async fn open_replicated() -> Backend {
    let durability = Durability::Replicated { replicas: 1, timeout: Duration::from_secs(20) };
    begin(Settings { durability, ..cluster() }).await
}

/// The first entries of a bucket, at once.
pub(crate) async fn page_of(outbox: &RedisOutbox, lease: BucketLease, max: usize) -> Page {
    outbox.read(lease, None, max, Duration::ZERO).await.unwrap().expect("nothing is removed")
}

/// Removes everything up to an entry; false if the lease was lost.
pub(crate) async fn remove(outbox: &RedisOutbox, lease: BucketLease, up_to: &EntryId) -> bool {
    outbox.read(lease, Some(up_to), 0, Duration::ZERO).await.unwrap().is_some()
}

impl Backend {
    /// What a relay does that finds a bucket gone back in time.
    pub(crate) async fn recover_again(&self, lease: BucketLease) {
        self.outbox.drop_epoch(lease).await.unwrap();
        let page = page_of(&self.outbox, lease, 1).await;
        assert!(self.outbox.set_epoch(lease, &page.history).await.unwrap());
    }

    /// What a relay does with buckets that have lost their epoch and whose events are all settled.
    pub(crate) async fn recover(&self) {
        for bucket in 0..self.outbox.buckets() {
            let lease = self.outbox.lease(bucket, RELAY_TTL).await.unwrap().expect("nobody else relays");
            let page = page_of(&self.outbox, lease, 1).await;
            assert!(self.outbox.set_epoch(lease, &page.history).await.unwrap());
            self.outbox.give_back(lease).await.unwrap();
        }
    }
}
