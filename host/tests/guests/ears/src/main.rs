//! A plugin for tests: it consumes the chat's topic, and pushes each message that it gets, again if it gets it again.

use greenroom_sdk::{Message, Problem, Room, Verdict, answer, config, read_json, room::Priority, serde_json};

#[config]
struct Settings {}

#[answer]
struct Heard<'a> {
    event_id: &'a str,
    said: serde_json::Value,
}

fn hear(batch: Vec<Message>) -> Vec<Verdict> {
    let verdict = |message: &Message| match heard(message) {
        Ok(()) => Verdict::Ack,
        Err(problem) => Verdict::Reject(problem.detail),
    };
    batch.iter().map(verdict).collect()
}

fn heard(message: &Message) -> Result<(), Problem> {
    let room = Room::<Settings>::find(message.room_id)?;
    let room = room.ok_or_else(|| Problem::invalid(format!("not enabled in room {}", message.room_id)))?;
    let said = read_json(&message.payload).map_err(Problem::invalid)?;
    // Each delivery of the queue has a place of its own, whatever the event id.
    let key = format!("{}/{}", message.partition, message.offset);
    room.broadcast(&key, "ears.heard", &Heard { event_id: &message.event_id, said }, Priority::Normal)
}

greenroom_sdk::plugin! { config: Settings, consumer: hear }
