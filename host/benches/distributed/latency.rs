//! Latencies across hosts: from a gift that is sent to one host to its push to a viewer on another, and to its row in the database. All
//! on one machine, so by one clock. The hosts run already; the variables `BENCH_*` say where.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use greenroom::domain::UserId;
use greenroom::http::auth;
use greenroom_manifest::Role;
use hdrhistogram::Histogram;
use parking_lot::Mutex;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use sqlx::Connection;
use sqlx::postgres::PgConnection;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::house::{Goal, Row, argument};

const ROOM: i64 = 1;
const VIEWERS: i64 = 100;
const WATCHER: i64 = 1_000_000;
const STREAMER: &str = "2000000";
const NEEDLE: &[u8] = b"\"eventId\":\"";
const EVENT_ID_LEN: usize = 36;
const LOOK_EVERY: Duration = Duration::from_millis(1);
const PATIENCE: Duration = Duration::from_secs(20);

/// Times from the due moment of a gift, in microseconds.
struct Seen {
    began: Instant,
    micros: Mutex<Histogram<u64>>,
    count: AtomicUsize,
    over: AtomicBool,
}

impl Seen {
    fn new(began: Instant) -> Arc<Self> {
        let micros = Mutex::new(Histogram::new(3).unwrap());
        Arc::new(Self { began, micros, count: AtomicUsize::new(0), over: AtomicBool::new(false) })
    }

    /// An event of this run was seen now.
    fn note(&self, event_id: &str) {
        let due = u64::from_str_radix(&event_id[24..], 16).unwrap();
        let now = self.began.elapsed().as_micros() as u64;
        self.micros.lock().record(now.saturating_sub(due)).unwrap();
        self.count.fetch_add(1, Ordering::Relaxed);
    }
}

struct Hosts {
    /// `host:port`; gifts go to the first.
    authorities: Vec<String>,
    secret: Vec<u8>,
    client: Client,
}

impl Hosts {
    fn token(&self, user: i64, role: Role) -> String {
        let expires = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs() + 3_600;
        auth::issue(&self.secret, UserId(user), role, 1, expires).unwrap()
    }

    /// Calls the first host until it does what is asked.
    async fn call(&self, (user, role): (i64, Role), path: &str, body: Value) {
        let (url, token) = (format!("http://{}/v1/{path}", self.authorities[0]), self.token(user, role));
        let deadline = Instant::now() + PATIENCE;
        loop {
            let request = self.client.request(Method::POST, &url).bearer_auth(&token).json(&body);
            let answer = request.send().await.unwrap();
            let status = answer.status();
            if status.is_success() {
                return;
            }
            let text = answer.text().await.unwrap();
            let is_busy = [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS].contains(&status);
            assert!(is_busy && Instant::now() < deadline, "{path}: {status} {text}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

pub async fn measure() {
    let (rate, seconds) = (argument("rate", 200), argument("seconds", 10));
    let variable = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("set {name}"));
    let hosts = Arc::new(Hosts {
        authorities: variable("BENCH_HOSTS").split(',').map(str::to_owned).collect(),
        secret: std::fs::read(variable("BENCH_SECRET_FILE")).unwrap(),
        client: Client::new(),
    });
    set_up(&hosts).await;
    let began = Instant::now();
    let (pushed, settled) = (Seen::new(began), Seen::new(began));
    let watching = tokio::spawn(watch(hosts.clone(), pushed.clone()));
    let looking = tokio::spawn(look(variable("BENCH_POSTGRES_URL"), settled.clone()));
    // Nothing is measured of the first moments.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let gifts = rate * seconds;
    send(&hosts, &pushed, rate, gifts).await;
    let deadline = Instant::now() + PATIENCE;
    while [&pushed, &settled].iter().any(|seen| seen.count.load(Ordering::Relaxed) < gifts) {
        assert!(
            Instant::now() < deadline,
            "of {gifts} gifts {:?} were pushed and {:?} settled",
            pushed.count,
            settled.count
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    [&pushed, &settled].iter().for_each(|seen| seen.over.store(true, Ordering::Relaxed));
    looking.await.unwrap();
    watching.abort();
    report(&pushed, ["p50 gift to push, other host", "p99 gift to push, other host"], PUSHED);
    report(&settled, ["p50 gift to settled", "p99 gift to settled"], SETTLED);
}

const PUSHED: &str = "from when a gift was due at one host (open loop) to its receipt over SSE by a viewer on another, its durable hold \
                      included; durability `queued`";
const SETTLED: &str =
    "from when a gift was due to when its books were seen in PostgreSQL, looked for every millisecond";

fn report(seen: &Seen, [p50, p99]: [&'static str; 2], contains: &'static str) {
    let micros = seen.micros.lock();
    for (name, quantile) in [(p50, 0.5), (p99, 0.99)] {
        let figure = micros.value_at_quantile(quantile) as f64 / 1e3;
        Row { name, figure, unit: "ms", limit: None, ratio: None, goal: Goal::None, contains }.print();
    }
}

async fn set_up(hosts: &Hosts) {
    let operator = (1, Role::Operator);
    hosts
        .call(operator, "rooms", json!({ "roomId": ROOM.to_string(), "title": "Bench", "streamers": [STREAMER] }))
        .await;
    hosts.call(operator, &format!("rooms/{ROOM}/streams"), json!({ "plugins": [{ "name": "gift" }] })).await;
    for viewer in 1..=VIEWERS {
        let order = format!("bench-{viewer}");
        let recharge = json!({
            "eventId": order, "userId": viewer.to_string(), "assetType": 1, "amount": "1000000000",
            "eventType": "orderApple", "orderId": order, "transactionId": order,
        });
        hosts.call((2, Role::Service), "recharges", recharge).await;
        // The account is loaded now, not within what is measured.
        let event = uuid::Uuid::now_v7().to_string();
        let gift = json!({ "eventId": event, "giftId": "2002", "count": 1 });
        hosts.call((viewer, Role::Viewer), &format!("rooms/{ROOM}/gifts"), gift).await;
    }
}

/// Sends gifts in an open loop. An event id ends with the microsecond at which the gift was due.
async fn send(hosts: &Arc<Hosts>, seen: &Arc<Seen>, rate: usize, gifts: usize) {
    let tokens: Vec<String> = (1..=VIEWERS).map(|viewer| hosts.token(viewer, Role::Viewer)).collect();
    let url: Arc<str> = format!("http://{}/v1/rooms/{ROOM}/gifts", hosts.authorities[0]).into();
    let mut every = tokio::time::interval(Duration::from_secs(1) / rate as u32);
    let mut sending = tokio::task::JoinSet::new();
    for number in 0..gifts {
        let due = every.tick().await.into_std();
        let (client, url, token) = (hosts.client.clone(), url.clone(), tokens[number % tokens.len()].clone());
        let event = event_id(due.saturating_duration_since(seen.began));
        sending.spawn(async move {
            let gift = json!({ "eventId": event, "giftId": "2002", "count": 1 });
            let answer = client.post(&*url).bearer_auth(token).json(&gift).send().await.unwrap();
            assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
        });
    }
    while let Some(sent) = sending.join_next().await {
        sent.unwrap();
    }
}

/// A `UUIDv7` that ends with the microseconds since the start; its variant's bits tell it from other events.
fn event_id(due: Duration) -> String {
    let now_ms = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() as u64;
    format!("{:08x}-{:04x}-7bbb-8bbb-{:012x}", now_ms >> 16, now_ms & 0xffff, due.as_micros())
}

fn is_ours(event_id: &str) -> bool {
    event_id.get(14..24) == Some("7bbb-8bbb-")
}

/// A viewer on the last host.
async fn watch(hosts: Arc<Hosts>, seen: Arc<Seen>) {
    let authority = hosts.authorities.last().unwrap();
    let token = hosts.token(WATCHER, Role::Viewer);
    let mut stream = TcpStream::connect(authority).await.unwrap();
    let request = format!(
        "GET /v1/rooms/{ROOM}/events HTTP/1.1\r\nhost: {authority}\r\nauthorization: Bearer {token}\r\naccept: text/event-stream\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::with_capacity(1 << 16);
    while stream.read_buf(&mut bytes).await.unwrap() > 0 {
        assert!(!bytes.starts_with(b"HTTP/1.1 4"), "{}", String::from_utf8_lossy(&bytes));
        while let Some(at) = bytes.windows(NEEDLE.len()).position(|window| window == NEEDLE) {
            let id = at + NEEDLE.len()..at + NEEDLE.len() + EVENT_ID_LEN;
            let Some(id) = bytes.get(id).and_then(|id| std::str::from_utf8(id).ok()) else { break };
            if is_ours(id) {
                seen.note(id);
            }
            bytes.drain(..at + NEEDLE.len() + EVENT_ID_LEN);
        }
    }
}

/// Looks for new events in the database.
async fn look(url: String, seen: Arc<Seen>) {
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let mut known: std::collections::HashSet<String> = std::collections::HashSet::new();
    let mut from = 0_i64;
    while !seen.over.load(Ordering::Relaxed) {
        let found: Vec<(i64, String)> = sqlx::query_as("SELECT id, event_id FROM greenroom.event WHERE id > $1")
            .bind(from)
            .fetch_all(&mut connection)
            .await
            .unwrap();
        for (id, event_id) in found {
            // Batches may be committed in another order than they got their numbers, so some are looked at again.
            from = from.max(id - (64 << 20));
            if is_ours(&event_id) && known.insert(event_id.clone()) {
                seen.note(&event_id);
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
