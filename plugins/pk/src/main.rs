//! The PK plugin: two rooms, a timed battle that the gifts in both decide.
//!
//! The way of a battle: a streamer challenges another room (`invite`), whose streamer accepts; it begins in both at once. Each gift in one of
//! them counts for it, once (`score`), and both rooms see the score as it moves. When its time is over (`end`), the sums no longer
//! change, and the rules say who has won (`rules`, pure). `battle` is what is kept of it.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

mod battle;
mod end;
mod invite;
mod rules;
mod score;

use greenroom_sdk::{Problem, Refusal, Room, Timer, config, stored};

use crate::rules::TieRule;

/// What an operator may set in a room; a battle goes by the configuration of the room that challenges.
#[config]
struct Settings {
    /// The currency whose gifts count; 1 is gold coins.
    #[default(1)]
    #[schemars(range(min = 1, max = 2_147_483_647))]
    asset_type: u32,
    /// How long the other room has to accept, in seconds.
    #[default(60)]
    #[schemars(range(min = 5, max = 600))]
    invitation_s: u32,
    /// How long after the end gifts that were sent before it are still counted, in seconds: they come through a queue.
    #[default(3)]
    #[schemars(range(max = 30))]
    drain_s: u32,
    /// How often the score is shown at most, in milliseconds.
    #[default(500)]
    #[schemars(range(min = 100, max = 10_000))]
    score_every_ms: u32,
    /// What happens when both rooms have the same score at the end.
    #[default(TieRule::Draw {})]
    tie: TieRule,
}

#[derive(Debug, Refusal)]
enum No {
    #[refusal(1, 404, "battle-not-found", "there is no battle {battle_id}")]
    NotFound { battle_id: String },
    #[refusal(2, 409, "room-busy", "room {room_id} is in another battle; wait for its end")]
    Busy { room_id: String },
    #[refusal(3, 404, "no-opponent", "room {room_id} has no stream with PK enabled")]
    NotThere { room_id: String },
    #[refusal(4, 409, "invitation-over", "battle {battle_id} is {status}: it cannot be accepted any more")]
    Over { battle_id: String, status: String },
    #[refusal(5, 403, "not-invited", "battle {battle_id} is for room {room_id} to accept")]
    NotInvited { battle_id: String, room_id: String },
}

#[derive(Timer)]
#[stored]
enum Alarm {
    #[timer("score/{battle_id}")]
    Score { battle_id: String },
    #[timer("end/{battle_id}")]
    End { battle_id: String },
}

fn ring(room: Room<Settings>, alarm: Alarm) -> Result<(), Problem> {
    match alarm {
        Alarm::Score { battle_id } => score::tell(&room, &battle_id),
        Alarm::End { battle_id } => end::end(&battle_id),
    }
}

greenroom_sdk::plugin! {
    config: Settings,
    routes: [invite::challenge, invite::accept, battle::show, battle::current],
    refusals: [No],
    timers: Alarm => ring,
    consumer: score::count,
}
