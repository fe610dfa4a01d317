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
