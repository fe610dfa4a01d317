//! The chat plugin: what viewers say in a room, within limits, and what its moderators do about it.
//!
//! The way of a message, in `say`:
//! 1. What is known of the writer is read from the writer's own shard: a mute or ban (`restriction`), and when they wrote last (`pace`).
//! 2. The text is tidied (`text`) and goes through the word filter (`words`).
//! 3. The room's shard gives the number (`history`).
//! 4. One step in the writer's shard takes the turn and remembers the answer, unless a moderator or another request was faster.
//! 5. The message goes into the history, if the room is not full in this second, to the topic `chat.said`, and as a push to the room. A mark
//!    in the writer's shard says that this is done, so that a repetition does it only if the first time did not come so far.
//!
//! A writer touches three shards, however many others are in the room: their own, the room's, and that of their key of the topic.
//! `pace`, `words`, `text` and the rules in `restriction` are pure.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

mod history;
mod moderation;
mod pace;
mod refusal;
mod restriction;
mod say;
mod settings;
mod text;
mod words;

use greenroom_sdk::{Caller, Id, Problem, Role, Room, Shards};

use crate::settings::Settings;

/// What other plugins may read along.
const TOPIC: &str = "chat.said";
/// How often a step is tried again because another request changed what it was made from.
const TRIES: u32 = 5;

/// Where what is known of each user is kept.
fn users(room_id: i64) -> Shards {
    Shards::of_thing(format!("chat/{room_id}"))
}

/// The caller's id.
fn id(caller: Caller) -> Result<Id, Problem> {
    Id::new(caller.user_id).ok_or_else(|| Problem::failed(format!("the caller is user {}", caller.user_id)))
}

/// Whether the caller runs the room.
fn is_moderator(caller: Caller, room: &Room<Settings>) -> bool {
    match caller.role {
        Role::Operator => true,
        Role::Streamer => room.streamers.contains(&caller.user_id),
        Role::Viewer | Role::Service => false,
    }
}

greenroom_sdk::plugin! {
    config: Settings,
    routes: [
        say::say,
        history::list,
        moderation::remove,
        moderation::mute,
        moderation::unmute,
        moderation::ban,
        moderation::unban,
        moderation::list,
    ],
    refusals: [refusal::No],
    timers: moderation::Alarm => moderation::restore,
    lifecycle: moderation::on,
}
