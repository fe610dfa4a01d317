//! Likes that clients have gathered, of many viewers of one room.

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

const VIEWERS: usize = 10_000;
/// Likes of one request.
const COUNT: i64 = 5;

struct Likes {
    path: String,
    viewers: Arc<Viewers>,
    counted: AtomicI64,
}

#[derive(Deserialize)]
struct Liked {
    counted: i64,
    replayed: bool,
}

impl Likes {
    fn new(viewers: &Arc<Viewers>) -> Arc<Self> {
        Arc::new(Self { path: stage::path("likes"), viewers: viewers.clone(), counted: AtomicI64::new(0) })
    }
}

impl Script for Likes {
    fn write(&self, number: usize, request: &mut Vec<u8>) -> bool {
        let body = format!(r#"{{"eventId":"{}","count":{COUNT}}}"#, event_id());
        generator::post(request, &self.path, self.viewers.token(number), &body);
        true
    }

    fn answered(&self, _: usize, status: u16, body: &[u8]) {
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(body));
        let liked: Liked = serde_json::from_slice(body).unwrap();
        assert!((0..=COUNT).contains(&liked.counted) && !liked.replayed);
        self.counted.fetch_add(liked.counted, Ordering::Relaxed);
    }
}

pub async fn measure(duration: Duration) {
    let stage = Stage::open("likes", json!({})).await;
    let viewers = stage.viewers(VIEWERS);
    let bare = limit::rate(&Likes::new(&viewers), duration).await;
    let likes = Likes::new(&viewers);
    let ran = generator::run(&stage.authority, &likes, duration).await;
    let (streamer, counted) = (stage.streamer(), likes.counted.load(Ordering::Relaxed));
    let likes_path = stage::path("likes");
    stage::until(|| streamer.ok(Method::GET, &likes_path, Value::Null), |shown| shown["total"] == counted).await;
    eprintln!("{counted} likes in {} requests: the total that the room was told is exact", ran.answers);
    stage.close();
    Row {
        name: "likes, requests",
        figure: ran.rate(),
        unit: "/s",
        limit: Some(bare),
        ratio: Some(ran.rate() / bare),
        goal: Goal::None,
        contains: "durable requests of 5 likes each by 10,000 viewers of one room over HTTP, 64 connections, within the cap of 10 a second \
                   where the rate allows; then the total that the room is told is the sum of what was counted; limit: as for votes",
    }
    .print();
}
