//! Coming back for coins: between the end of the question at which a player was out and the end of the next one.

use greenroom_sdk::{Amount, Body, Caller, EventId, Now, Path, Problem, Room, Stopped, answer, ledger, request, route};

use crate::answer::end;
use crate::money::Money;
use crate::player::{self, Player};
use crate::quiz::{self, KEPT, Quiz};
use crate::rules::{Phase, Revival};
use crate::{No, Settings, TOPIC};

/// How often noting a revival is tried again because the player answered at the same time.
const TRIES: usize = 5;
/// The bound of revivals is forgotten so long after the last one: longer than a quiz goes on.
const COUNTED_MS: u32 = 604_800_000;

#[request]
pub(crate) struct Ask {
    event_id: EventId,
}

#[answer]
pub(crate) struct Back {
    /// The question that does not count any more, by its index from 0.
    question: u32,
    paid: Amount,
    balance: Amount,
    /// True if this event id was answered before.
    replayed: bool,
}

/// What became of a revival that is paid.
pub(crate) enum Revived {
    Noted,
    /// The quiz is over.
    TooLate,
}

/// Revives the caller, who is out. Should it come too late after all, the coins are given back.
#[route(POST "quizzes/{quizId}/revivals")]
pub(crate) fn revive(
    caller: Caller,
    Now(now_ms): Now,
    room: Room<Settings>,
    Path(quiz_id): Path<String>,
    Body(ask): Body<Ask>,
) -> Result<Back, Problem> {
    let quiz = quiz::get(&room, &quiz_id)?;
    let no = |why: &str| Problem::from(No::Refused { why: why.into() });
    let revival = quiz.definition.revival.ok_or_else(|| no("this quiz has no revivals"))?;
    if let Some(Phase::Closed(closed)) = quiz.phase(now_ms) {
        // Who is told that they are out knows which answer was wrong.
        end(room.room_id, &quiz, closed)?;
    }
    let (_, player) = player::find(&quiz, caller.user_id)?;
    match may_revive(&quiz, &player, now_ms) {
        Ok(question) => {
            let outcome = hold(caller, &room, &quiz, revival, &ask.event_id, question)?;
            note(&quiz, caller.user_id, question)?;
            Ok(back(question, &outcome))
        }
        // A repetition, also one whose first time ended before the revival was noted.
        Err(refusal) => {
            let payer = ledger::Account { user_id: caller.user_id, asset_type: quiz.asset_type };
            for question in (0_u32..).take(quiz.definition.questions.len()) {
                if let Ok(Some(outcome)) = ledger::find(payer, &ask.event_id, &content(&quiz, &room, question)) {
                    return Ok(back(question, &outcome));
                }
            }
            Err(refusal)
        }
    }
}

/// The question at which the player is out, if that can still be bought back.
fn may_revive(quiz: &Quiz, player: &Player, now_ms: u64) -> Result<u32, Problem> {
    let no = |why: &str| Problem::from(No::Refused { why: why.into() });
    let closed = match quiz.phase(now_ms) {
        Some(Phase::Open(0)) | None => return Err(no("no question has been closed, or the quiz is over")),
        Some(Phase::Over) => return Err(no("the last question is closed")),
        Some(Phase::Open(open)) => open - 1,
        Some(Phase::Closed(closed)) => closed,
    };
    if player.answers.is_empty() {
        return Err(No::NotPlaying {}.into());
    }
    match quiz.definition.out_at(player, closed + 1) {
        None => Err(No::NotEliminated {}.into()),
        Some(question) if question == closed => Ok(question),
        Some(_) => Err(no("it was possible until the question after it was closed")),
    }
}

fn hold(
    caller: Caller,
    room: &Room<Settings>,
    quiz: &Quiz,
    revival: Revival,
    event_id: &EventId,
    question: u32,
) -> Result<ledger::HoldOutcome, Problem> {
    let quiz_id = quiz.quiz_id.clone();
    let counter = |key: String, max: u32| ledger::Counter { key, delta: 1, max: Some(max.into()), ttl_ms: COUNTED_MS };
    let hold = ledger::HoldRequest {
        event_id: event_id.to_string(),
        payer: ledger::Account { user_id: caller.user_id, asset_type: quiz.asset_type },
        amount: revival.price.get(),
        content: content(quiz, room, question),
        topic: TOPIC.into(),
        payload: Money::Revival { quiz_id: quiz_id.clone(), pot: quiz.pot, question }.payload()?,
        // In one step with the hold: nobody pays twice for one question, or more often than allowed.
        counters: vec![
            counter(format!("revivals/{quiz_id}"), revival.times),
            counter(format!("revivals/{quiz_id}/{question}"), 1),
        ],
    };
    ledger::hold(&hold).map_err(|error| match error {
        ledger::Error::LimitReached(0) => No::Refused { why: format!("{} revivals are all", revival.times) }.into(),
        ledger::Error::LimitReached(_) => No::NotEliminated {}.into(),
        other => other.into(),
    })
}

fn content(quiz: &Quiz, room: &Room<Settings>, question: u32) -> Vec<u8> {
    format!("revival|{}|{}|{question}", room.room_id, quiz.quiz_id).into_bytes()
}

fn back(question: u32, outcome: &ledger::HoldOutcome) -> Back {
    let (paid, balance) = (Amount::new(outcome.amount), Amount::new(outcome.balance));
    Back { question, paid, balance, replayed: outcome.replayed }
}

/// Notes that a player was revived at a question. May be repeated.
pub(crate) fn note(quiz: &Quiz, user_id: i64, question: u32) -> Result<Revived, Problem> {
    for _ in 0..TRIES {
        let (bytes, mut player) = player::find(quiz, user_id)?;
        if player.revived.contains(&question) {
            return Ok(Revived::Noted);
        }
        player.revived.push(question);
        let key = player::key(user_id);
        let step = quiz.shards().step(user_id).lasting(KEPT).expect(key.clone(), bytes).put(key, &player, None)?;
        match step.commit()? {
            Ok(_) => return Ok(Revived::Noted),
            Err(Stopped::Check(0)) => return Ok(Revived::TooLate),
            Err(_) => {}
        }
    }
    Err(Problem::overloaded("the same player did something else at the same time; repeat it"))
}
