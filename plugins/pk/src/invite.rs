//! The beginning: a challenge, and its acceptance.

use std::time::Duration;

use greenroom_sdk::{
    Amount, Body, Caller, EventId, Id, Now, Once, Path, Problem, Room, request, room::Priority, route, stored,
};

use crate::battle::{self, Battle, Contestant, LEAD, Status, View, change, claim, document, keep};
use crate::{No, Settings, end};

#[request]
pub(crate) struct Challenge {
    event_id: EventId,
    /// The room that is challenged.
    opponent_room_id: Id,
    #[schemars(range(min = 10, max = 3_600))]
    duration_s: u32,
}

#[stored]
pub(crate) struct Challenged {
    battle_id: String,
    /// Until when the other room may accept, in milliseconds since the Unix epoch.
    accept_until_ms: u64,
}

/// Challenges another room. Its streamer accepts with `POST pks/{battleId}/accept` there.
#[route(POST "pks", roles(streamer, operator), live)]
pub(crate) fn challenge(
    caller: Caller,
    Now(now_ms): Now,
    room: Room<Settings>,
    Body(ask): Body<Challenge>,
) -> Result<Once<Challenged>, Problem> {
    let opponent_id = ask.opponent_room_id;
    let own_id = Id::new(room.room_id).ok_or_else(|| Problem::failed("a room's id is 1 or more"))?;
    if opponent_id == own_id {
        return Err(Problem::invalid("body: `opponentRoomId` is this room itself"));
    }
    let battle_id = ask.event_id.thing_id(room.room_id, caller.user_id);
    let accept_until_ms = now_ms.saturating_add(u64::from(room.config.invitation_s) * 1_000);
    let contestant = |room_id| Contestant { room_id, score: Amount::ZERO };
    let battle = Battle {
        battle_id: battle_id.clone(),
        challenger: contestant(own_id),
        challenged: contestant(opponent_id),
        status: Status::Invited,
        duration_s: ask.duration_s,
        accept_until_ms,
        started_at_ms: None,
        ends_at_ms: None,
        overtimes: 0,
        breaks: Vec::new(),
        winner: None,
        tie: room.config.tie,
        asset_type: room.config.asset_type,
        drain_s: room.config.drain_s,
        score_every_ms: room.config.score_every_ms,
    };
    let (step, content) = (document(&battle.battle_id).create(&battle)?, ("challenge", opponent_id, ask.duration_s));
    if let Some(known) = step.answered(caller, &ask.event_id, &content)? {
        return Ok(known);
    }
    let is_live = |room: &Room<Settings>| room.stream.is_some();
    if !Room::<Settings>::find(opponent_id.get())?.as_ref().is_some_and(is_live) {
        return Err(No::NotThere { room_id: opponent_id.to_string() }.into());
    }
    let made = step.once(caller, &ask.event_id, &content, Challenged { battle_id, accept_until_ms })?;
    let made = made.map_err(|stopped| Problem::failed(format!("the battle could not be made: {stopped:?}")))?;
    let view = battle.view([Amount::ZERO; 2]);
    battle.broadcast(&format!("{}/invited", battle.battle_id), "pk.invited", &view, Priority::High)?;
    Ok(made)
}

/// Accepts a challenge: the battle begins in both rooms, in a moment. May be repeated.
#[route(POST "pks/{battleId}/accept", roles(streamer, operator), live)]
pub(crate) fn accept(Now(now_ms): Now, room: Room<Settings>, Path(battle_id): Path<String>) -> Result<View, Problem> {
    let found = battle::find(&battle_id)?.ok_or_else(|| No::NotFound { battle_id: battle_id.clone() })?;
    if found.challenged.room_id.get() != room.room_id {
        return Err(No::NotInvited { battle_id, room_id: found.challenged.room_id.to_string() }.into());
    }
    if found.status == Status::Invited {
        may_begin(&found, now_ms)?;
    }
    // Should this call end half-way, the timer still comes.
    let until_end = Duration::from_secs(u64::from(found.duration_s) + u64::from(found.drain_s));
    end::ensure(&found, LEAD + until_end)?;
    // The call may have waited since it came.
    let changed = change(&battle_id, |battle| battle.begin(Now::of_this_call().0))?;
    let battle = changed.ok_or_else(|| No::NotFound { battle_id: battle_id.clone() })?;
    if battle.status == Status::Live {
        still_claimed(&battle)?;
    }
    let view = battle.view(battle.scores()?);
    battle.broadcast(&format!("{battle_id}/started"), "pk.started", &view, Priority::High)?;
    Ok(view)
}

/// Two battles that begin at the same moment may both have found a room free: the one whose claim was replaced is over. It is live before it
/// keeps its rooms, so none takes a room from it afterwards.
fn still_claimed(battle: &Battle) -> Result<(), Problem> {
    for room_id in battle.rooms() {
        if !keep(room_id, &battle.battle_id)? {
            change(&battle.battle_id, |battle| {
                let is_live = battle.status == Status::Live;
                battle.status = Status::Ended;
                is_live
            })?;
            return Err(No::Busy { room_id: room_id.to_string() }.into());
        }
    }
    Ok(())
}

/// Both rooms are free for it, and it is in time.
fn may_begin(battle: &Battle, now_ms: u64) -> Result<(), Problem> {
    if now_ms >= battle.accept_until_ms {
        return Err(No::Over { battle_id: battle.battle_id.clone(), status: "too old".into() }.into());
    }
    for room_id in battle.rooms() {
        // Should its timers be late, or both rooms without PK, the last battle ends now.
        if let Some(last) = battle::of_room(room_id)?.filter(|last| last.status == Status::Live) {
            end::end(&last.battle_id)?;
        }
        if !claim(room_id, &battle.battle_id)? {
            return Err(No::Busy { room_id: room_id.to_string() }.into());
        }
    }
    Ok(())
}
