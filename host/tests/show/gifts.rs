//! Gifts all the time, some of them sent again.

use std::time::{Duration, Instant};

use futures::future::join_all;
use rand::RngExt;

use crate::books::Books;
use crate::cast::{Cast, some_time};
use crate::support::{event_id, gift, gifts};
use crate::visitor::Visitor;

const PRICE: i64 = 10;
const FOR: Duration = Duration::from_secs(18);

/// What each viewer has sent: coins.
pub struct Played(Vec<(i64, i64)>);

/// In one of the cast's rooms.
pub async fn play(cast: &Cast, room: i64) -> Played {
    Played(join_all(cast.viewers.iter().map(|viewer| send(cast, viewer, room))).await)
}

async fn send(cast: &Cast, viewer: &Visitor, room: i64) -> (i64, i64) {
    let (mut random, path, begun) = (cast.random(viewer.user_id + room, 1), gifts(room), Instant::now());
    let mut spent = 0;
    while begun.elapsed() < FOR {
        let count = random.random_range(1..4);
        let body = gift(&event_id(), count);
        let answer = viewer.post(&path, &body).await.ok();
        if random.random_bool(0.3) {
            assert_eq!(viewer.post(&path, &body).await.ok()["balance"], answer["balance"], "{body}");
        }
        spent += i64::from(count) * PRICE;
        some_time(&mut random, 1_000).await;
    }
    (viewer.user_id, spent)
}

pub fn check(played: &Played, books: &mut Books) {
    for (user_id, spent) in &played.0 {
        books.saw("coins of gifts", usize::try_from(*spent).unwrap());
        books.add(*user_id, -spent);
    }
}
