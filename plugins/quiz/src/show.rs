//! What everybody may know of a quiz at a moment, and what a player may know of themselves.

use greenroom_sdk::{Amount, Caller, Now, Path, Problem, Room, answer, route};

use crate::player;
use crate::quiz::{self, Outcome, Quiz, Status};
use crate::rules::{Phase, Revival};
use crate::turn::{Answered, Shown, answered, shown};
use crate::{No, Settings};

#[answer]
pub(crate) struct View {
    quiz_id: String,
    title: String,
    status: Status,
    pot: Amount,
    /// How many questions there are.
    questions: u32,
    revival: Option<Revival>,
    started_at_ms: Option<u64>,
    /// The question that is open, without its answer.
    open: Option<Shown>,
    /// The answer to the last question that was closed.
    last: Option<Answered>,
    result: Option<Outcome>,
    is_paid: bool,
}

#[answer]
pub(crate) struct Me {
    quiz_id: String,
    /// What the caller has answered, by question.
    answers: Vec<Option<u32>>,
    /// The question at which the caller is out, by its index from 0; of closed questions alone.
    out_at: Option<u32>,
    /// The questions at which the caller was revived.
    revived: Vec<u32>,
}

impl View {
    pub(crate) fn of(quiz: &Quiz, now_ms: u64) -> Result<Self, Problem> {
        let phase = quiz.phase(now_ms);
        let asked = |index: u32| quiz.definition.questions.get(index as usize);
        let open = match phase {
            Some(Phase::Open(index)) => asked(index).map(|question| shown(quiz, index, question)),
            _ => None,
        };
        let last = closed(quiz, now_ms).and_then(|count| count.checked_sub(1));
        let last = last.and_then(|index| asked(index).map(|question| answered(quiz, index, question)));
        Ok(Self {
            quiz_id: quiz.quiz_id.clone(),
            title: quiz.definition.title.clone(),
            status: quiz.status,
            pot: quiz.definition.pot.unwrap_or(Amount::ZERO),
            questions: u32::try_from(quiz.definition.questions.len()).unwrap_or(u32::MAX),
            revival: quiz.definition.revival,
            started_at_ms: quiz.started_at_ms,
            open,
            last: last.transpose()?,
            result: quiz.result,
            is_paid: quiz.is_paid,
        })
    }
}

/// How many questions are closed on every host; none before the start, and of a quiz that was cancelled.
fn closed(quiz: &Quiz, now_ms: u64) -> Option<u32> {
    let all = u32::try_from(quiz.definition.questions.len()).ok();
    match quiz.phase(now_ms) {
        Some(_) => Some(quiz.ended),
        None => all.filter(|_| quiz.status == Status::Finished),
    }
}

/// A quiz: the question that is open, the answer to the last one, the result.
#[route(GET "quizzes/{quizId}")]
pub(crate) fn show(Now(now_ms): Now, room: Room<Settings>, Path(quiz_id): Path<String>) -> Result<View, Problem> {
    View::of(&quiz::get(&room, &quiz_id)?, now_ms)
}

/// What the caller has answered, and whether they are out.
#[route(GET "quizzes/{quizId}/me")]
pub(crate) fn me(
    caller: Caller,
    Now(now_ms): Now,
    room: Room<Settings>,
    Path(quiz_id): Path<String>,
) -> Result<Me, Problem> {
    let quiz = quiz::get(&room, &quiz_id)?;
    let (bytes, player) = player::find(&quiz, caller.user_id)?;
    bytes.ok_or(No::NotPlaying {})?;
    let out_at = quiz.definition.out_at(&player, closed(&quiz, now_ms).unwrap_or(0));
    Ok(Me { quiz_id, answers: player.answers, out_at, revived: player.revived })
}
