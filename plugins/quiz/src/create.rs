//! The beginning of a quiz, and its end before its time. The answers stay in the cache: no event carries them.

use std::time::Duration;

use greenroom_sdk::fair::Digest;
use greenroom_sdk::{
    Amount, Body, Caller, Now, Once, Path, Problem, Room, Timer, ledger, room::Priority, route, stored,
};

use crate::money::Money;
use crate::quiz::{self, KEPT, Quiz, Status, change};
use crate::rules::Definition;
use crate::show::View;
use crate::{Alarm, No, Settings, TOPIC, finish};

#[stored]
pub(crate) struct Made {
    quiz_id: String,
    /// What was held for the pot.
    held: Amount,
}

/// Makes a quiz and holds its pot. It can be started once the coins are in the pot, a moment later. Repeating the event id repeats the answer.
#[route(POST "quizzes", roles(streamer, operator))]
pub(crate) fn create(
    caller: Caller,
    room: Room<Settings>,
    Body(definition): Body<Definition>,
) -> Result<Once<Made>, Problem> {
    definition.check()?;
    let (room_id, held) = (room.room_id, definition.pot.unwrap_or(Amount::ZERO));
    let names = [room_id.to_string(), caller.user_id.to_string(), definition.event_id.to_string()];
    let quiz_id: String = Digest::of(names).to_string().chars().take(20).collect();
    let quiz = Quiz {
        quiz_id: quiz_id.clone(),
        maker: caller.user_id,
        definition: definition.clone(),
        asset_type: room.config.asset_type,
        pause_s: room.config.pause_s,
        status: if held == Amount::ZERO { Status::Ready } else { Status::Funding },
        is_funded: held == Amount::ZERO,
        started_at_ms: None,
        result: None,
        is_paid: false,
    };
    let content = ("create", &definition);
    let made = quiz::made(room_id, &quiz)?.once(
        caller,
        &definition.event_id,
        &content,
        Made { quiz_id: quiz_id.clone(), held },
    )?;
    let made = made.map_err(|stopped| Problem::failed(format!("the quiz could not be made: {stopped:?}")))?;
    if held != Amount::ZERO {
        // Also for a repetition: the first time may have had too few coins, or ended before this.
        hold_pot(caller, &room, &quiz_id, &definition, held)?;
    }
    Ok(made)
}

fn hold_pot(
    caller: Caller,
    room: &Room<Settings>,
    quiz_id: &str,
    definition: &Definition,
    held: Amount,
) -> Result<(), Problem> {
    ledger::hold(&ledger::HoldRequest {
        event_id: definition.event_id.to_string(),
        payer: ledger::Account { user_id: caller.user_id, asset_type: quiz::get(room, quiz_id)?.asset_type },
        amount: held.get(),
        content: format!("quiz|{}|{quiz_id}", room.room_id).into_bytes(),
        topic: TOPIC.into(),
        payload: Money::Pot { quiz_id: quiz_id.into() }.payload()?,
        counters: Vec::new(),
    })?;
    Ok(())
}

/// Starts a quiz: the first question opens now. May be repeated.
#[route(POST "quizzes/{quizId}/start", roles(streamer, operator), live)]
pub(crate) fn start(Now(now_ms): Now, room: Room<Settings>, Path(quiz_id): Path<String>) -> Result<View, Problem> {
    // Should this call end half-way, the timers still come; before the start they do nothing.
    Alarm::Turn { quiz_id: quiz_id.clone(), turn: 0 }.ensure(Duration::from_secs(1))?;
    let changed = change(room.room_id, &quiz_id, &[Status::Ready], |quiz| {
        quiz.status = Status::Running;
        quiz.started_at_ms = Some(now_ms);
    })?;
    let quiz = match changed {
        Some(quiz) => quiz,
        None => quiz::get(&room, &quiz_id)?,
    };
    if quiz.status != Status::Running {
        return Err(No::Over { quiz_id, status: quiz.word().into() }.into());
    }
    Alarm::Turn { quiz_id: quiz_id.clone(), turn: 0 }.ensure(Duration::ZERO)?;
    View::of(&quiz, now_ms)
}

/// Cancels a quiz that is not finished: the pot and all revivals are given back. May be repeated.
#[route(POST "quizzes/{quizId}/cancel", roles(streamer, operator))]
pub(crate) fn cancel(Now(now_ms): Now, room: Room<Settings>, Path(quiz_id): Path<String>) -> Result<View, Problem> {
    // Should this call end half-way, the timer goes on.
    Alarm::Finish { quiz_id: quiz_id.clone() }.ensure(Duration::from_secs(2))?;
    let from = [Status::Funding, Status::Ready, Status::Running];
    let changed = change(room.room_id, &quiz_id, &from, |quiz| quiz.status = Status::Cancelled)?;
    let quiz = match changed {
        Some(quiz) => quiz,
        None => quiz::get(&room, &quiz_id)?,
    };
    if quiz.status != Status::Cancelled {
        return Err(No::Over { quiz_id, status: quiz.word().into() }.into());
    }
    quiz.shards().close(KEPT)?;
    finish::finish(&room, &quiz_id)?;
    let view = View::of(&quiz, now_ms)?;
    room.broadcast(&format!("{quiz_id}/cancelled"), "quiz.cancelled", &view, Priority::High)?;
    Ok(view)
}
