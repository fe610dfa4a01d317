//! Removing a plugin: what it has not consumed is neither lost nor in the way of others.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use greenroom::domain::{Event, EventId};
use greenroom::plugin::InstallError;
use greenroom::ports::queue::{Offsets, Queue};
use semver::Version;

use super::{bench, guest};

fn event() -> Event {
    Event {
        event_id: EventId::new("e1").unwrap(),
        topic: "hostile.sent".into(),
        key: "k".into(),
        room_id: None,
        at_ms: 1,
        held: None,
        payload: Bytes::new(),
    }
}

#[tokio::test]
async fn a_plugin_for_which_events_wait_is_not_removed_and_then_its_group_is_forgotten() {
    let bench = bench().await;
    bench.registry.install(&guest::hostile("hostile")).await.unwrap();
    let queue = &bench.house.embedded.queue;
    let topics: [Arc<str>; 1] = ["hostile.sent".into()];
    let mut consumer = queue.subscribe("hostile", &topics).await.unwrap();
    queue.publish(vec![event()]).await.unwrap();
    let version = Version::new(1, 0, 0);
    let refused = bench.registry.remove("hostile", &version).await;
    assert!(matches!(refused, Err(InstallError::Awaited { events: 1, .. })), "{refused:?}");
    assert!(bench.registry.get("hostile", None).is_some());

    let polled = consumer.poll(10, Duration::from_secs(30)).await.unwrap();
    consumer.commit(Offsets::from([(polled[0].partition, polled[0].offset + 1)])).await.unwrap();
    assert!(!bench.registry.remove("hostile", &Version::new(9, 0, 0)).await.unwrap());
    assert_eq!(queue.lag().await.unwrap().get("hostile"), Some(&0), "another version is no reason to forget");
    assert!(bench.registry.remove("hostile", &version).await.unwrap());
    assert_eq!(queue.lag().await.unwrap().get("hostile"), None);
    queue.publish(vec![event()]).await.unwrap();
    assert!(queue.is_empty(), "nothing is kept for it");
}
