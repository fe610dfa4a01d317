//! The end: who is left shares the pot; if nobody is, or the quiz is cancelled, everything is given back.

use std::collections::BTreeMap;
use std::time::Duration;

use greenroom_sdk::record::{self, Stage};
use greenroom_sdk::{Amount, Now, Problem, Room, Timer, answer, room::Priority};

use crate::player::{self, Player};
use crate::quiz::{self, KEPT, Outcome, Quiz, START_WITHIN, Status, change};
use crate::rules::{Phase, shares};
use crate::{Alarm, Settings, payments};

/// A quiz is over so long after its start at the latest: 30 questions of 120 seconds, and pauses of 300.
const LATEST: Duration = Duration::from_secs(4 * 60 * 60);
/// Winners who are named in the push, and told of their share one by one: what a call may push. All are paid.
const TOLD_MAX: usize = 200;

#[answer]
struct Finished {
    quiz_id: String,
    players: u64,
    winners: u64,
    pot: Amount,
    /// The first 200 of them.
    first: Vec<String>,
}

#[answer]
struct Won<'a> {
    quiz_id: &'a str,
    coins: Amount,
}

/// Ends a quiz whose questions are over, or has everything given back of a cancelled one. May be repeated.
pub(crate) fn finish(room: &Room<Settings>, quiz_id: &str) -> Result<(), Problem> {
    let Now(now_ms) = Now::of_this_call();
    let Some(quiz) = ended(room, quiz_id, now_ms)?.filter(|quiz| !quiz.is_paid) else { return Ok(()) };
    // From here on nobody answers or is revived, so who is left stays so.
    quiz.shards().close(KEPT)?;
    let players = player::all(&quiz)?;
    let winners: Vec<i64> = match quiz.status {
        Status::Cancelled => Vec::new(),
        _ => players.iter().filter(|(_, player)| quiz.definition.has_won(player)).map(|(id, _)| *id).collect(),
    };
    let pot = filled(&quiz, &players)?;
    let shares = shares(&quiz.quiz_id, pot, &winners)?;
    payments::write_down(quiz_id, &shares)?;
    let result = Outcome { players: players.len() as u64, winners: winners.len() as u64, pot };
    let changed = change(room.room_id, quiz_id, &[Status::Finished, Status::Cancelled], |quiz| {
        quiz.result.get_or_insert(result);
    })?;
    let Some(quiz) = changed else { return quiz::find(room, quiz_id).map(drop) };
    record::save(quiz_id, Stage::Ended, &quiz)?;
    Alarm::Pay { quiz_id: quiz_id.into(), from: 0 }.ensure_in(room.room_id, Duration::ZERO)?;
    if quiz.status == Status::Finished { tell(room, &quiz, result, &winners, &shares) } else { Ok(()) }
}

/// The quiz, once it is decided whether it is finished or cancelled: what follows is the same whoever does it, and however often. None while it
/// goes on.
fn ended(room: &Room<Settings>, quiz_id: &str, now_ms: u64) -> Result<Option<Quiz>, Problem> {
    let Some(found) = quiz::find(room, quiz_id)? else { return Ok(None) };
    let finish = Alarm::Finish { quiz_id: quiz_id.into() };
    match found.status {
        Status::Finished | Status::Cancelled => return Ok(Some(found)),
        Status::Running if found.phase(now_ms) == Some(Phase::Over) => {
            change(room.room_id, quiz_id, &[Status::Running], |quiz| quiz.status = Status::Finished)?;
        }
        // The turns set it anew; should they be lost, this one comes.
        Status::Running => finish.ensure_in(room.room_id, LATEST)?,
        Status::Funding | Status::Ready => {
            let until_ms = found.made_at_ms.saturating_add(millis(START_WITHIN));
            if now_ms < until_ms {
                finish.ensure_in(room.room_id, Duration::from_millis(until_ms - now_ms))?;
            } else {
                let is_late = [Status::Funding, Status::Ready];
                change(room.room_id, quiz_id, &is_late, |quiz| quiz.status = Status::Cancelled)?;
            }
        }
    }
    let found = quiz::find(room, quiz_id)?;
    Ok(found.filter(|quiz| matches!(quiz.status, Status::Finished | Status::Cancelled)))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// What is in the pot: what was put in, and all revivals.
fn filled(quiz: &Quiz, players: &[(i64, Player)]) -> Result<Amount, Problem> {
    let mut pot = quiz.definition.pot.filter(|_| quiz.is_funded).unwrap_or(Amount::ZERO);
    for (_, player) in players {
        pot = pot.plus(quiz.definition.paid(player)?)?;
    }
    Ok(pot)
}

/// Cancels a quiz that the cache has lost, and with it the answers: by the receipts everybody gets their coins back. May be repeated.
pub(crate) fn salvage(room: &Room<Settings>, mut quiz: Quiz) -> Result<Quiz, Problem> {
    quiz.status = Status::Cancelled;
    quiz.shards().close(KEPT)?;
    record::save(&quiz.quiz_id, Stage::Ended, &quiz)?;
    Alarm::Pay { quiz_id: quiz.quiz_id.clone(), from: 0 }.ensure_in(room.room_id, Duration::ZERO)?;
    Ok(quiz)
}

/// Pays from the given payment on, or gives back from the given receipt on. May be repeated.
pub(crate) fn pay(room: &Room<Settings>, quiz_id: &str, from: u32) -> Result<(), Problem> {
    let found = quiz::find(room, quiz_id)?.filter(|quiz| !quiz.is_paid);
    let Some(mut quiz) = found.filter(|quiz| matches!(quiz.status, Status::Finished | Status::Cancelled)) else {
        return Ok(());
    };
    let next = if quiz.is_given_back() {
        quiz.pot().give_all_back(from)?
    } else if quiz.result.is_some() {
        payments::pay(&quiz.pot(), from)?
    } else {
        // It is finished, and who has won is not written down yet: that sets this timer anew.
        return Ok(());
    };
    if let Some(from) = next {
        return Alarm::Pay { quiz_id: quiz_id.into(), from }.set_in(room.room_id, Duration::ZERO);
    }
    quiz.is_paid = true;
    change(room.room_id, quiz_id, &[Status::Finished, Status::Cancelled], |quiz| quiz.is_paid = true)?;
    record::save(quiz_id, Stage::Paid, &quiz)
}

fn tell(
    room: &Room<Settings>,
    quiz: &Quiz,
    result: Outcome,
    winners: &[i64],
    payments: &BTreeMap<i64, Amount>,
) -> Result<(), Problem> {
    let quiz_id = quiz.quiz_id.as_str();
    let first = winners.iter().take(TOLD_MAX);
    let Outcome { players, winners: count, pot } = result;
    let named = first.clone().map(ToString::to_string).collect();
    let finished = Finished { quiz_id: quiz_id.into(), players, winners: count, pot, first: named };
    room.broadcast(&format!("{quiz_id}/finished"), "quiz.finished", &finished, Priority::High)?;
    for user_id in first {
        let coins = payments.get(user_id).copied().unwrap_or(Amount::ZERO);
        room.send(*user_id, &format!("{quiz_id}/won/{user_id}"), "quiz.won", &Won { quiz_id, coins }, Priority::High)?;
    }
    Ok(())
}
