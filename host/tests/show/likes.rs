//! Likes of everybody, each request sent several times; and of each viewer one that is too much.

use std::time::Instant;

use futures::future::join_all;
use rand::RngExt;
use serde_json::{Value, json};

use crate::books::Books;
use crate::cast::{Cast, answer, some_time, twice};
use crate::visitor::{Visitor, number, with_id};

/// Fewer than the plugin remembers of a viewer.
const REQUESTS: u64 = 6;
const COUNT_MAX: i64 = 10;
const FOR_MS: u64 = 12_000;
const PER_SECOND: u64 = 10;
const GATHER_S: u64 = 30;

pub fn plugin() -> Value {
    json!({ "name": "likes", "config": { "perSecond": PER_SECOND, "gatherMs": GATHER_S * 1_000 } })
}

/// How many likes count, as it was answered, of all viewers together.
pub struct Played {
    pub total: i64,
}

pub async fn play(cast: &Cast) -> Played {
    let counted = join_all(cast.viewers.iter().map(|viewer| tap(cast, viewer))).await;
    Played { total: counted.iter().sum() }
}

/// How many of a viewer's likes count.
async fn tap(cast: &Cast, viewer: &Visitor) -> i64 {
    let (mut random, path) = (cast.random(viewer.user_id, 8), cast.path("likes"));
    let (begun, mut counted) = (Instant::now(), 0);
    for _ in 0..REQUESTS {
        some_time(&mut random, FOR_MS / REQUESTS).await;
        let count = random.random_range(1..=COUNT_MAX);
        assert_eq!(like(viewer, &path, count).await, count, "{} keeps to the cap", viewer.user_id);
        counted += count;
    }
    counted += like(viewer, &path, 10_000).await;
    let cap = PER_SECOND * (GATHER_S + begun.elapsed().as_secs() + 1);
    let fewest = PER_SECOND * GATHER_S;
    assert!((fewest..=cap).contains(&counted.unsigned_abs()), "{counted} likes of {} count", viewer.user_id);
    counted
}

/// How many of so many likes count, however often they are sent.
async fn like(viewer: &Visitor, path: &str, count: i64) -> i64 {
    let ask = with_id(json!({ "count": count }));
    let liked = twice(viewer, path, &ask, &[]).await.unwrap();
    let again = viewer.post(path, &ask).await.ok();
    assert_eq!((answer(&liked), &again["replayed"]), (answer(&again), &json!(true)));
    number(&liked["counted"])
}

/// What counts is in the total once, now and for whoever asks for the stream later.
pub async fn check(cast: &Cast, played: &Played, books: &mut Books) {
    let shown = cast.operator.until(&cast.path("likes"), |shown| shown["total"] == played.total).await;
    let stream = cast.path(&format!("likes/streams/{}", shown["streamId"].as_str().unwrap()));
    assert_eq!(cast.operator.get(&stream).await.ok(), shown);
    books.saw("likes", usize::try_from(played.total).unwrap());
}
