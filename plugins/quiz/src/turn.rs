//! What the room is shown, and when: each question as it opens, its answer as it closes. Only pushes depend on these timers.

use std::time::Duration;

use greenroom_sdk::{Now, Problem, Room, Timer, answer, room::Priority};

use crate::answer::{end, tally};
use crate::quiz::{self, Quiz, Status};
use crate::rules::Question;
use crate::{Alarm, Settings};

/// How long after the last question the end is drawn up, in milliseconds.
const LAST_MS: u64 = 1_000;

/// A question without its answer.
#[answer]
pub(crate) struct Shown {
    pub(crate) quiz_id: String,
    /// Its index, from 0.
    pub(crate) question: u32,
    pub(crate) text: String,
    pub(crate) options: Vec<String>,
    pub(crate) closes_at_ms: u64,
}

/// The answer to a question that is closed, and how often each option was chosen.
#[answer]
pub(crate) struct Answered {
    pub(crate) quiz_id: String,
    pub(crate) question: u32,
    pub(crate) answer: u32,
    pub(crate) chosen: Vec<i64>,
}

/// Turn 0 shows question 0, turn 1 its answer, turn 2 question 1, and so on; each sets the next one. May be repeated.
pub(crate) fn turn(room: &Room<Settings>, quiz_id: &str, turn: u32) -> Result<(), Problem> {
    let Some(quiz) = quiz::find(room, quiz_id)?.filter(|quiz| quiz.status == Status::Running) else { return Ok(()) };
    let Now(now_ms) = Now::of_this_call();
    let Some(at_ms) = at_ms(&quiz, turn) else {
        let due_ms = self::at_ms(&quiz, turn.saturating_sub(1)).unwrap_or(now_ms).saturating_add(LAST_MS);
        let finish = Alarm::Finish { quiz_id: quiz_id.into() };
        return finish.ensure(Duration::from_millis(due_ms.saturating_sub(now_ms)));
    };
    if now_ms < at_ms {
        return set(quiz_id, turn, at_ms - now_ms);
    }
    let question = turn / 2;
    let key = format!("{quiz_id}/turn/{turn}");
    if let Some(asked) = quiz.definition.questions.get(question as usize) {
        if turn.is_multiple_of(2) {
            room.broadcast(&key, "quiz.question", &shown(&quiz, question, asked), Priority::High)?;
        } else {
            end(room.room_id, &quiz, question)?;
            room.broadcast(&key, "quiz.answer", &answered(&quiz, question, asked)?, Priority::High)?;
        }
    }
    let next_ms = self::at_ms(&quiz, turn + 1).map_or(0, |at_ms| at_ms.saturating_sub(now_ms));
    set(quiz_id, turn + 1, next_ms)
}

fn set(quiz_id: &str, turn: u32, after_ms: u64) -> Result<(), Problem> {
    Alarm::Turn { quiz_id: quiz_id.into(), turn }.set(Duration::from_millis(after_ms))
}

/// When a turn is due; none after the last one.
fn at_ms(quiz: &Quiz, turn: u32) -> Option<u64> {
    let (opens, closes) = quiz.definition.times(turn / 2, quiz.pause_s)?;
    Some(quiz.started_at_ms?.saturating_add(if turn.is_multiple_of(2) { opens } else { closes }))
}

pub(crate) fn shown(quiz: &Quiz, question: u32, asked: &Question) -> Shown {
    Shown {
        quiz_id: quiz.quiz_id.clone(),
        question,
        text: asked.text.clone(),
        options: asked.options.clone(),
        closes_at_ms: at_ms(quiz, question * 2 + 1).unwrap_or_default(),
    }
}

pub(crate) fn answered(quiz: &Quiz, question: u32, asked: &Question) -> Result<Answered, Problem> {
    let keys: Vec<String> = (0..).take(asked.options.len()).map(|option| tally(question, option)).collect();
    Ok(Answered { quiz_id: quiz.quiz_id.clone(), question, answer: asked.answer, chosen: quiz.shards().sums(&keys)? })
}
