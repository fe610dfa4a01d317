//! The quiz plugin: timed questions, sealed answers, elimination, and a pot for those who are left.
//!
//! The way of a quiz: `create` makes it and holds its pot; once it is started, the host's clock alone says which question is open
//! (`rules`, pure), so nothing waits for a timer but the pushes (`turn`). Players `answer`, and who is out may `revive` for coins. `finish`
//! finds who is left and shares the pot. `quiz` is what is kept of it, `player` what is kept of who plays.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

mod answer;
mod create;
mod finish;
mod money;
mod payments;
mod player;
mod quiz;
mod revive;
mod rules;
mod show;
mod turn;

use greenroom_sdk::{Problem, Refusal, Room, Timer, config, stored};

/// The topic of everything that moves coins: pots, revivals, payments.
const TOPIC: &str = "quiz.money";

/// What an operator may set in a room.
#[config]
struct Settings {
    /// The currency of pots and revivals; 1 is gold coins.
    #[default(1)]
    #[schemars(range(min = 1, max = 2_147_483_647))]
    asset_type: u32,
    /// The time between the end of a question and the next one, in seconds; who is out may be revived in it.
    #[default(10)]
    #[schemars(range(min = 3, max = 300))]
    pause_s: u32,
}

#[derive(Debug, Refusal)]
enum No {
    #[refusal(1, 404, "quiz-not-found", "there is no quiz {quiz_id} in this room")]
    NotFound { quiz_id: String },
    #[refusal(2, 409, "question-not-open", "question {question} is not open; {open}")]
    NotOpen { question: u32, open: String },
    #[refusal(3, 409, "already-answered", "question {question} is answered; an answer is final")]
    Answered { question: u32 },
    #[refusal(4, 409, "eliminated", "question {question} was answered wrongly or not at all; revive to go on")]
    Eliminated { question: u32 },
    #[refusal(5, 409, "not-playing", "who has not answered the first question does not play")]
    NotPlaying {},
    #[refusal(6, 409, "not-eliminated", "the caller is not out")]
    NotEliminated {},
    #[refusal(7, 409, "no-revival", "{why}")]
    Refused { why: String },
    #[refusal(8, 409, "quiz-over", "quiz {quiz_id} is {status}: this cannot be done now")]
    Over { quiz_id: String, status: String },
}

#[derive(Timer)]
#[stored]
enum Alarm {
    #[timer("turn/{quiz_id}")]
    Turn { quiz_id: String, turn: u32 },
    #[timer("finish/{quiz_id}")]
    Finish { quiz_id: String },
    #[timer("pay/{quiz_id}")]
    Pay { quiz_id: String, from: u32 },
}

fn ring(room: Room<Settings>, alarm: Alarm) -> Result<(), Problem> {
    match alarm {
        Alarm::Turn { quiz_id, turn } => turn::turn(&room, &quiz_id, turn),
        Alarm::Finish { quiz_id } => finish::finish(&room, &quiz_id),
        Alarm::Pay { quiz_id, from } => finish::pay(&room, &quiz_id, from),
    }
}

greenroom_sdk::plugin! {
    config: Settings,
    routes: [create::create, create::start, create::cancel, show::show, show::me, answer::answer, revive::revive],
    refusals: [No],
    timers: Alarm => ring,
    consumer: money::settle_batch,
}
