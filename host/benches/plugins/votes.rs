//! Votes of distinct viewers on one poll.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::generator::{self, Script};
use crate::house::{Goal, Row};
use crate::limit;
use crate::stage::{self, Stage, Viewers};
use crate::support::event_id;

const OPTIONS: usize = 3;
/// More than this machine counts in a second.
const VOTERS_PER_S: usize = 40_000;

struct Votes {
    path: String,
    viewers: Arc<Viewers>,
    /// Whether each viewer votes once.
    are_distinct: bool,
    /// By option.
    counted: [AtomicI64; OPTIONS],
}

#[derive(Deserialize)]
struct Voted<'a> {
    state: &'a str,
    given: Vec<Line>,
    replayed: bool,
}

#[derive(Deserialize)]
struct Line {
    option: usize,
}

impl Votes {
    fn new(path: String, viewers: &Arc<Viewers>, are_distinct: bool) -> Arc<Self> {
        Arc::new(Self { path, viewers: viewers.clone(), are_distinct, counted: Default::default() })
    }
}

impl Script for Votes {
    fn write(&self, number: usize, request: &mut Vec<u8>) -> bool {
        if self.are_distinct && number >= self.viewers.len() {
            return false;
        }
        let (event_id, option) = (event_id(), number % OPTIONS + 1);
        let body = format!(r#"{{"eventId":"{event_id}","choices":[{{"option":{option}}}]}}"#);
        generator::post(request, &self.path, self.viewers.token(number), &body);
        true
    }

    fn answered(&self, number: usize, status: u16, body: &[u8]) {
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(body));
        let voted: Voted<'_> = serde_json::from_slice(body).unwrap();
        let option = number % OPTIONS;
        assert!(voted.state == "counted" && !voted.replayed && voted.given[0].option == option + 1);
        self.counted[option].fetch_add(1, Ordering::Relaxed);
    }
}

pub async fn measure(duration: Duration) {
    let stage = Stage::open("voting", json!({})).await;
    let viewers = stage.viewers(VOTERS_PER_S * duration.as_secs() as usize);
    let ask = json!({ "eventId": event_id(), "title": "Which?", "options": ["A", "B", "C"], "closesInS": 1_800 });
    let poll = stage.streamer().ok(Method::POST, &stage::path("polls"), ask).await;
    let poll = stage::path(&format!("polls/{}", poll["pollId"].as_str().unwrap()));
    let bare = limit::rate(&Votes::new(format!("{poll}/votes"), &viewers, false), duration).await;
    let votes = Votes::new(format!("{poll}/votes"), &viewers, true);
    let ran = generator::run(&stage.authority, &votes, duration).await;
    audit(&stage, &poll, &votes).await;
    stage.close();
    Row {
        name: "votes",
        figure: ran.rate(),
        unit: "/s",
        limit: Some(bare),
        ratio: Some(ran.rate() / bare),
        goal: Goal::None,
        contains: "durable votes of distinct viewers, whose tokens the server has never seen, on one poll over HTTP, 64 connections; then \
                   tally, recount and what was answered are the same; limit: answers of a bare axum route with the same JSON in and out, \
                   in the generator's process",
    }
    .print();
}

/// The result is what was answered, and what the single ballots say.
async fn audit(stage: &Stage, poll: &str, votes: &Votes) {
    let counted: Vec<i64> = votes.counted.iter().map(|count| count.load(Ordering::Relaxed)).collect();
    let (streamer, sum) = (stage.streamer(), counted.iter().sum::<i64>());
    streamer.ok(Method::POST, &format!("{poll}/close"), Value::Null).await;
    let closed = |shown: &Value| shown["standing"]["state"] == "closed";
    let shown = stage::until(|| streamer.ok(Method::GET, poll, Value::Null), closed).await;
    let options: Vec<Value> = counted.iter().map(|count| json!({ "votes": count, "points": count })).collect();
    assert_eq!((&shown["standing"]["voters"], &shown["standing"]["sums"]), (&json!(sum), &json!(options)));
    let path = format!("{poll}/recount");
    streamer.ok(Method::POST, &path, Value::Null).await;
    let recounted = stage::until(|| streamer.ok(Method::GET, &path, Value::Null), |recount| recount["isDone"] == true);
    let recounted = recounted.await;
    assert_eq!((&recounted["isEqual"], &recounted["recount"]["voters"]), (&json!(true), &json!(sum)), "{recounted}");
    eprintln!("{sum} votes: tally = recount = answered");
}
