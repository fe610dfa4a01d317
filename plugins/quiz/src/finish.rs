//! The end: who is left shares the pot; if nobody is, or the quiz is cancelled, everything is given back.
//!
//! Payments are written down in pages before the first one is made, and each has an event id of its own, so however often this runs, each is
//! paid once.

use std::collections::BTreeMap;
use std::time::Duration;

use greenroom_sdk::{Amount, Now, Problem, Room, Step, Timer, answer, cache, read_json, room::Priority};

use crate::money;
use crate::player::{self, Player};
use crate::quiz::{self, KEPT, Outcome, Quiz, Status, change};
use crate::rules::{Phase, shares};
use crate::{Alarm, Settings};

/// Receivers of one payment: what a posting has room for beside the pot.
const RECEIVERS: usize = 60;
/// Payments in one call; the next ones are another timer's.
const PAYMENTS: u32 = 20;
/// Pages of payments that are written in one step.
const PAGES: usize = 500;
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

/// Ends a quiz whose questions are over, or draws up what is given back of a cancelled one. May be repeated.
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
    let (payments, pot) = payments(&quiz, &players, &winners)?;
    write_down(&quiz, &payments)?;
    let result = Outcome { players: players.len() as u64, winners: winners.len() as u64, pot };
    let changed = change(room.room_id, quiz_id, &[Status::Finished, Status::Cancelled], |quiz| {
        quiz.result.get_or_insert(result);
    })?;
    let quiz = changed.unwrap_or(quiz);
    quiz::record(room.room_id, &quiz, now_ms)?;
    Alarm::Pay { quiz_id: quiz_id.into(), from: 0 }.ensure_in(room.room_id, Duration::ZERO)?;
    if quiz.status == Status::Finished { tell(room, &quiz, result, &winners, &payments) } else { Ok(()) }
}

/// The quiz, once it is decided whether it is finished or cancelled: what follows is the same whoever does it, and however often. None while it
/// goes on.
fn ended(room: &Room<Settings>, quiz_id: &str, now_ms: u64) -> Result<Option<Quiz>, Problem> {
    let found = quiz::find(room, quiz_id)?;
    if found.as_ref().is_some_and(|quiz| quiz.phase(now_ms) == Some(Phase::Over)) {
        change(room.room_id, quiz_id, &[Status::Running], |quiz| quiz.status = Status::Finished)?;
    }
    let found = quiz::find(room, quiz_id)?;
    Ok(found.filter(|quiz| matches!(quiz.status, Status::Finished | Status::Cancelled)))
}

/// Who gets how much, and how much that is together: what was put in and all revivals.
fn payments(
    quiz: &Quiz,
    players: &[(i64, Player)],
    winners: &[i64],
) -> Result<(BTreeMap<i64, Amount>, Amount), Problem> {
    let funded = quiz.definition.pot.filter(|_| quiz.is_funded).unwrap_or(Amount::ZERO);
    let mut back = BTreeMap::from([(quiz.maker, funded)]);
    let mut pot = funded;
    for (user_id, player) in players {
        let paid = quiz.definition.paid(player)?;
        pot = pot.plus(paid)?;
        let sum = back.entry(*user_id).or_insert(Amount::ZERO);
        *sum = sum.plus(paid)?;
    }
    let mut payments = if winners.is_empty() { back } else { shares(&quiz.quiz_id, pot, winners)? };
    payments.retain(|_, amount| *amount != Amount::ZERO);
    Ok((payments, pot))
}

/// Pages of payments in the quiz's first shard; who comes second finds them written.
fn write_down(quiz: &Quiz, payments: &BTreeMap<i64, Amount>) -> Result<(), Problem> {
    let payments: Vec<(i64, i64)> = payments.iter().map(|(user_id, amount)| (*user_id, amount.get())).collect();
    let pages: Vec<(usize, &[(i64, i64)])> = payments.chunks(RECEIVERS).enumerate().collect();
    for pages in pages.chunks(PAGES) {
        let mut step = Step::in_shard(shard(quiz)).lasting(KEPT);
        for (number, page) in pages {
            step = step.absent(key(*number)).put(key(*number), page, None)?;
        }
        // Stopped at a page that is there: all of these are.
        let _ = step.commit()?;
    }
    Ok(())
}

/// Pays from the given page on. May be repeated.
pub(crate) fn pay(room: &Room<Settings>, quiz_id: &str, from: u32) -> Result<(), Problem> {
    let Some(quiz) = quiz::find(room, quiz_id)? else { return Ok(()) };
    for number in from..from.saturating_add(PAYMENTS) {
        let Some(page) = cache::get(&shard(&quiz), &key(number as usize))? else {
            change(room.room_id, quiz_id, &[Status::Finished, Status::Cancelled], |quiz| quiz.is_paid = true)?;
            return Ok(());
        };
        let to: Vec<(i64, i64)> = read_json(&page).map_err(|e| Problem::failed(format!("payments: {e}")))?;
        money::pay(quiz.asset_type, quiz_id, format!("{quiz_id}:pay:{number}"), to)?;
    }
    let next = Alarm::Pay { quiz_id: quiz_id.into(), from: from.saturating_add(PAYMENTS) };
    next.set_in(room.room_id, Duration::ZERO)
}

fn shard(quiz: &Quiz) -> String {
    format!("payments/{}", quiz.quiz_id)
}

fn key(number: usize) -> String {
    format!("page/{number}")
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
