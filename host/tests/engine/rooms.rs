//! What a batch, which is about no room, does in the rooms that it names.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use greenroom::domain::{Event, RoomId};
use greenroom::plugin::{Context, Enabled, Error, Plugin, Verdict};
use greenroom::ports::queue::Delivery;
use greenroom::timer::{Firing, SHARDS};

use crate::ports::Happened;
use crate::timers::timers;
use crate::{Bench, bench, context, delivery, guest};

/// One room in which one plugin is enabled.
struct OneRoom(Arc<Context>);

#[async_trait]
impl Enabled for OneRoom {
    async fn enabled(&self, room: RoomId, plugin: &str) -> Result<Option<Arc<Context>>, String> {
        let is_it = room == RoomId(77) && plugin == self.0.plugin.manifest.name;
        Ok(is_it.then(|| Arc::clone(&self.0)))
    }
}

struct Stage {
    bench: Bench,
    plugin: Arc<Plugin>,
    _rooms: Arc<OneRoom>,
}

async fn stage() -> Stage {
    let bench = bench().await;
    let plugin = bench.registry.install(&guest::hostile("hostile")).await.unwrap();
    let rooms = Arc::new(OneRoom(context(&plugin)));
    bench.registry.know_rooms(Arc::downgrade(&rooms) as _);
    Stage { bench, plugin, _rooms: rooms }
}

impl Stage {
    async fn consume(&self, rooms: &[i64]) -> Result<Vec<Verdict>, Error> {
        let in_room = |(offset, room): (u64, &i64)| {
            let delivery = delivery(offset, "R");
            let event = Event { room_id: Some(RoomId(*room)), ..(*delivery.event).clone() };
            Delivery { event: Arc::new(event), ..delivery }
        };
        let batch: Vec<Delivery> = (0..).zip(rooms).map(in_room).collect();
        self.bench.registry.consume(&self.plugin, &batch, &vec![1; batch.len()]).await
    }

    async fn timers_due(&self) -> Vec<i64> {
        let mut rooms = Vec::new();
        for shard in 0..SHARDS {
            let taken = timers(&self.bench).take(shard, &mut Firing::default()).await.unwrap();
            rooms.extend(taken.timers.iter().map(|timer| timer.room_id.0));
        }
        rooms
    }
}

#[tokio::test]
async fn a_batch_pushes_and_sets_timers_in_its_rooms_once_all_it_did_is_durable() {
    let stage = stage().await;
    assert_eq!(stage.consume(&[77]).await.unwrap(), [Verdict::Ack]);
    let watched = &stage.bench.house.watched;
    let happened = watched.take_happened();
    let [Happened::Committed(_), Happened::Committed(last), then @ ..] = &happened[..] else { panic!("{happened:?}") };
    assert_eq!(then.first(), Some(&Happened::Durable(*last)), "{happened:?}");
    assert_eq!(then.last(), Some(&Happened::Published(1)), "{happened:?}");
    assert_eq!(watched.pushes.lock()[0].room_id, RoomId(77));
    assert_eq!(stage.timers_due().await, [77]);
}

#[tokio::test]
async fn a_room_in_which_the_plugin_is_not_enabled_is_refused() {
    let stage = stage().await;
    let refused = || Verdict::Reject("no such stream".into());
    assert_eq!(stage.consume(&[78, 77, 0]).await.unwrap(), [refused(), Verdict::Ack, refused()]);
    assert_eq!(stage.bench.house.watched.pushes.lock().len(), 1);
    assert_eq!(stage.timers_due().await, [77]);
}

#[tokio::test]
async fn a_batch_that_is_not_durable_pushes_nothing() {
    let stage = stage().await;
    stage.bench.house.watched.not_durable.store(true, Ordering::SeqCst);
    assert!(matches!(stage.consume(&[77]).await, Err(Error::NotDurable(_))));
    assert!(stage.bench.house.watched.pushes.lock().is_empty());
}
