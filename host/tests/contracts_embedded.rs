//! The contracts of cache and queue over the embedded backends.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "contracts/cache.rs"]
#[macro_use]
mod cache;
#[path = "contracts/embedded_crash.rs"]
mod embedded_crash;
#[path = "contracts/embedded_restart.rs"]
mod embedded_restart;
#[path = "contracts/fixture.rs"]
mod fixture;
#[path = "contracts/key_space.rs"]
mod key_space;
#[path = "contracts/loading.rs"]
#[macro_use]
mod loading;
#[path = "contracts/push_bus.rs"]
#[macro_use]
mod push_bus;
#[path = "contracts/queue.rs"]
#[macro_use]
mod queue;

use std::sync::Arc;

use greenroom::adapters::embedded::{self, Embedded, EmbeddedCache, EmbeddedQueue, LocalPushBus, Settings};
use greenroom::ports::push_bus::PushBus;
use greenroom::ports::queue::Queue as _;

struct Backend {
    cache: Arc<EmbeddedCache>,
    queue: Arc<EmbeddedQueue>,
    push_bus: Arc<LocalPushBus>,
    _embedded: Embedded,
    _dir: tempfile::TempDir,
}

async fn open() -> Backend {
    open_with(|settings| settings).await
}

/// With accounts that expire soon.
async fn open_brief() -> Backend {
    open_with(|settings| Settings { account_lifetime: loading::KEPT_FOR, ..settings }).await
}

async fn open_with(change: impl FnOnce(Settings) -> Settings) -> Backend {
    let dir = tempfile::tempdir().unwrap();
    let settings = change(Settings { absent_lifetime: loading::ABSENT_FOR, ..Settings::new(dir.path()) });
    let embedded = embedded::open(settings).await.unwrap();
    Backend {
        cache: Arc::clone(&embedded.cache),
        queue: Arc::clone(&embedded.queue),
        push_bus: Arc::new(LocalPushBus::new(2)),
        _embedded: embedded,
        _dir: dir,
    }
}

mod of_the_cache {
    cache_contracts!(crate::open);
}

mod of_the_loading {
    // It expires only when it was not used for a while, and this one always is, unless the machine has no time for the test.
    loading_contracts!(crate::open, crate::open_brief, (1..=3));
}

mod of_the_push_bus {
    push_bus_contracts!(crate::open);
}

mod of_the_queue {
    queue_contracts!(crate::open);
}

#[tokio::test]
async fn a_poll_has_as_much_of_every_partition_and_is_full_also_if_one_has_everything() {
    let backend = open_with(|settings| Settings { partitions: 4, ..settings }).await;
    let topic: Arc<str> = fixture::new_name("t").into();
    let mut consumer = backend.queue.subscribe("g", std::slice::from_ref(&topic)).await.unwrap();
    let told = |key: usize, event: usize| fixture::told(&topic, &format!("key{key}"), &format!("{key}-{event}"));
    backend.queue.publish((0..400).map(|number| told(number % 40, number)).collect()).await.unwrap();
    let polled = consumer.poll(40, queue::WAIT).await.unwrap();
    let of = |partition: u32| polled.iter().filter(|delivery| delivery.partition == partition).count();
    assert_eq!([0, 1, 2, 3].map(of), [10; 4]);
    let rest = queue::read(&mut *consumer, 360).await;
    let mut places: Vec<_> = polled.iter().chain(&rest).map(|delivery| (delivery.partition, delivery.offset)).collect();
    for partition in 0..4 {
        assert!(places.iter().filter(|place| place.0 == partition).is_sorted());
    }
    places.sort_unstable();
    places.dedup();
    assert_eq!(places.len(), 400);
    backend.queue.publish((0..100).map(|number| told(7, number)).collect()).await.unwrap();
    assert_eq!(consumer.poll(40, queue::WAIT).await.unwrap().len(), 40);
}

#[tokio::test]
async fn the_push_bus_keeps_order_and_waits_for_a_slow_hub() {
    let bus = Arc::new(LocalPushBus::new(2));
    let message = |number| push_bus::message(1, number);
    bus.publish(vec![message(99)]).await.unwrap();
    let mut hub = bus.subscribe();
    let publisher = {
        let bus = Arc::clone(&bus);
        tokio::spawn(async move { bus.publish((0..5).map(message).collect()).await })
    };
    for number in 0..5 {
        assert_eq!(&*hub.recv().await.unwrap().key, number.to_string());
    }
    publisher.await.unwrap().unwrap();
    drop(hub);
    assert!(bus.publish(vec![message(5)]).await.is_err());
}
