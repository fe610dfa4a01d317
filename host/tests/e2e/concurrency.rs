//! Many clients at once, many of them repeating themselves: every event is debited once and settled once.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::stream;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::site::{Mode, Site};
use super::support::{Client, GOLD, ROOM, STREAMER, Server, event_id, gift, gifts, only};
use crate::MODE;

/// Each of them is a round to Redis and Kafka in the distributed mode, which a debug build with its servers on two cores takes its time for.
const GIFTS: usize = if matches!(MODE, Mode::Embedded) { 100_000 } else { 10_000 };
const CLIENTS: usize = if matches!(MODE, Mode::Embedded) { 64 } else { 32 };
const VIEWERS: i64 = 200;
const FIRST_VIEWER: i64 = 2001;
/// Too little for some of the viewers, so that refusals happen too.
const START: i64 = GIFTS as i64 / 10;
const PRICE: i64 = 10;

struct Planned {
    viewer: i64,
    event_id: String,
    count: u32,
    /// How often it is sent; all at the same instant, or one after another.
    times: usize,
    at_once: bool,
}

#[tokio::test(flavor = "multi_thread")]
async fn gifts_of_many_clients_with_repetitions_are_each_debited_and_settled_once() {
    let site = Site::open().await;
    let plugins = only(&["gift"]);
    let unlimited = [("GREENROOM_RATE_LIMITS_USER_PER_SECOND", "0")];
    let server = site.start_with(plugins.path(), &unlimited).await;
    server.open_room(ROOM, &[STREAMER]).await;
    let clients: HashMap<i64, Client> = viewers().map(|viewer| (viewer, server.viewer(viewer))).collect();
    for viewer in viewers() {
        server.recharge(viewer, START).await;
    }

    let clients = &clients;
    let outcomes: Vec<(Planned, Option<Value>)> = stream::iter(plan())
        .map(|planned| async move {
            let answer = send(&clients[&planned.viewer], &planned).await;
            (planned, answer)
        })
        .buffer_unordered(CLIENTS)
        .collect()
        .await;

    let metrics = reqwest::get(format!("{}/metrics", server.url)).await.unwrap().text().await.unwrap();
    let hot: Vec<&str> = metrics.lines().filter(|line| line.starts_with("greenroom_hot_events{")).collect();
    assert!(hot.iter().any(|line| line.contains("kind=\"room\",key=\"7\"")), "the room of all is not hot: {hot:?}");
    assert!(!hot.iter().any(|line| line.contains("payer")), "each of {VIEWERS} is as hot as any other: {hot:?}");
    let mut spent: HashMap<i64, i64> = HashMap::new();
    for (planned, _) in outcomes.iter().filter(|(_, answer)| answer.is_some()) {
        *spent.entry(planned.viewer).or_default() += i64::from(planned.count) * PRICE;
    }
    let refused = outcomes.iter().filter(|(_, answer)| answer.is_none()).count();
    assert!(refused > 0, "somebody should have run out of coins");
    let all: Vec<i64> = viewers().collect();
    server.settled(&all).await;
    for viewer in viewers() {
        let balance = server.balance(viewer, GOLD).await;
        assert_eq!(balance, START - spent.get(&viewer).copied().unwrap_or(0), "viewer {viewer}");
        assert!(balance >= 0);
    }
    let received = server.balance(STREAMER, GOLD).await + server.balance(-2, GOLD).await;
    assert_eq!(received, spent.values().sum::<i64>());
    reused_ids_with_other_content_are_refused(&server, &outcomes).await;
    server.reconciles().await;
    server.stop();
}

fn viewers() -> impl Iterator<Item = i64> {
    FIRST_VIEWER..FIRST_VIEWER + VIEWERS
}

/// One gift in five is sent 2 to 5 times, half of those at the same instant.
fn plan() -> Vec<Planned> {
    let mut random = StdRng::seed_from_u64(7);
    (0..GIFTS)
        .map(|_| Planned {
            viewer: random.random_range(FIRST_VIEWER..FIRST_VIEWER + VIEWERS),
            event_id: event_id(),
            count: random.random_range(1..4),
            times: if random.random_bool(0.2) { random.random_range(2..6) } else { 1 },
            at_once: random.random_bool(0.5),
        })
        .collect()
}

/// The answer, the same however often it is asked for; none if there was too little.
async fn send(client: &Client, planned: &Planned) -> Option<Value> {
    let lost = AtomicBool::new(false);
    let send = || answered(client, planned, &lost);
    let mut answers = Vec::new();
    if planned.at_once {
        answers = futures::future::join_all((0..planned.times).map(|_| send())).await;
    } else {
        for _ in 0..planned.times {
            answers.push(send().await);
        }
    }
    for (status, answer) in &answers {
        let expected = *status == StatusCode::OK || (status.as_u16(), &answer["errCode"]) == (402, &Value::from(20001));
        assert!(expected, "{status} {answer}");
    }
    let good: Vec<&Value> = answers.iter().filter(|(status, _)| *status == StatusCode::OK).map(|(_, a)| a).collect();
    let firsts = good.iter().filter(|answer| answer["replayed"] == false).count();
    // An answer that was lost may have been the first.
    let at_least = usize::from(!good.is_empty() && !lost.into_inner());
    assert!((at_least..=1).contains(&firsts), "event {}: {answers:?}", planned.event_id);
    assert!(good.windows(2).all(|pair| pair[0]["balance"] == pair[1]["balance"]), "{answers:?}");
    good.first().map(|answer| (*answer).clone())
}

/// Asks again with the same event id while there is no answer, as a client does: a connection may be closed for being idle at the instant it
/// is used again, and in the distributed mode the servers share the machine with all of this.
async fn answered(client: &Client, planned: &Planned, lost: &AtomicBool) -> (StatusCode, Value) {
    let begun = Instant::now();
    loop {
        let gift = gift(&planned.event_id, planned.count);
        let answer = client.try_call(Method::POST, "/v1/rooms/7/gifts", gift).await;
        let may_be_late = MODE == Mode::Distributed && begun.elapsed() < Duration::from_secs(120);
        match answer {
            Ok((status, answer)) if !status.is_server_error() || !may_be_late => return (status, answer),
            Err(error) if begun.elapsed() >= Duration::from_secs(120) => {
                panic!("no answer to {}: {error}", planned.event_id)
            }
            Ok(_) | Err(_) => {}
        }
        lost.store(true, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

async fn reused_ids_with_other_content_are_refused(server: &Server, outcomes: &[(Planned, Option<Value>)]) {
    for (planned, _) in outcomes.iter().filter(|(_, answer)| answer.is_some()).take(100) {
        let other = gift(&planned.event_id, planned.count + 1);
        server.viewer(planned.viewer).refused(Method::POST, &gifts(ROOM), other, 422, 20003).await;
    }
}
