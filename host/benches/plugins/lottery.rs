//! A lottery from its close to its winners, against how many have entered; each draw is computed again from what is public.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::generator::{self, Script};
use crate::house::{Goal, Row, median};
use crate::stage::{self, Stage, Viewers};
use crate::support::event_id;
use crate::verify::Public;

/// How many enter, and what the rows are called.
const SIZES: [(usize, &str, &str); 3] = [
    (1_000, "close, 1,000 entrants", "draw, 1,000 entrants"),
    (10_000, "close, 10,000 entrants", "draw, 10,000 entrants"),
    (100_000, "close, 100,000 entrants", "draw, 100,000 entrants"),
];
const DRAWN: &[u8] = b"lottery.drawn";
const PATIENCE: Duration = Duration::from_secs(120);
/// How often the draw is computed again, for the median of the times.
const COMPUTED: usize = 5;

struct Entries {
    path: String,
    viewers: Arc<Viewers>,
    count: usize,
}

impl Script for Entries {
    fn write(&self, number: usize, request: &mut Vec<u8>) -> bool {
        let body = format!(r#"{{"eventId":"{}"}}"#, event_id());
        generator::post(request, &self.path, self.viewers.token(number), &body);
        number < self.count
    }

    fn answered(&self, _: usize, status: u16, body: &[u8]) {
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(body));
    }
}

pub async fn measure() {
    let stage = Stage::open("lottery", json!({ "drawDelayS": 1 })).await;
    let viewers = stage.viewers(SIZES[2].0);
    for (entrants, close, draw) in SIZES {
        let lottery = entered(&stage, &viewers, entrants).await;
        let (closed, drawn) = draw_now(&stage, &lottery, entrants).await;
        let natively = verify(&stage, &lottery, entrants).await;
        row(close, closed, None, CLOSE);
        row(draw, drawn, Some(natively), DRAW);
    }
    stage.close();
}

fn row(name: &'static str, seconds: f64, limit: Option<f64>, contains: &'static str) {
    let goal = if limit.is_some() { Goal::AtMost(1.0) } else { Goal::None };
    // The goal is about the time itself.
    Row { name, figure: seconds, unit: "s", limit, ratio: None, goal, contains }.print();
}

const CLOSE: &str =
    "from the streamer's request to its durable answer: 64 shards closed, all entrants read, sorted and digested";
const DRAW: &str = "from when the draw was due (its delay after the close, in which the digest is public, left out) to the push with the \
                    winners: all entrants read, sorted, digested and compared, 1,000 prizes in three tiers drawn, the record durable; \
                    then computed again from what is public; limit: that computation alone, natively";

/// A lottery that so many have entered over HTTP; its path.
async fn entered(stage: &Stage, viewers: &Arc<Viewers>, count: usize) -> String {
    let prize = |name: &str, stock: u32, weight: u32| json!({ "name": name, "stock": stock, "weight": weight });
    let ask = json!({
        "eventId": event_id(), "title": "Bench", "entry": { "kind": "free" },
        "prizes": [prize("first", 1, 1), prize("second", 99, 20), prize("third", 900, 400)],
    });
    let made = stage.streamer().ok(Method::POST, &stage::path("lotteries"), ask).await;
    let lottery = stage::path(&format!("lotteries/{}", made["lotteryId"].as_str().unwrap()));
    let entries = Arc::new(Entries { path: format!("{lottery}/entries"), viewers: viewers.clone(), count });
    let ran = generator::run(&stage.authority, &entries, Duration::from_secs(3_600)).await;
    assert_eq!(ran.answers, count);
    eprintln!("{count} entered, {:.0} a second", ran.rate());
    lottery
}

/// How long the close took, and the draw from when it was due, in seconds.
async fn draw_now(stage: &Stage, lottery: &str, entrants: usize) -> (f64, f64) {
    let mut pushes = stage.server.viewer(2).stream(&stage::path("events"), None).await;
    let begun = Instant::now();
    let closed = stage.streamer().ok(Method::POST, &format!("{lottery}/draw"), Value::Null).await;
    let took = begun.elapsed().as_secs_f64();
    assert_eq!(closed["closing"]["entrants"], entrants, "{closed}");
    let due_ms = closed["closing"]["drawsAtMs"].as_u64().unwrap();
    let told = async {
        let mut seen = Vec::new();
        while !seen.windows(DRAWN.len()).any(|window| window == DRAWN) {
            seen.extend_from_slice(&pushes.chunk().await.unwrap().expect("the server ended the stream"));
        }
    };
    tokio::time::timeout(PATIENCE, told).await.expect("the winners are pushed");
    let now_ms = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() as u64;
    let late = Duration::from_millis(now_ms.checked_sub(due_ms).expect("not before it is due"));
    (took, late.as_secs_f64())
}

/// Computes the draw again as `greenroom lottery verify` does; how long that alone takes, in seconds.
async fn verify(stage: &Stage, lottery: &str, expected: usize) -> f64 {
    let viewer = stage.server.viewer(2);
    let drawn = |lottery: &Value| lottery["status"] == "drawn";
    let public = stage::until(|| viewer.ok(Method::GET, lottery, Value::Null), drawn).await;
    let public: Public = serde_json::from_value(public).unwrap();
    let (mut entrants, mut cursor): (Vec<(i64, u64)>, _) = (Vec::new(), String::new());
    loop {
        let page = viewer.ok(Method::GET, &format!("{lottery}/entrants{cursor}"), Value::Null).await;
        for item in page["items"].as_array().unwrap() {
            entrants.push((item["userId"].as_str().unwrap().parse().unwrap(), item["chances"].as_u64().unwrap()));
        }
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("?cursor={next}"),
            None => break,
        }
    }
    assert_eq!((entrants.len(), public.wins.len()), (expected, expected.min(1_000)));
    entrants.sort_unstable();
    let compute = |_| {
        let begun = Instant::now();
        assert_eq!(public.faults(&entrants).unwrap(), [""; 0]);
        begun.elapsed().as_secs_f64()
    };
    median((0..COMPUTED).map(compute).collect())
}
