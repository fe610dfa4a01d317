//! The relay with Kafka behind it: what the outbox had comes to its consumers, whatever happens to the broker.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use greenroom::adapters::embedded::SystemClock;
use greenroom::adapters::kafka::{self, Settings};
use greenroom::ports::queue::Queue;
use greenroom::relay::{self, Relay};
use tokio_util::sync::CancellationToken;

use crate::kafka_faults::{assert_complete, read_until};
use crate::outbox::{BUCKETS, Cache, View};
use crate::proxy::{Proxy, Service};
use crate::queue::after;
use crate::{brokers, settings};

const DELIVERY_TIMEOUT: Duration = Duration::from_secs(1);

fn hold(cache: &Cache, numbers: std::ops::Range<u32>) {
    for number in numbers {
        assert!((0..BUCKETS).all(|bucket| cache.hold(bucket, number)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_comes_to_its_consumers_through_a_broker_that_goes_away() {
    let proxy = Proxy::open(Service::Kafka, &brokers()).await;
    let settings = Settings { brokers: proxy.address(), delivery_timeout: DELIVERY_TIMEOUT, ..settings() };
    let queue = Arc::new(kafka::open(settings).await.unwrap());
    let cache = Cache::new();
    let view = View { cache: cache.clone(), name: "anna".into(), has_no_leases: AtomicBool::new(false) };
    let relay = Relay {
        outbox: Arc::new(view),
        queue: queue.clone(),
        clock: Arc::new(SystemClock),
        settings: relay::Settings { publish_max: DELIVERY_TIMEOUT * 3, ..relay::Settings::default() },
    };
    let stop = CancellationToken::new();
    let relay = tokio::spawn(relay.run(stop.clone()));
    let mut consumer = queue.subscribe("gift", &["gift.sent".into()]).await.unwrap();
    let mut all = Vec::new();
    hold(&cache, 0..50);
    read_until(&mut *consumer, &mut all, |all| all.len() >= 100).await;

    proxy.cut();
    hold(&cache, 50..100);
    let waiting = cache.waiting();
    tokio::time::sleep(DELIVERY_TIMEOUT * 2).await;
    assert!(waiting >= 400 && cache.waiting() >= 400, "what is not acknowledged stays");
    proxy.pass();
    read_until(&mut *consumer, &mut all, |all| {
        all.iter().map(|delivery| &delivery.event.event_id).collect::<BTreeSet<_>>().len() == 800
    })
    .await;
    assert_complete(&all, 8, 100);

    cache.flush(3);
    let flushed = tokio::time::Instant::now();
    read_until(&mut *consumer, &mut all, |_| flushed.elapsed() > DELIVERY_TIMEOUT * 5).await;
    assert!(!cache.has_epoch(3), "its events are in the queue and not settled");
    consumer.commit(after(&all)).await.unwrap();
    read_until(&mut *consumer, &mut all, |_| cache.has_epoch(3)).await;
    stop.cancel();
    relay.await.unwrap();
    assert!(!cache.is_held());
}
