//! Several host processes over one Redis, Kafka and PostgreSQL.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::site::Site;
use crate::support::{Client, GOLD, ROOM, STREAMER, Server, event_id, gift, gifts, only};

const PAYERS: [i64; 6] = [1001, 1002, 1003, 1004, 1005, 1006];
const ROUNDS: usize = 10;
/// Gifts of each payer that are answered before a host is killed.
const ANSWERED_MIN: usize = 5;

/// A host that lets everybody ask as often as they like.
async fn host(site: &Site, data: &TempDir) -> Server {
    site.host(data.path(), only(&["gift"]).path(), &[("GREENROOM_RATE_LIMITS_USER_PER_SECOND", "0")]).await
}

/// Asks again until the answer is a success: a new installation gives out no holds until its buckets have recovered.
async fn in_the_end(client: &Client, path: &str, body: &Value) -> Value {
    let begun = Instant::now();
    loop {
        let (status, answer) = client.call(Method::POST, path, body.clone()).await;
        if status == StatusCode::OK {
            return answer;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "never a success: {status} {answer}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Gives every payer 10,000 coins, of which they spend the first ten at once; the gifts' ids.
async fn money(host: &Server) -> HashSet<String> {
    let mut sent = HashSet::new();
    for payer in PAYERS {
        let recharge = json!({
            "eventId": format!("recharge-{payer}"), "userId": payer, "assetType": GOLD, "amount": 10_000,
            "eventType": "orderApple", "orderId": "o1", "transactionId": "t1",
        });
        in_the_end(&host.service(), "/v1/recharges", &recharge).await;
        let id = event_id();
        in_the_end(&host.viewer(payer), &gifts(ROOM), &gift(&id, 1)).await;
        sent.insert(id);
    }
    sent
}

/// Waits until every host answers a gift request of nobody's with this status.
async fn everywhere(hosts: &[&Server], wanted: StatusCode) {
    let begun = Instant::now();
    for host in hosts {
        while host.viewer(PAYERS[0]).call(Method::GET, &gifts(ROOM), Value::Null).await.0 != wanted {
            assert!(begun.elapsed() < Duration::from_secs(20), "a host never answers {wanted}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// In each round every payer sends one gift, over two of three hosts at once. The gifts' ids, in order for each payer.
async fn send_each_over_two(hosts: &[&Server; 3]) -> HashMap<i64, Vec<String>> {
    let mut sent: HashMap<i64, Vec<String>> = HashMap::new();
    for round in 0..ROUNDS {
        for (number, payer) in PAYERS.into_iter().enumerate() {
            let id = event_id();
            let body = gift(&id, 1);
            let (first, second) =
                (hosts[(round + number) % 3].viewer(payer), hosts[(round + number + 1) % 3].viewer(payer));
            let path = gifts(ROOM);
            let (one, other) =
                tokio::join!(first.ok(Method::POST, &path, body.clone()), second.ok(Method::POST, &path, body));
            assert_eq!(one["balance"], other["balance"]);
            assert_ne!(one["replayed"], other["replayed"]);
            sent.entry(payer).or_default().push(id);
        }
    }
    sent
}

#[tokio::test]
async fn three_hosts_serve_one_room() {
    let site = Site::open().await;
    let data = [TempDir::new().unwrap(), TempDir::new().unwrap(), TempDir::new().unwrap()];
    let (a, b, c) = tokio::join!(host(&site, &data[0]), host(&site, &data[1]), host(&site, &data[2]));
    let hosts = [&a, &b, &c];
    a.open_room(ROOM, &[STREAMER]).await;
    everywhere(&hosts, StatusCode::OK).await;
    let before = money(&a).await;

    let mut streams = Vec::new();
    for host in hosts {
        streams.push(host.viewer(9).events(ROOM, None).await);
    }
    let sent = send_each_over_two(&hosts).await;
    for stream in &mut streams {
        let mut seen: HashMap<i64, Vec<String>> = HashMap::new();
        for _ in 0..ROUNDS * PAYERS.len() {
            let mut gift = stream.next_of("gift.sent").await;
            // A push of what was sent before may come late.
            while before.contains(gift["eventId"].as_str().unwrap()) {
                gift = stream.next_of("gift.sent").await;
            }
            let payer = gift["fromUserId"].as_str().unwrap().parse().unwrap();
            seen.entry(payer).or_default().push(gift["eventId"].as_str().unwrap().to_owned());
        }
        assert_eq!(seen, sent, "each once, and in order for each sender");
    }
    b.operator().ok(Method::PUT, &format!("/v1/rooms/{ROOM}/plugins/gift"), json!({ "enabled": false })).await;
    everywhere(&hosts, StatusCode::NOT_FOUND).await;
    c.operator().ok(Method::PUT, &format!("/v1/rooms/{ROOM}/plugins/gift"), json!({ "enabled": true })).await;
    everywhere(&hosts, StatusCode::OK).await;

    b.settled(&PAYERS).await;
    for payer in PAYERS {
        assert_eq!(c.balance(payer, GOLD).await, 10_000 - 10 * (ROUNDS as i64 + 1));
    }
    c.reconciles().await;
    [a, b, c].into_iter().for_each(Server::stop);
}

/// The ids of the gifts that were answered, and of the one that was not. What a slow backend does not answer is asked for again.
async fn send_until_killed(client: &Client, count: &AtomicUsize) -> (Vec<String>, String) {
    let mut answered = Vec::new();
    let mut last = event_id();
    while let Ok((status, answer)) = client.try_call(Method::POST, &gifts(ROOM), gift(&last, 1)).await {
        match status {
            StatusCode::OK => {
                answered.push(std::mem::replace(&mut last, event_id()));
                count.fetch_add(1, Ordering::Relaxed);
            }
            StatusCode::SERVICE_UNAVAILABLE => {}
            _ => panic!("{status} {answer}"),
        }
    }
    (answered, last)
}

#[tokio::test]
async fn a_host_that_is_killed_takes_no_gift_with_it() {
    let site = Site::open().await;
    let data = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let (killed, stays) = tokio::join!(host(&site, &data[0]), host(&site, &data[1]));
    stays.open_room(ROOM, &[STREAMER]).await;
    everywhere(&[&killed, &stays], StatusCode::OK).await;
    money(&stays).await;

    let clients: Vec<(i64, Client)> = PAYERS.into_iter().map(|payer| (payer, killed.viewer(payer))).collect();
    let counts: Vec<Arc<AtomicUsize>> = PAYERS.iter().map(|_| Arc::default()).collect();
    let sending = clients.into_iter().zip(&counts).map(|((payer, client), count)| {
        let count = Arc::clone(count);
        tokio::spawn(async move {
            let (answered, unanswered) = send_until_killed(&client, &count).await;
            (payer, answered, unanswered)
        })
    });
    let sending: Vec<_> = sending.collect();
    let begun = Instant::now();
    while counts.iter().any(|count| count.load(Ordering::Relaxed) < ANSWERED_MIN) {
        assert!(begun.elapsed() < Duration::from_secs(60), "hardly anything is answered: {counts:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    killed.kill();
    let mut gifts_of: HashMap<i64, usize> = HashMap::new();
    for task in sending {
        let (payer, answered, unanswered) = task.await.unwrap();
        let viewer = stays.viewer(payer);
        for id in &answered {
            assert_eq!(in_the_end(&viewer, &gifts(ROOM), &gift(id, 1)).await["replayed"], true, "{id}");
        }
        // Whether the gift without an answer was held is found out by asking again.
        in_the_end(&viewer, &gifts(ROOM), &gift(&unanswered, 1)).await;
        let distinct: HashSet<&String> = answered.iter().collect();
        gifts_of.insert(payer, distinct.len() + 1);
    }
    stays.settled(&PAYERS).await;
    for (payer, count) in gifts_of {
        assert_eq!(stays.balance(payer, GOLD).await, 10_000 - 10 * (i64::try_from(count).unwrap() + 1));
    }
    stays.reconciles().await;
    stays.stop();
}

#[tokio::test]
async fn the_rate_of_a_user_holds_over_all_hosts() {
    let site = Site::open().await;
    let data = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let plugins = only(&["gift"]);
    let environment = [("GREENROOM_RATE_LIMITS_USER_PER_SECOND", "1")];
    let (a, b) = tokio::join!(
        site.host(data[0].path(), plugins.path(), &environment),
        site.host(data[1].path(), plugins.path(), &environment)
    );
    let (one, other) = (a.viewer(PAYERS[0]), b.viewer(PAYERS[0]));
    let path = gifts(ROOM);
    let begun = Instant::now();
    loop {
        // A host alone would let one request in a second through, and never sees more than that.
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        let (first, second) =
            tokio::join!(one.call(Method::GET, &path, Value::Null), other.call(Method::GET, &path, Value::Null));
        let mut refused = [first, second].into_iter().filter(|(status, _)| *status == StatusCode::TOO_MANY_REQUESTS);
        if let Some((_, problem)) = refused.next() {
            assert_eq!(problem["errCode"], 10_007);
            assert!(refused.next().is_none(), "one of them may come");
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "two requests at once are never too many");
    }
    [a, b].into_iter().for_each(Server::stop);
}
