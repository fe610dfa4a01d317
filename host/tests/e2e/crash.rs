//! The program is killed at random moments under load, again and again; not a coin may be lost or made.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tokio::sync::Mutex;

use crate::e2e::site::Site;
use crate::support::{Client, GOLD, ROOM, STREAMER, Server, event_id, gift, gifts, only};

const KILLS: usize = 200;
const VIEWERS: i64 = 8;
const FIRST_VIEWER: i64 = 1001;
const START: i64 = 10_000_000;
const PRICE: i64 = 10;

/// What a viewer sent: the event id with its count, and the answer's balance once there was one.
#[derive(Default)]
struct Sent {
    gifts: HashMap<String, (u32, Option<Value>)>,
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_crashes_under_load_lose_and_make_nothing() {
    let seed: u64 = std::env::var("SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(rand::random);
    println!("seed {seed}; set SEED to repeat it");
    let mut random = StdRng::seed_from_u64(seed);
    let site = Site::open().await;
    let server = start(&site).await;
    server.open_room(ROOM, &[STREAMER]).await;
    for viewer in viewers() {
        server.recharge(viewer, START).await;
    }
    server.kill();

    let sent: Vec<Arc<Mutex<Sent>>> = viewers().map(|_| Arc::default()).collect();
    let answered = Arc::new(AtomicUsize::new(0));
    for _ in 0..KILLS {
        let server = start(&site).await;
        let load: Vec<_> = viewers()
            .zip(&sent)
            .map(|(viewer, sent)| {
                let random = StdRng::seed_from_u64(random.random());
                tokio::spawn(send_until_killed(server.viewer(viewer), sent.clone(), random, answered.clone()))
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(random.random_range(5..150))).await;
        server.kill();
        for task in load {
            task.await.unwrap();
        }
    }

    let server = start(&site).await;
    for (viewer, sent) in viewers().zip(&sent) {
        ask_again(&server.viewer(viewer), &sent.lock().await.gifts).await;
    }
    let all: Vec<i64> = viewers().collect();
    server.settled(&all).await;
    let mut total = 0;
    for (viewer, sent) in viewers().zip(&sent) {
        let spent: i64 = sent.lock().await.gifts.values().map(|(count, _)| i64::from(*count) * PRICE).sum();
        assert_eq!(server.balance(viewer, GOLD).await, START - spent, "viewer {viewer}, seed {seed}");
        total += spent;
    }
    let platform = server.balance(-2, GOLD).await;
    assert_eq!(server.balance(STREAMER, GOLD).await + platform, total, "seed {seed}");
    server.reconciles().await;
    server.stop();
    println!("{KILLS} crashes under {} answers; {total} coins spent", answered.load(Ordering::Relaxed));
    assert!(answered.load(Ordering::Relaxed) > KILLS, "the load was too light to show anything");
}

/// A server that lets everybody ask as often as they like.
async fn start(site: &Site) -> Server {
    let plugins = only(&["gift"]);
    site.start_with(plugins.path(), &[("GREENROOM_RATE_LIMITS_USER_PER_SECOND", "0")]).await
}

fn viewers() -> impl Iterator<Item = i64> {
    FIRST_VIEWER..FIRST_VIEWER + VIEWERS
}

/// Sends gifts, some of them again, until the server is gone.
async fn send_until_killed(client: Client, sent: Arc<Mutex<Sent>>, mut random: StdRng, answered: Arc<AtomicUsize>) {
    loop {
        let known = sent.lock().await.gifts.iter().next().map(|(id, (count, _))| (id.clone(), *count));
        let (id, count) = match known {
            Some(known) if random.random_bool(0.2) => known,
            _ => (event_id(), random.random_range(1..5)),
        };
        sent.lock().await.gifts.entry(id.clone()).or_insert((count, None));
        let answer = client.try_call(Method::POST, &gifts(ROOM), gift(&id, count)).await;
        let Ok((status, answer)) = answer else { return };
        if status != StatusCode::OK {
            assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{answer}");
            continue;
        }
        answered.fetch_add(1, Ordering::Relaxed);
        let mut sent = sent.lock().await;
        let (_, first) = sent.gifts.get_mut(&id).unwrap();
        let balance = first.get_or_insert_with(|| answer["balance"].clone());
        assert_eq!(*balance, answer["balance"], "event {id} was answered in two ways");
    }
}

/// Every gift that was ever sent is asked for again: it now has an answer, and the one that it had before.
async fn ask_again(client: &Client, gifts_sent: &HashMap<String, (u32, Option<Value>)>) {
    for (id, (count, before)) in gifts_sent {
        let answer = client.ok(Method::POST, &gifts(ROOM), gift(id, *count)).await;
        if let Some(before) = before {
            assert_eq!((before, &answer["replayed"]), (&answer["balance"], &Value::Bool(true)), "event {id}");
        }
    }
}
