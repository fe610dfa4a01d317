//! The limit of holds: the hold's script and arguments as the adapter sends them, sent by redis-benchmark, of a gift by itself and of one
//! in a combo, which changes three counters in the same step.
//!
//! A hold is made through the adapter while MONITOR listens, so what is repeated is what is really sent, whatever it looks like. Only
//! the event id is drawn anew for each call, by redis-benchmark.

use std::cell::Cell;
use std::process::Command;

use bytes::Bytes;
use greenroom::adapters::redis as adapter;
use greenroom::domain::{Account, Amount, AssetType, ContentDigest, EventId, RoomId, UserId};
use greenroom::ports::cache::{Cache, CounterAdd, Hold, HoldResult, Settled};
use greenroom::ports::outbox::Outbox;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::house::{Goal, Row};
use crate::place::{Place, begin};

const CALLS: u32 = 100_000;
/// What redis-benchmark does best with differs from machine to machine, and the better one is the limit; the gifts come over 256 connections.
const CLIENTS: [u32; 2] = [64, 256];
/// In the place of the last digits of an event id redis-benchmark draws others; those before are the run's own, because two runs may draw the
/// same.
const DRAWN: &str = "8000-000000000000";
const RANDOM: &str = "__rand_int__";
const PAYLOAD: &[u8] = br#"{"streamId":"0192f3c1-7d2a-7000-8000-000000000001","giftId":2002,"unit":10,"count":1,"receivers":["5782000000000001"],"shareBps":5000,"pointsRate":1}"#;

pub async fn measure(place: &Place) {
    let adapter::Redis { cache, outbox, .. } = adapter::open(place.redis_settings()).await.unwrap();
    begin(&*outbox).await;
    let (single, in_combo) = (captured(place, &*cache, 1, &[]).await, captured(place, &*cache, 2, &combo()).await);
    let benchmark = Benchmark { place, outbox: &*outbox, run: Cell::new(0) };
    let (single, pipelined) = (benchmark.best(&single, 1).await, benchmark.best(&single, 16).await);
    let in_combo = benchmark.best(&in_combo, 1).await;
    let row = |name, figure, contains| {
        Row { name, figure, unit: "/s", limit: None, ratio: None, goal: Goal::None, contains }.print();
    };
    row(
        "hold script, redis-benchmark",
        single,
        "the limit of gifts: EVALSHA of the adapter's own hold with its keys and arguments, as one gift outside a combo has them; 64 or \
         256 connections, whichever is faster, no pipelining",
    );
    row("hold script, -P 16", pipelined, "the same with 16 requests in each pipeline");
    row("hold script in a combo", in_combo, "as the first, with the counters of a combo that goes on");
}

/// What the gift plugin counts with a gift of a combo.
fn combo() -> [CounterAdd; 3] {
    let counter = |key: &str, delta, ttl_ms| CounterAdd { key: key.into(), delta, max: None, ttl_ms };
    [
        counter("combo/2002/c1f-3e8", 1, 5_000),
        counter("combo-count/2002/c1f-3e8", 1, 605_000),
        counter("combo-sum/2002/c1f-3e8", 10, 605_000),
    ]
}

/// The words of a hold, as the adapter sends it.
async fn captured(place: &Place, cache: &dyn Cache, viewer: i64, counters: &[CounterAdd]) -> Vec<Vec<u8>> {
    let payer = Account { user_id: UserId(1_763_731_000_000_000 + viewer), asset_type: AssetType(1) };
    let lease = cache.lease(payer).await.unwrap().unwrap();
    let settled = Settled { balance: Amount(1_000_000_000_000), version: 1 };
    assert!(cache.fill(payer, lease, Some(settled), &[]).await.unwrap());
    // The script is known to the server from here on, and the counters are there.
    hold(cache, payer, counters, "0192f3c1-7d2a-7000-8000-111111111111").await;
    let address = place.redis.strip_prefix("redis://").unwrap().trim_end_matches('/');
    let mut monitor = BufReader::new(TcpStream::connect(address).await.unwrap());
    monitor.write_all(b"MONITOR\r\n").await.unwrap();
    let mut line = String::new();
    monitor.read_line(&mut line).await.unwrap();
    assert_eq!(line.trim(), "+OK");
    hold(cache, payer, counters, &format!("0192f3c1-7d2a-7000-{DRAWN}")).await;
    loop {
        line.clear();
        monitor.read_line(&mut line).await.unwrap();
        let words = words(&line);
        if words.first().is_some_and(|word| word == b"EVALSHA") && line.contains(&place.name) && line.contains(DRAWN) {
            return words;
        }
    }
}

async fn hold(cache: &dyn Cache, payer: Account, counters: &[CounterAdd], event_id: &str) {
    let epoch = cache.epoch(payer.user_id).await.unwrap();
    let hold = Hold {
        event_id: EventId::new(event_id).unwrap(),
        payer,
        amount: Amount(10),
        digest: ContentDigest([7; 16]),
        plugin: "gift".into(),
        counters: counters.to_vec(),
        topic: "gift.sent".into(),
        room_id: Some(RoomId(1_763_731_000_000_001)),
        payload: Bytes::from_static(PAYLOAD),
        now_ms: std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() as u64,
    };
    assert!(matches!(cache.hold(hold, epoch).await.unwrap(), HoldResult::Held(..)));
}

/// The words of a line of MONITOR: `time [db address] "word" "word" …`, with other bytes as `\xNN`.
fn words(line: &str) -> Vec<Vec<u8>> {
    let mut bytes = line.bytes();
    let (mut words, mut word): (Vec<Vec<u8>>, Option<Vec<u8>>) = (Vec::new(), None);
    while let Some(byte) = bytes.next() {
        match (&mut word, byte) {
            (None, b'"') => word = Some(Vec::new()),
            (None, _) => {}
            (Some(_), b'"') => words.extend(word.take()),
            (Some(word), b'\\') => word.push(match bytes.next().unwrap() {
                b'x' => {
                    let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
                    u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
                }
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'a' => 7,
                b'b' => 8,
                other => other,
            }),
            (Some(word), byte) => word.push(byte),
        }
    }
    words
}

/// Runs of redis-benchmark.
struct Benchmark<'a> {
    place: &'a Place,
    outbox: &'a dyn Outbox,
    run: Cell<u32>,
}

impl Benchmark<'_> {
    /// Calls a second.
    async fn best(&self, hold: &[Vec<u8>], pipeline: u32) -> f64 {
        let mut best: f64 = 0.0;
        for clients in CLIENTS {
            let before = self.outbox.backlog().await.unwrap();
            best = best.max(self.run(hold, clients, pipeline));
            let held = self.outbox.backlog().await.unwrap() - before;
            assert!(held * 100 >= u64::from(CALLS) * 99, "only {held} of {CALLS} calls held something");
        }
        best
    }

    fn run(&self, hold: &[Vec<u8>], clients: u32, pipeline: u32) -> f64 {
        use std::os::unix::ffi::OsStringExt;
        let (host, port) =
            self.place.redis.strip_prefix("redis://").unwrap().trim_end_matches('/').split_once(':').unwrap();
        let mut command = Command::new("redis-benchmark");
        command.args(["-h", host, "-p", port, "-n", &CALLS.to_string(), "-c", &clients.to_string()]);
        command.args(["-P", &pipeline.to_string(), "-r", "1000000000", "--csv"]);
        self.run.set(self.run.get() + 1);
        let drawn = format!("{:04x}-{RANDOM}", 0x8000 + self.run.get());
        for word in hold {
            // A word of a command line has no zero byte. The script does not look into the event, where they are.
            let word: Vec<u8> = word.iter().map(|byte| if *byte == 0 { 1 } else { *byte }).collect();
            command.arg(std::ffi::OsString::from_vec(replaced(&word, &drawn)));
        }
        let output = command.output().expect("redis-benchmark, of the package redis-tools");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && !text.contains("ERR"), "{text}{}", String::from_utf8_lossy(&output.stderr));
        per_second(&text, clients, pipeline)
    }
}

/// `"EVALSHA …","57000.00",…`: the command may hold commas and quotes, the figures do not.
fn per_second(text: &str, clients: u32, pipeline: u32) -> f64 {
    let line = text.lines().last().unwrap_or_default();
    let figures: Vec<&str> = line.rsplit(',').take(7).collect();
    let figure = figures[6].trim_matches('"').parse().unwrap_or_else(|_| panic!("strange line: {line}"));
    eprintln!("redis-benchmark -c {clients} -P {pipeline}: {figure}/s");
    figure
}

fn replaced(word: &[u8], drawn: &str) -> Vec<u8> {
    let from = DRAWN.as_bytes();
    match word.windows(from.len()).position(|window| window == from) {
        Some(at) => [&word[..at], drawn.as_bytes(), &word[at + from.len()..]].concat(),
        None => word.to_vec(),
    }
}
