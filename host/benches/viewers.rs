//! Many viewers of one room over Server-Sent Events, then over WebSockets: how many messages a second reach them, and how late. The
//! server is the real program in a process of its own; the viewers share the machine with it.
//! `cargo bench --bench viewers -- --viewers 10000 --rate 20 --seconds 10`

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]
#![allow(clippy::float_arithmetic)]

mod house;
#[allow(dead_code)]
#[path = "../tests/e2e/support.rs"]
mod support;

use std::os::unix::process::CommandExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use greenroom::domain::UserId;
use greenroom::http::auth;
use greenroom_manifest::Role;
use hdrhistogram::Histogram;
use house::{Goal, Row, argument};
use parking_lot::Mutex;
use reqwest::Method;
use support::{ROOM, STREAMER, Server, gift, gifts, in_seconds};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const SENDER: i64 = 1;
const FIRST_VIEWER: i64 = 1_000_000;
/// Connections that are made at the same time.
const CONNECTING: usize = 64;
/// File descriptors for everything but the viewers.
const SPARE: usize = 200;
const NEEDLE: &[u8] = b"\"eventId\":\"";
const EVENT_ID_LEN: usize = 36;
/// After the last gift.
const PATIENCE: Duration = Duration::from_secs(10);

/// How a viewer is told.
#[derive(Clone, Copy)]
enum Transport {
    Sse,
    WebSocket,
}

impl Transport {
    /// What comes after `GET /v1/rooms/7/` and before the end of the head.
    fn request(self) -> &'static str {
        match self {
            Self::Sse => "events HTTP/1.1\r\naccept: text/event-stream",
            Self::WebSocket => {
                "ws HTTP/1.1\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                 sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ=="
            }
        }
    }

    /// What the server sends once the viewer is in the room, or about to be.
    fn greeting(self) -> &'static [u8] {
        match self {
            Self::Sse => b"retry:",
            Self::WebSocket => b"101 Switching Protocols",
        }
    }
}

fn main() {
    raise_file_limit();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(run(Transport::Sse));
    runtime.block_on(run(Transport::WebSocket));
}

/// Starts this program again under the hard limit of file descriptors, which the server inherits.
fn raise_file_limit() {
    if std::env::var_os("BENCH_FILES_RAISED").is_none() {
        let program = std::env::current_exe().unwrap();
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", "ulimit -n $(ulimit -H -n) 2>/dev/null; exec \"$@\"", "sh"]).arg(program);
        let error = shell.args(std::env::args_os().skip(1)).env("BENCH_FILES_RAISED", "1").exec();
        panic!("cannot start again: {error}");
    }
}

fn file_limit() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    line.split_whitespace().nth(3).unwrap().parse().unwrap_or(usize::MAX)
}

/// What the viewers have seen together.
struct Seen {
    began: Instant,
    connected: AtomicUsize,
    received: AtomicUsize,
    micros: Mutex<Histogram<u64>>,
    over: AtomicBool,
}

async fn run(transport: Transport) {
    let (asked, rate, seconds) = (argument("viewers", 10_000), argument("rate", 20), argument("seconds", 10));
    let viewers = asked.min(file_limit() - SPARE);
    let folder = house::folder();
    let environment = [("GREENROOM_RATE_LIMITS_USER_PER_SECOND", "0")];
    let plugins = support::only(&["gift"]);
    let server = Server::start_with(folder.path(), plugins.path(), &environment).await;
    server.open_room(ROOM, &[STREAMER]).await;
    server.recharge(SENDER, 1_000_000_000).await;
    let secret = std::fs::read(folder.path().join("dev-secret")).unwrap();
    let seen = Arc::new(Seen {
        began: Instant::now(),
        connected: AtomicUsize::new(0),
        received: AtomicUsize::new(0),
        micros: Mutex::new(Histogram::new(3).unwrap()),
        over: AtomicBool::new(false),
    });
    let authority: Arc<str> = server.url.strip_prefix("http://").unwrap().into();
    let turns = Arc::new(tokio::sync::Semaphore::new(CONNECTING));
    for viewer in 0..viewers {
        let user = UserId(FIRST_VIEWER + viewer as i64);
        let token = auth::issue(&secret, user, Role::Viewer, 1, in_seconds(3600)).unwrap();
        tokio::spawn(watch(transport, authority.clone(), token, turns.clone(), seen.clone()));
    }
    until(Duration::from_secs(120), || seen.connected.load(Ordering::Relaxed) == viewers).await;
    eprintln!("{viewers} viewers are connected after {:.1?}", seen.began.elapsed());
    // A socket joins its room just after the switch of protocols.
    tokio::time::sleep(Duration::from_millis(500)).await;

    let messages = rate * seconds;
    let client = server.viewer(SENDER);
    let mut every = tokio::time::interval(Duration::from_secs(1) / rate as u32);
    let (started, mut sending) = (Instant::now(), Vec::new());
    for _ in 0..messages {
        every.tick().await;
        let (client, event) = (client.clone(), event_id(seen.began));
        sending.push(tokio::spawn(async move { client.ok(Method::POST, &gifts(ROOM), gift(&event, 1)).await }));
    }
    for sent in sending {
        sent.await.unwrap();
    }
    let expected = messages * viewers;
    let complete = until_or(PATIENCE, || seen.received.load(Ordering::Relaxed) >= expected).await;
    let took = started.elapsed() - if complete { Duration::ZERO } else { PATIENCE };
    seen.over.store(true, Ordering::Relaxed);
    let received = seen.received.load(Ordering::Relaxed);
    eprintln!("{viewers} viewers, {rate} gifts a second, {received} of {expected} messages in {took:.1?}");
    report(transport, &seen, received, expected, took);
    server.stop();
}

fn report(transport: Transport, seen: &Seen, received: usize, expected: usize, took: Duration) {
    let (messages, slowest) = match transport {
        Transport::Sse => ("messages over SSE", "p99 gift to SSE viewer"),
        Transport::WebSocket => ("messages over WebSockets", "p99 gift to WS viewer"),
    };
    Row {
        name: messages,
        figure: received as f64 / took.as_secs_f64(),
        unit: "/s",
        limit: Some(expected as f64 / took.as_secs_f64()),
        ratio: Some(received as f64 / expected as f64),
        goal: Goal::AtLeast(1.0),
        contains: "10,000 viewers (fewer if the limit of open files says so; --viewers) of one room, 20 gifts a second (--rate); \
                   limit: every message to every viewer",
    }
    .print();
    Row {
        name: slowest,
        figure: seen.micros.lock().value_at_quantile(0.99) as f64 / 1e3,
        unit: "ms",
        limit: None,
        ratio: None,
        goal: Goal::None,
        contains: "from the sending of a gift over HTTP, its durable hold included, to its receipt by a viewer on the same machine",
    }
    .print();
}

/// A `UUIDv7` that ends with the microseconds since the start.
fn event_id(began: Instant) -> String {
    let now_ms = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() as u64;
    let micros = began.elapsed().as_micros() as u64;
    format!("{:08x}-{:04x}-7000-8000-{micros:012x}", now_ms >> 16, now_ms & 0xffff)
}

/// One viewer: connects, and notes every gift that it is told of.
async fn watch(
    transport: Transport,
    authority: Arc<str>,
    token: String,
    turns: Arc<tokio::sync::Semaphore>,
    seen: Arc<Seen>,
) {
    let turn = turns.acquire().await.unwrap();
    let mut stream = TcpStream::connect(&*authority).await.unwrap();
    let asked = transport.request();
    let request = format!("GET /v1/rooms/{ROOM}/{asked}\r\nhost: {authority}\r\nauthorization: Bearer {token}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::with_capacity(2048);
    let greeting = transport.greeting();
    while !bytes.windows(greeting.len()).any(|window| window == greeting) {
        assert!(stream.read_buf(&mut bytes).await.unwrap() > 0, "{}", String::from_utf8_lossy(&bytes));
    }
    drop(turn);
    seen.connected.fetch_add(1, Ordering::Relaxed);
    bytes.clear();
    while !seen.over.load(Ordering::Relaxed) && stream.read_buf(&mut bytes).await.is_ok_and(|len| len > 0) {
        let now = seen.began.elapsed().as_micros() as u64;
        while let Some(at) = bytes.windows(NEEDLE.len()).position(|window| window == NEEDLE) {
            let id = at + NEEDLE.len()..at + NEEDLE.len() + EVENT_ID_LEN;
            let Some(id) = bytes.get(id).and_then(|id| std::str::from_utf8(id).ok()) else { break };
            let sent = u64::from_str_radix(&id[24..], 16).unwrap();
            seen.micros.lock().record(now.saturating_sub(sent)).unwrap();
            seen.received.fetch_add(1, Ordering::Relaxed);
            bytes.drain(..at + NEEDLE.len() + EVENT_ID_LEN);
        }
    }
}

async fn until(patience: Duration, reached: impl Fn() -> bool) {
    assert!(until_or(patience, reached).await, "not within {patience:?}");
}

async fn until_or(patience: Duration, reached: impl Fn() -> bool) -> bool {
    let began = Instant::now();
    while !reached() {
        if began.elapsed() > patience {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    true
}
