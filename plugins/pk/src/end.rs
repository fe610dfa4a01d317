//! The end of a battle, or its overtime.

use std::time::Duration;

use greenroom_sdk::{Now, Problem, Room, Timer, room::Priority};

use crate::battle::{self, Battle, KEPT, LEAD, Status, change};
use crate::rules::{Side, Verdict, verdict};
use crate::{Alarm, Settings};

/// Ends a battle whose time is over, or gives it more because of a tie. May be repeated.
pub(crate) fn end(battle_id: &str) -> Result<(), Problem> {
    let Some(found) = battle::find(battle_id)? else { return Ok(()) };
    let Now(now_ms) = Now::of_this_call();
    let Some(ends_at_ms) = found.ends_at_ms.filter(|_| found.status != Status::Invited) else { return Ok(()) };
    let over_at_ms = ends_at_ms.saturating_add(u64::from(found.drain_s) * 1_000);
    if found.status == Status::Live && now_ms < over_at_ms {
        return set(&found, Duration::from_millis(over_at_ms - now_ms));
    }
    if found.status == Status::Live
        && let Verdict::Overtime(seconds) = verdict(found.scores()?, found.tie, found.overtimes)
    {
        return overtime(&found, seconds);
    }
    // From here on no gift counts, so the sums are final.
    found.shards().close(KEPT)?;
    let scores = found.scores()?;
    let winner = match verdict(scores, found.tie, found.overtimes) {
        Verdict::Won(side) => Some(side),
        // A gift of the last moment made it a tie after all. It is too late for overtime.
        Verdict::Draw | Verdict::Overtime(_) => None,
    };
    let changed = change(battle_id, |battle| ended(battle, scores, winner))?;
    let Some(battle) = changed else { return Ok(()) };
    battle::record(&battle)?;
    let view = battle.view(battle.scores()?);
    battle.broadcast(&format!("{battle_id}/ended"), "pk.ended", &view, Priority::High)
}

/// False if it had ended before.
fn ended(battle: &mut Battle, scores: [greenroom_sdk::Amount; 2], winner: Option<Side>) -> bool {
    if battle.status != Status::Live {
        return false;
    }
    let [challenger, challenged] = scores;
    battle.status = Status::Ended;
    battle.challenger.score = challenger;
    battle.challenged.score = challenged;
    battle.winner = winner;
    true
}

fn overtime(found: &Battle, seconds: u32) -> Result<(), Problem> {
    let battle_id = found.battle_id.as_str();
    set(found, LEAD + Duration::from_secs(u64::from(seconds) + u64::from(found.drain_s)))?;
    let changed = change(battle_id, |battle| battle.go_on(found.overtimes, seconds, Now::of_this_call().0))?;
    let Some(battle) = changed else { return Ok(()) };
    let view = battle.view(battle.scores()?);
    battle.broadcast(&format!("{battle_id}/overtime/{}", battle.overtimes), "pk.overtime", &view, Priority::High)
}

/// Sets the timer of the end, unless it comes sooner.
pub(crate) fn ensure(battle: &Battle, after: Duration) -> Result<(), Problem> {
    in_both(battle, |alarm, room_id| alarm.ensure_in(room_id, after))
}

fn set(battle: &Battle, after: Duration) -> Result<(), Problem> {
    in_both(battle, |alarm, room_id| alarm.set_in(room_id, after))
}

/// Either room may lose the plugin before the end; then the other's timer ends the battle.
fn in_both(battle: &Battle, set: impl Fn(&Alarm, i64) -> Result<(), Problem>) -> Result<(), Problem> {
    let alarm = Alarm::End { battle_id: battle.battle_id.clone() };
    for room_id in battle.rooms() {
        if Room::<Settings>::find(room_id)?.is_some() {
            set(&alarm, room_id)?;
        }
    }
    Ok(())
}
