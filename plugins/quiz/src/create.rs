//! The beginning of a quiz, and its end before its time. The answers stay in the cache: no event carries them.

use std::time::Duration;

use greenroom_sdk::record::{self, Stage};
use greenroom_sdk::{
    Amount, Body, Caller, EventId, Now, Once, Path, Problem, Room, Step, Timer, ledger, room::Priority, route, stored,
};

use crate::money::Money;
use crate::quiz::{self, KEPT, Quiz, START_WITHIN, Status, change};
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
    Now(now_ms): Now,
    room: Room<Settings>,
    Body(definition): Body<Definition>,
) -> Result<Once<Made>, Problem> {
    definition.check()?;
    let (room_id, held) = (room.room_id, definition.pot.unwrap_or(Amount::ZERO));
    let (event_id, content) = (definition.event_id.clone(), ("create", definition.clone()));
    let quiz_id = event_id.thing_id(room_id, caller.user_id);
    let document = quiz::document(room_id, &quiz_id);
    let step = Step::in_shard(format!("room/{room_id}"));
    let made = if let Some(known) = step.answered(caller, &event_id, &content)? {
        known
    } else {
        let quiz = written_down(caller, Now(now_ms), &room, &quiz_id, definition)?;
        let made = Made { quiz_id: quiz_id.clone(), held };
        let made = document.create(&quiz)?.once(caller, &event_id, &content, made)?;
        made.map_err(|stopped| Problem::failed(format!("the quiz could not be made: {stopped:?}")))?
    };
    let quiz = quiz::get(&room, &quiz_id)?;
    record::save(&quiz_id, Stage::Begun, &quiz)?;
    // If nobody starts it.
    Alarm::Finish { quiz_id: quiz_id.clone() }.ensure(START_WITHIN)?;
    if held != Amount::ZERO {
        // Also for a repetition: the first time may have had too few coins, or ended before this.
        hold_pot(caller, &room, &quiz, &event_id, held)?;
    }
    Ok(made)
}

/// The quiz as it is in the table, now or from an earlier try, before anybody pays for anything.
fn written_down(
    caller: Caller,
    Now(now_ms): Now,
    room: &Room<Settings>,
    quiz_id: &str,
    definition: Definition,
) -> Result<Quiz, Problem> {
    let held = definition.pot.unwrap_or(Amount::ZERO);
    let asset_type = room.config.asset_type;
    // Before a pot is made: who cannot pay makes none.
    if held != Amount::ZERO {
        let spendable = ledger::get_balance(ledger::Account { user_id: caller.user_id, asset_type })?.spendable;
        if spendable < held.get() {
            let shortage = ledger::Shortage { balance: spendable, needed: held.get() };
            return Err(ledger::Error::InsufficientBalance(shortage).into());
        }
    }
    let moves_coins = held != Amount::ZERO || definition.revival.is_some();
    let quiz = Quiz {
        quiz_id: quiz_id.into(),
        maker: caller.user_id,
        pot: if moves_coins { ledger::pot(&format!("quiz/{quiz_id}"))? } else { 0 },
        made_at_ms: now_ms,
        definition,
        asset_type,
        pause_s: room.config.pause_s,
        status: if held == Amount::ZERO { Status::Ready } else { Status::Funding },
        is_funded: held == Amount::ZERO,
        started_at_ms: None,
        ended: 0,
        result: None,
        is_paid: false,
    };
    let written = record::put(quiz_id, room.room_id, &quiz)?;
    if written.definition != quiz.definition {
        return Err(ledger::Error::EventIdReused.into());
    }
    Ok(written)
}

fn hold_pot(
    caller: Caller,
    room: &Room<Settings>,
    quiz: &Quiz,
    event_id: &EventId,
    held: Amount,
) -> Result<(), Problem> {
    let quiz_id = quiz.quiz_id.as_str();
    ledger::hold(&ledger::HoldRequest {
        event_id: event_id.to_string(),
        payer: ledger::Account { user_id: caller.user_id, asset_type: quiz.asset_type },
        amount: held.get(),
        content: format!("quiz|{}|{quiz_id}", room.room_id).into_bytes(),
        topic: TOPIC.into(),
        payload: Money::Pot { quiz_id: quiz_id.into(), pot: quiz.pot }.payload()?,
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
