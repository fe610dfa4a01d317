//! Who takes part in a show: a room, its streamer, viewers.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::GOLD;
use crate::visitor::Visitor;

/// Each show has so many users of its own.
pub const USERS: i64 = 100;
pub const VIEWERS: i64 = 8;
/// What viewers and streamers begin with.
pub const START: i64 = 10_000;

/// A room and who is in it.
pub struct Cast {
    pub room: i64,
    pub operator: Visitor,
    pub streamer: Visitor,
    pub viewers: Vec<Visitor>,
    seed: u64,
}

impl Cast {
    pub fn new(room: i64, operator: Visitor, streamer: Visitor, viewers: Vec<Visitor>, seed: u64) -> Self {
        Self { room, operator, streamer, viewers, seed }
    }

    /// Below the room.
    pub fn path(&self, path: &str) -> String {
        format!("/v1/rooms/{}/{path}", self.room)
    }

    /// What a user does is the same for the same seed, whatever others do.
    pub fn random(&self, user_id: i64, what: u64) -> StdRng {
        StdRng::seed_from_u64(self.seed ^ user_id.cast_unsigned().rotate_left(32) ^ what)
    }

    /// Opens the room, live, and gives everybody money.
    pub async fn prepare(&self, service: &Visitor) {
        let room = json!({ "roomId": self.room, "title": "Show", "streamers": [self.streamer.user_id] });
        self.operator.post("/v1/rooms", &room).await.ok();
        let plugins = json!({ "plugins": [
            { "name": "gift" }, { "name": "packet" },
            { "name": "lottery", "config": { "drainS": 1, "drawDelayS": 1 } },
            { "name": "voting", "config": { "countingMaxS": 10 } },
            { "name": "quiz", "config": { "pauseS": 3 } },
        ] });
        self.operator.post(&self.path("streams"), &plugins).await.ok();
        for user in self.viewers.iter().chain([&self.streamer]) {
            let order = format!("start-{}", user.user_id);
            let recharge = json!({
                "eventId": order, "userId": user.user_id, "assetType": GOLD, "amount": START,
                "eventType": "orderApple", "orderId": order, "transactionId": order,
            });
            service.post("/v1/recharges", &recharge).await.ok();
        }
    }

    /// Makes something that has coins in it, and gives the answer, which is the same when it is asked for again.
    pub async fn make(&self, maker: &Visitor, path: &str, body: &Value, id: &str) -> String {
        let made = maker.post(&self.path(path), body).await.ok();
        let again = maker.post(&self.path(path), body).await.ok();
        assert_eq!((&made[id], &again["replayed"]), (&again[id], &json!(true)), "{made} {again}");
        made[id].as_str().unwrap().to_owned()
    }
}

/// Somewhere in the next so many milliseconds.
pub async fn some_time(random: &mut StdRng, max_ms: u64) {
    tokio::time::sleep(Duration::from_millis(random.random_range(0..max_ms))).await;
}

/// A request that is sent by several at once, as by somebody who clicks twice: all have one answer, apart from which was the first.
pub async fn twice(visitor: &Visitor, path: &str, body: &Value, refusals: &[&str]) -> Option<Value> {
    let ask = || visitor.surely(Method::POST, path, body);
    let (one, other) = tokio::join!(ask(), ask());
    let (one, other) = (one.unless(refusals), other.unless(refusals));
    if let (Some(one), Some(other)) = (&one, &other) {
        assert_eq!(one["balance"], other["balance"], "{path} {body} was answered in two ways: {one} {other}");
    }
    one.or(other)
}
