//! The push bus between processes, and over a cut connection.

use std::time::{Duration, Instant};

use greenroom::adapters::redis::Settings;
use greenroom::domain::PushMessage;
use greenroom::ports::push_bus::PushBus;
use tokio::sync::mpsc;

use crate::push_bus::message;
use crate::redis_backend::{Backend, join, open_cluster, open_single};
use crate::redis_faults::{administrator, as_a_user, cut, cut_user, of_its_own};

const ROOMS: i64 = 20;

async fn next(hub: &mut mpsc::Receiver<PushMessage>) -> PushMessage {
    tokio::time::timeout(Duration::from_secs(20), hub.recv()).await.expect("a message arrives").unwrap()
}

async fn every_process_hears_every_room_in_order(one: Backend) {
    let other = join(&Settings { push_capacity: 1_000, ..one.settings.clone() }).await;
    let mut hub = other.push_bus.subscribe();
    for number in 0..10 {
        let messages = (0..ROOMS).map(|room| message(room, number)).collect();
        one.push_bus.publish(messages).await.unwrap();
    }
    let mut expected = vec![0; ROOMS as usize];
    for _ in 0..ROOMS * 10 {
        let message = next(&mut hub).await;
        let place = &mut expected[message.room_id.0 as usize];
        assert_eq!(&*message.key, place.to_string());
        *place += 1;
    }
    assert_eq!(expected, [10; ROOMS as usize]);
}

#[tokio::test]
async fn every_process_of_one_server_hears_every_room_in_order() {
    every_process_hears_every_room_in_order(open_single().await).await;
}

#[tokio::test]
async fn every_process_of_a_cluster_hears_every_room_in_order() {
    every_process_hears_every_room_in_order(open_cluster().await).await;
}

/// Publishes until the hub hears of it.
async fn hears_again(publisher: &Backend, hub: &mut mpsc::Receiver<PushMessage>) {
    let deadline = Instant::now() + Duration::from_secs(20);
    // More rooms than channels, so that every node is heard.
    for room in 0..ROOMS {
        loop {
            assert!(Instant::now() < deadline, "it hears nothing more from room {room}");
            publisher.push_bus.publish(vec![message(room, 1)]).await.unwrap();
            let heard = tokio::time::timeout(Duration::from_millis(50), hub.recv()).await;
            if heard.is_ok_and(|heard| heard.unwrap().room_id.0 == room) {
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_bus_whose_connection_was_cut_hears_again() {
    let one = join(&of_its_own(11)).await;
    let other = join(&Settings { prefix: one.settings.prefix.clone(), push_capacity: 1_000, ..of_its_own(12) }).await;
    let mut hub = other.push_bus.subscribe();
    hears_again(&one, &mut hub).await;
    assert!(cut(&mut administrator(&other.settings.urls[0]).await, 12).await > 0);
    hears_again(&one, &mut hub).await;
}

#[tokio::test]
async fn a_bus_whose_connections_to_a_cluster_were_cut_hears_again() {
    let one = open_cluster().await;
    let (settings, user) = as_a_user(Settings { push_capacity: 1_000, ..one.settings.clone() }, &[]).await;
    let other = join(&settings).await;
    let mut hub = other.push_bus.subscribe();
    hears_again(&one, &mut hub).await;
    assert!(cut_user(&other.settings.urls, &user).await > 0);
    hears_again(&one, &mut hub).await;
}
