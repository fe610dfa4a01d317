//! Answering a question.

use greenroom_sdk::{
    Body, Caller, EventId, Now, Once, Path, Problem, Room, Step, Stopped, cache, request, route, stored,
};

use crate::player::{self, PLAYERS};
use crate::quiz::{self, KEPT, Quiz, Status};
use crate::rules::Phase;
use crate::{No, Settings};

/// The checks of the step, in their order.
const CLOSED: u32 = 0;
const ENDED: u32 = 1;

#[request]
pub(crate) struct Ask {
    event_id: EventId,
    /// The index of the question, from 0.
    question: u32,
    /// The index of the option, from 0.
    option: u32,
}

/// That an answer was taken; not whether it is right.
#[stored]
pub(crate) struct Taken {
    question: u32,
    option: u32,
}

/// Answers the question that is open. An answer is final; whether it is right is told to nobody before the question is closed.
#[route(POST "quizzes/{quizId}/answers")]
pub(crate) fn answer(
    caller: Caller,
    Now(now_ms): Now,
    room: Room<Settings>,
    Path(quiz_id): Path<String>,
    Body(ask): Body<Ask>,
) -> Result<Once<Taken>, Problem> {
    let quiz = quiz::get(&room, &quiz_id)?;
    let content = ("answer", &quiz_id, ask.question, ask.option);
    let step = quiz.shards().step(caller.user_id).lasting(KEPT);
    if let Some(known) = step.answered(caller, &ask.event_id, &content)? {
        return Ok(known);
    }
    let step = checked(step, &quiz, caller.user_id, now_ms, &ask)?;
    let taken = Taken { question: ask.question, option: ask.option };
    match step.once(caller, &ask.event_id, &content, taken)? {
        Ok(once) => Ok(once),
        Err(Stopped::Check(CLOSED)) => Err(No::Over { quiz_id, status: quiz.word().into() }.into()),
        Err(Stopped::Check(ENDED)) => {
            Err(No::NotOpen { question: ask.question, open: "its time is over".into() }.into())
        }
        Err(_) => Err(Problem::overloaded("the same player did something else at the same time; repeat it")),
    }
}

/// The step that takes an answer, if the caller may give it now.
fn checked(step: Step, quiz: &Quiz, user_id: i64, now_ms: u64, ask: &Ask) -> Result<Step, Problem> {
    let (bytes, player) = player::find(quiz, user_id)?;
    let question = ask.question;
    match quiz.phase(now_ms) {
        Some(Phase::Open(open)) if open == question => {}
        Some(Phase::Open(open)) => {
            return Err(No::NotOpen { question, open: format!("question {open} is") }.into());
        }
        Some(Phase::Closed(_) | Phase::Over) => {
            return Err(No::NotOpen { question, open: "no other one is".into() }.into());
        }
        None => return Err(No::Over { quiz_id: quiz.quiz_id.clone(), status: quiz.word().into() }.into()),
    }
    let options = quiz.definition.questions.get(question as usize).map_or(0, |asked| asked.options.len());
    if ask.option as usize >= options {
        return Err(Problem::invalid(format!("body: `option` must be below {options}")));
    }
    if question > 0 && bytes.is_none() {
        return Err(No::NotPlaying {}.into());
    }
    if player.answer(question).is_some() {
        return Err(No::Answered { question }.into());
    }
    if let Some(question) = quiz.definition.out_at(&player, question) {
        return Err(No::Eliminated { question }.into());
    }
    let key = player::key(user_id);
    let is_new = bytes.is_none();
    let step = step.absent(ended(question)).expect(key.clone(), bytes).put(
        key,
        &player.answered(question, ask.option),
        None,
    )?;
    let step = step.add(tally(question, ask.option), 1, None);
    Ok(if is_new { step.write(listed(user_id)) } else { step })
}

/// Ends a question for good, before anybody is told whether an answer was right: another host, whose clock is behind, takes none any more. May be
/// repeated.
pub(crate) fn end(room_id: i64, quiz: &Quiz, question: u32) -> Result<(), Problem> {
    if quiz.ended > question {
        return Ok(());
    }
    quiz.shards().mark(&ended(question), KEPT)?;
    quiz::change(room_id, &quiz.quiz_id, &[Status::Running], |quiz| quiz.ended = quiz.ended.max(question + 1))?;
    Ok(())
}

/// The key whose presence ends a question, in each shard.
fn ended(question: u32) -> String {
    format!("ended/{question}")
}

/// The counter of an option, in each shard.
pub(crate) fn tally(question: u32, option: u32) -> String {
    format!("tally/{question}/{option}")
}

fn listed(user_id: i64) -> cache::Write {
    let ttl_ms = u32::try_from(KEPT.as_millis()).ok();
    cache::Write::RankAdd(cache::Score { key: PLAYERS.into(), member: user_id.to_string(), delta: 1, ttl_ms })
}
