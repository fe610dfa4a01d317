//! A gift as its sender knows it.

use serde_json::{Value, json};

/// A gift that costs 10 gold coins for each count.
const ROSE: &str = "2002";
const PRICE: i64 = 10;

/// What was sent, and what became of it.
#[derive(Debug, Clone)]
pub struct Gift {
    /// Who pays.
    pub payer: i64,
    /// The sender's choice; two payers may have the same.
    pub event_id: String,
    pub room: i64,
    pub streamer: i64,
    pub count: i64,
    /// The balance that it was answered with, and when, in milliseconds since the history began; none if it was refused, or given up.
    pub answer: Option<(Value, u64)>,
}

impl Gift {
    pub fn new(payer: i64, event_id: String, (room, streamer): (i64, i64), count: i64) -> Self {
        Self { payer, event_id, room, streamer, count, answer: None }
    }

    /// Nobody else's: an event is known by its payer and its id.
    pub fn id(&self) -> String {
        format!("{}/{}", self.payer, self.event_id)
    }

    pub fn path(&self) -> String {
        format!("/v1/rooms/{}/gifts", self.room)
    }

    pub fn body(&self) -> Value {
        json!({ "eventId": self.event_id, "giftId": ROSE, "count": self.count })
    }

    /// As it stands in the history.
    pub fn edn(&self) -> String {
        let Self { payer, streamer, count, .. } = self;
        format!("{{:id {:?}, :from {payer}, :to {streamer}, :amount {}}}", self.id(), count * PRICE)
    }
}
