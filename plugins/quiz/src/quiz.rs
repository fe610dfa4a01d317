//! What is kept of a quiz: in the cache while it goes on, and in the database once it has ended.

use std::time::Duration;

use greenroom_sdk::record::{self, Stage};
use greenroom_sdk::{Amount, Document, Pot, Problem, Room, Shards, Timer, ledger, stored};

use crate::finish;
use crate::rules::{Definition, Phase};
use crate::{Alarm, No, Settings, TOPIC};

/// How long the keys of a quiz are kept: longer than it may go on.
pub(crate) const KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// A quiz that nobody has started so long after it was made is cancelled, so that its pot comes back while it is still known.
pub(crate) const START_WITHIN: Duration = Duration::from_secs(3 * 24 * 60 * 60);

/// How far it is.
#[derive(Copy, Eq)]
#[stored]
pub(crate) enum Status {
    /// Its pot is not in the books yet.
    Funding,
    /// To be started.
    Ready,
    Running,
    Finished,
    Cancelled,
}

/// All of it, with the answers: clients get a view of what they may know.
#[stored]
pub(crate) struct Quiz {
    pub(crate) quiz_id: String,
    /// Who made it, and gets the pot back if nobody wins.
    pub(crate) maker: i64,
    pub(crate) definition: Definition,
    /// As the configuration was when it was made.
    pub(crate) asset_type: u32,
    /// The account of its pot; 0 if it moves no coins.
    pub(crate) pot: i64,
    pub(crate) made_at_ms: u64,
    pub(crate) pause_s: u32,
    pub(crate) status: Status,
    /// Whether its pot is in the books.
    pub(crate) is_funded: bool,
    pub(crate) started_at_ms: Option<u64>,
    /// So many questions are ended on every host.
    pub(crate) ended: u32,
    pub(crate) result: Option<Outcome>,
    /// All that the pot had is paid.
    pub(crate) is_paid: bool,
}

/// How it ended.
#[derive(Copy, Eq)]
#[stored]
pub(crate) struct Outcome {
    pub(crate) players: u64,
    pub(crate) winners: u64,
    /// What was shared, or given back.
    pub(crate) pot: Amount,
}

impl Quiz {
    /// Where its players are.
    pub(crate) fn shards(&self) -> Shards {
        Shards::of_thing(format!("quiz/{}", self.quiz_id))
    }

    /// What its maker and revivals pay into.
    pub(crate) fn pot(&self) -> Pot<'_> {
        let account = ledger::Account { user_id: self.pot, asset_type: self.asset_type };
        Pot { topic: TOPIC, thing_id: &self.quiz_id, account }
    }

    /// Whether everybody gets back what they paid, because nobody wins.
    pub(crate) fn is_given_back(&self) -> bool {
        self.status == Status::Cancelled || self.result.is_some_and(|result| result.winners == 0)
    }

    /// Where it is at that time; none unless it is running.
    pub(crate) fn phase(&self, now_ms: u64) -> Option<Phase> {
        let started_at_ms = self.started_at_ms.filter(|_| self.status == Status::Running)?;
        Some(self.definition.phase(now_ms.saturating_sub(started_at_ms), self.pause_s))
    }

    pub(crate) fn word(&self) -> &'static str {
        match self.status {
            Status::Funding => "not funded yet",
            Status::Ready => "not started yet",
            Status::Running => "running",
            Status::Finished => "finished",
            Status::Cancelled => "cancelled",
        }
    }
}

/// In the cache.
pub(crate) fn document(room_id: i64, quiz_id: &str) -> Document<Quiz> {
    Document::new(format!("room/{room_id}"), format!("quiz/{quiz_id}"), KEPT)
}

/// The quiz of that id in a room, wherever it is kept. One that the cache has lost is cancelled: nobody knows who has answered what.
pub(crate) fn find(room: &Room<Settings>, quiz_id: &str) -> Result<Option<Quiz>, Problem> {
    let document = document(room.room_id, quiz_id);
    if let Some(quiz) = document.read()? {
        return Ok(Some(quiz));
    }
    match record::find(quiz_id, room.room_id)? {
        None | Some((Stage::Made, _)) => Ok(None),
        // It may have been made between the two looks.
        Some((Stage::Begun, quiz)) => match document.read()? {
            Some(quiz) => Ok(Some(quiz)),
            None => finish::salvage(room, quiz).map(Some),
        },
        Some((Stage::Ended, quiz)) => {
            // With the cache its timer may be lost.
            Alarm::Pay { quiz_id: quiz_id.into(), from: 0 }.ensure_in(room.room_id, Duration::ZERO)?;
            Ok(Some(quiz))
        }
        Some((Stage::Paid, quiz)) => Ok(Some(quiz)),
    }
}

/// The same, or the refusal that there is none.
pub(crate) fn get(room: &Room<Settings>, quiz_id: &str) -> Result<Quiz, Problem> {
    find(room, quiz_id)?.ok_or_else(|| No::NotFound { quiz_id: quiz_id.into() }.into())
}

/// Changes it if it is in one of these states; none if it is in another by now. The change may be made up several times.
pub(crate) fn change(
    room_id: i64,
    quiz_id: &str,
    from: &[Status],
    change: impl Fn(&mut Quiz),
) -> Result<Option<Quiz>, Problem> {
    document(room_id, quiz_id).edit(|found| {
        let found = found.filter(|quiz| from.contains(&quiz.status));
        Ok(found.map(|mut quiz| {
            change(&mut quiz);
            quiz
        }))
    })
}
