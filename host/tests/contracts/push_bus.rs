//! What every push bus must do, over `dyn PushBus`.

use std::sync::Arc;

use greenroom::domain::{Audience, Priority, PushMessage, RoomId, UserId};
use greenroom::ports::push_bus::PushBus;

pub(crate) fn message(room: i64, number: usize) -> PushMessage {
    PushMessage {
        room_id: RoomId(room),
        audience: Audience::Room,
        key: number.to_string().into(),
        event: "gift.sent".into(),
        data: "{}".into(),
        priority: Priority::Normal,
    }
}

pub(crate) async fn messages_arrive_as_they_were_published(bus: Arc<dyn PushBus>) {
    let mut hub = bus.subscribe();
    let published = PushMessage {
        audience: Audience::User(UserId(-7)),
        data: r#"{"text":"ä\u0000"}"#.into(),
        priority: Priority::High,
        ..message(9, 1)
    };
    bus.publish(vec![published.clone()]).await.unwrap();
    assert_eq!(hub.recv().await.unwrap(), published);
}

/// The hub takes nothing until the publisher has had to wait or has handed over everything.
pub(crate) async fn a_slow_hub_gets_all_messages_of_a_room_in_order(bus: Arc<dyn PushBus>) {
    const MESSAGES: usize = 500;
    let mut hub = bus.subscribe();
    let publisher = {
        let bus = Arc::clone(&bus);
        tokio::spawn(async move {
            for number in 0..MESSAGES {
                bus.publish(vec![message(1, number), message(2, number)]).await.unwrap();
            }
        })
    };
    let mut next = [0; 2];
    while next != [MESSAGES; 2] {
        let message = hub.recv().await.unwrap();
        let place = &mut next[usize::try_from(message.room_id.0).unwrap() - 1];
        assert_eq!(&*message.key, place.to_string());
        *place += 1;
        tokio::task::yield_now().await;
    }
    publisher.await.unwrap();
}

pub(crate) async fn whoever_follows_changes_is_told_that_there_are_some(bus: Arc<dyn PushBus>) {
    let (mut one, mut other) = (bus.announced(), bus.announced());
    // A hub is not needed for that.
    for _ in 0..3 {
        bus.announce().await.unwrap();
        for follower in [&mut one, &mut other] {
            let told = tokio::time::timeout(std::time::Duration::from_secs(20), follower.changed());
            told.await.expect("nobody was told").unwrap();
        }
    }
    let mut hub = bus.subscribe();
    bus.announce().await.unwrap();
    bus.publish(vec![message(1, 1)]).await.unwrap();
    assert_eq!(hub.recv().await.unwrap(), message(1, 1), "an announcement is no message");
}

/// Makes a test of each contract for a backend that `$open` opens; its `push_bus` is an `Arc<dyn PushBus>`.
#[macro_export]
macro_rules! push_bus_contracts {
    ($open:path) => {
        $crate::push_bus_contracts!(@each $open;
            messages_arrive_as_they_were_published
            a_slow_hub_gets_all_messages_of_a_room_in_order
            whoever_follows_changes_is_told_that_there_are_some
        );
    };
    (@each $open:path; $($contract:ident)*) => {
        $(
            #[tokio::test]
            async fn $contract() {
                let backend = $open().await;
                $crate::push_bus::$contract(backend.push_bus.clone()).await;
            }
        )*
    };
}
