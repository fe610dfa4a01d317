//! A plugin is upgraded and rolled back under live traffic, and no request notices.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use greenroom_manifest::{embed, extract};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::site::{Mode, Site};
use super::support::{Client, GOLD, ROOM, STREAMER, event_id, gift, gifts, only};
use crate::MODE;

const SWAPS: u64 = 50;
/// Answers between two swaps at least, so that each happens under load, however slow the machine is.
const ANSWERS_MIN: u64 = 11;
const ANSWERS_DEADLINE: Duration = Duration::from_secs(60);
/// Fewer over servers that share the machine: what is shown is that no request fails, not how many there can be.
const PER_SECOND: u64 = if matches!(MODE, Mode::Embedded) { 1_000 } else { 200 };
/// A machine that is too slow for that many is given fewer, rather than a queue that runs over.
const IN_FLIGHT_MAX: usize = if matches!(MODE, Mode::Embedded) { 256 } else { 16 };
const FIRST_VIEWER: i64 = 3001;
const VIEWERS: i64 = 100;
const START: i64 = 10_000_000;
/// A backend, or the machine, was too slow, and what follows from that: backend-unavailable, plugin-timeout, plugin-suspended.
const SLOW: [i64; 3] = [30_002, 40_002, 40_003];

#[tokio::test(flavor = "multi_thread")]
async fn fifty_upgrades_and_rollbacks_under_load_fail_no_request() {
    let site = Site::open().await;
    let plugins = only(&["gift"]);
    let (first, second) = next_version(plugins.path());
    let server = site.start_with(plugins.path(), &[]).await;
    server.open_room(ROOM, &[STREAMER]).await;
    let mut clients = Vec::new();
    for viewer in FIRST_VIEWER..FIRST_VIEWER + VIEWERS {
        server.recharge(viewer, START).await;
        clients.push(server.viewer(viewer));
    }

    let stop = CancellationToken::new();
    let answers = Arc::new(AtomicU64::new(0));
    let load = tokio::spawn(send_until(stop.clone(), clients, answers.clone()));

    let begun = Instant::now();
    let operator = server.operator();
    let path = format!("/v1/rooms/{ROOM}/plugins/gift");
    for swap in 0..SWAPS {
        let version = if swap % 2 == 0 { &second } else { &first };
        let answer = operator.ok(Method::PUT, &path, json!({ "enabled": true, "version": version })).await;
        assert_eq!(answer["version"], json!(version));
        tokio::time::sleep(Duration::from_millis(100)).await;
        let deadline = Instant::now() + ANSWERS_DEADLINE;
        while answers.load(Ordering::Relaxed) < (swap + 1) * ANSWERS_MIN {
            assert!(Instant::now() < deadline, "too few gifts are answered to show anything");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    let took = begun.elapsed();
    stop.cancel();
    let mut sent = 0;
    for request in load.await.unwrap() {
        let (status, answer) = request.await.unwrap();
        assert_eq!(status, StatusCode::OK, "{answer}");
        sent += 1;
    }
    println!("{SWAPS} swaps in {took:?} under {sent} gifts");
    let all: Vec<i64> = (FIRST_VIEWER..FIRST_VIEWER + VIEWERS).collect();
    server.settled(&all).await;
    let received = server.balance(STREAMER, GOLD).await + server.balance(-2, GOLD).await;
    assert_eq!(received, sent * 10);
    server.reconciles().await;
    server.stop();
}

/// Sends gifts at a steady rate until it is stopped. The answers of all of them, of which some are still to come.
async fn send_until(
    stop: CancellationToken,
    clients: Vec<Client>,
    answers: Arc<AtomicU64>,
) -> Vec<JoinHandle<(StatusCode, Value)>> {
    let mut every = tokio::time::interval(Duration::from_micros(1_000_000 / PER_SECOND));
    every.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut requests = Vec::new();
    let places = Arc::new(Semaphore::new(IN_FLIGHT_MAX));
    for client in clients.into_iter().cycle() {
        every.tick().await;
        if stop.is_cancelled() {
            break;
        }
        let place = places.clone().acquire_owned().await.unwrap();
        let answers = answers.clone();
        requests.push(tokio::spawn(async move {
            let _place = place;
            let answer = send(&client).await;
            answers.fetch_add(1, Ordering::Relaxed);
            answer
        }));
    }
    requests
}

/// Sends a gift. What is too slow is no fault of a swap: then the gift is asked for again, as the answer says.
async fn send(client: &Client) -> (StatusCode, Value) {
    let body = gift(&event_id(), 1);
    let deadline = Instant::now() + ANSWERS_DEADLINE;
    loop {
        let (status, answer) = client.call(Method::POST, &gifts(ROOM), body.clone()).await;
        let is_slow = answer["errCode"].as_i64().is_some_and(|code| SLOW.contains(&code));
        if !is_slow || Instant::now() > deadline {
            return (status, answer);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Adds the gift plugin to the folder a second time, as the version after it, and returns both versions.
fn next_version(folder: &Path) -> (String, String) {
    let packed = std::fs::read(folder.join("gift.wasm")).unwrap();
    let mut manifest = extract(&packed).unwrap();
    let first = manifest.version.to_string();
    // A component without anything in it, to learn how long the manifest's section is; it is always the last one.
    let empty = [0, b'a', b's', b'm', 13, 0, 1, 0];
    let section_len = embed(&empty, &manifest).unwrap().len() - empty.len();
    let component = &packed[..packed.len() - section_len];
    manifest.version.patch += 1;
    std::fs::write(folder.join("gift-next.wasm"), embed(component, &manifest).unwrap()).unwrap();
    (first, manifest.version.to_string())
}
