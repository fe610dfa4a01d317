//! The built plugin in a whole room: over HTTP and push, with a clock that the test owns.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

#[path = "room/free.rs"]
mod free;
#[path = "room/paid.rs"]
mod paid;
#[path = "room/stress.rs"]
mod stress;

use std::time::{Duration, Instant};

use greenroom_testkit::{House, Room, Visitor, event_id};
use serde_json::{Value, json};

const CLOSES_IN: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_secs(60);
const TALLY_EVERY: Duration = Duration::from_millis(500);

async fn house() -> House {
    House::open(&["voting"]).await
}

async fn room<'a>(house: &'a House, config: Value) -> Room<'a> {
    house.room(json!([{ "name": "voting", "config": config }])).await
}

/// Opens a poll of three options for a minute, with changes; gives its path.
async fn open(room: &Room<'_>, changes: Value) -> String {
    let mut asked =
        json!({ "eventId": event_id(), "title": "Next song?", "options": ["A", "B", "C"], "closesInS": 60 });
    for (key, value) in changes.as_object().unwrap() {
        asked[key] = value.clone();
    }
    let poll = room.streamer().post("polls", asked).await.ok();
    format!("polls/{}", poll["pollId"].as_str().unwrap())
}

fn ask(event_id: &str, options: &[u32]) -> Value {
    let choices: Vec<Value> = options.iter().map(|option| json!({ "option": option })).collect();
    json!({ "eventId": event_id, "choices": choices })
}

/// Votes with an event id of its own.
async fn vote(viewer: &Visitor, poll: &str, options: &[u32]) -> Value {
    viewer.post(&format!("{poll}/votes"), ask(&event_id(), options)).await.ok()
}

/// The points of a standing's options.
fn points(standing: &Value) -> Vec<i64> {
    standing["sums"].as_array().unwrap().iter().map(|sum| sum["points"].as_i64().unwrap()).collect()
}

/// Recounts a closed poll to the end, and gives what the ballots say once that is what the result says.
async fn recounted(room: &Room<'_>, poll: &str) -> Value {
    let (operator, path, begun) = (room.operator(), format!("{poll}/recount"), Instant::now());
    let mut answer = operator.post(&path, Value::Null).await.ok();
    while answer["isDone"] == false {
        assert_eq!(answer["isEqual"], Value::Null, "{answer}");
        assert!(begun.elapsed() < PATIENCE, "{answer}");
        tokio::time::sleep(Duration::from_millis(10)).await;
        answer = operator.get(&path).await.ok();
    }
    assert_eq!(answer["isEqual"], true, "{answer}");
    answer["recount"].clone()
}
