//! Very many timers, each with a key of its own, that are counted when they fire.

use std::time::Duration;

use greenroom_sdk::{Body, Now, Problem, Room, Step, Timer, answer, cache, request, route};

use crate::{Alarm, Settings};

/// Times that a bell was rung, and the ranking of those that were.
const RUNG: &str = "rung";
const NUMBERS: &str = "numbers";

#[request]
pub(crate) struct Bells {
    first: u32,
    #[schemars(range(min = 1, max = 500))]
    count: u32,
    /// When all of them ring, in milliseconds since the Unix epoch.
    due_at_ms: u64,
}

#[answer]
pub(crate) struct Rung {
    /// How often any of them was rung.
    times: i64,
    /// How many different ones were.
    bells: i64,
}

/// Sets a timer for each number.
#[route(POST "steps/bells")]
pub(crate) fn hang(Now(now_ms): Now, _: Room<Settings>, Body(bells): Body<Bells>) -> Result<(), Problem> {
    let after = Duration::from_millis(bells.due_at_ms.saturating_sub(now_ms));
    (bells.first..bells.first.saturating_add(bells.count)).try_for_each(|number| Alarm::Bell { number }.set(after))
}

/// What has rung.
#[route(GET "steps/bells")]
pub(crate) fn rung(room: Room<Settings>) -> Result<Rung, Problem> {
    let shard = shard(room.room_id);
    let last = cache::top(&shard, NUMBERS, 0, 1)?;
    let bells = last.first().map_or(0, |last| last.score);
    Ok(Rung { times: cache::get_counter(&shard, RUNG)?, bells })
}

/// A timer has fired.
pub(crate) fn ring(room_id: i64, number: u32) -> Result<(), Problem> {
    let step = Step::in_shard(shard(room_id)).add(RUNG, 1, None).enter(NUMBERS, number.to_string(), None);
    // Without checks and bounds there is nothing that could stop it.
    let _ = step.commit()?;
    Ok(())
}

fn shard(room_id: i64) -> String {
    format!("bells/{room_id}")
}
