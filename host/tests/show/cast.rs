//! Who takes part in a show: a room, its streamer, viewers.

use std::time::Duration;

use greenroom_manifest::Role;
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

/// What answers say of a request as it was the first time.
const FIRST_TIME: [&str; 3] = ["balance", "number", "counted"];

/// A room and who is in it.
pub struct Cast {
    pub room: i64,
    pub operator: Visitor,
    pub streamer: Visitor,
    pub viewers: Vec<Visitor>,
    seed: u64,
}

impl Cast {
    /// The users of a room, whose visitors somebody else makes.
    pub fn of(room: i64, seed: u64, visitor: impl Fn(i64, Role) -> Visitor) -> Self {
        let first = (room + 1) * USERS;
        let viewers = (first + 1..=first + VIEWERS).map(|user_id| visitor(user_id, Role::Viewer)).collect();
        Self { room, operator: visitor(1, Role::Operator), streamer: visitor(first, Role::Streamer), viewers, seed }
    }

    /// Below the room.
    pub fn path(&self, path: &str) -> String {
        format!("/v1/rooms/{}/{path}", self.room)
    }

    /// What a user does is the same for the same seed, whatever others do.
    pub fn random(&self, user_id: i64, what: u64) -> StdRng {
        StdRng::seed_from_u64(self.seed ^ user_id.cast_unsigned().rotate_left(32) ^ what)
    }

    /// Opens a room of this streamer's, live.
    pub async fn open(&self, room_id: i64, plugins: &[Value]) {
        let room = json!({ "roomId": room_id, "title": "Show", "streamers": [self.streamer.user_id] });
        self.operator.post("/v1/rooms", &room).await.ok();
        self.operator.post(&format!("/v1/rooms/{room_id}/streams"), &json!({ "plugins": plugins })).await.ok();
    }

    /// Gives everybody money.
    pub async fn pay(&self, service: &Visitor) {
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

/// A request that is sent twice at once, as by somebody who clicks twice: both say the same of it.
pub async fn twice(visitor: &Visitor, path: &str, body: &Value, refusals: &[&str]) -> Option<Value> {
    let ask = || visitor.surely(Method::POST, path, body);
    let (one, other) = tokio::join!(ask(), ask());
    let (one, other) = (one.unless(refusals), other.unless(refusals));
    if let (Some(one), Some(other)) = (&one, &other) {
        for field in FIRST_TIME {
            assert_eq!(one[field], other[field], "{path} {body} was answered in two ways: {one} {other}");
        }
    }
    one.or(other)
}

/// What is the same in the answer to a repetition.
pub fn answer(answer: &Value) -> Value {
    let mut answer = answer.clone();
    answer["replayed"] = Value::Null;
    answer
}
