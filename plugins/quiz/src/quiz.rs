//! What is kept of a quiz: in the cache while it goes on, and in the database once it has ended.

use std::time::Duration;

use greenroom_sdk::{Amount, Problem, Room, Shards, Step, cache, db, read_json, stored};

use crate::rules::{Definition, Phase};
use crate::{No, Settings};

/// How long the keys of a quiz are kept: longer than it may go on.
pub(crate) const KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// How often a change is tried again because somebody else changed the same at the same time.
const TRIES: usize = 5;

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
    pub(crate) pause_s: u32,
    pub(crate) status: Status,
    /// Whether its pot is in the books.
    pub(crate) is_funded: bool,
    pub(crate) started_at_ms: Option<u64>,
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

/// The name of its pot.
pub(crate) fn pot(quiz_id: &str) -> String {
    format!("quiz/{quiz_id}")
}

pub(crate) fn shard(room_id: i64) -> String {
    format!("room/{room_id}")
}

pub(crate) fn key(quiz_id: &str) -> String {
    format!("quiz/{quiz_id}")
}

/// A step that makes a quiz.
pub(crate) fn made(room_id: i64, quiz: &Quiz) -> Result<Step, Problem> {
    let key = key(&quiz.quiz_id);
    Step::in_shard(shard(room_id)).lasting(KEPT).absent(key.clone()).put(key, quiz, None)
}

/// The quiz of that id in a room, wherever it is kept.
pub(crate) fn find(room: &Room<Settings>, quiz_id: &str) -> Result<Option<Quiz>, Problem> {
    if let Some((_, quiz)) = cached(room.room_id, quiz_id)? {
        return Ok(Some(quiz));
    }
    let key = [db::Value::Text(quiz_id.into()), db::Value::Integer(room.room_id)];
    match db::query("find-quiz", &key)?.first().map(Vec::as_slice) {
        Some([db::Value::Text(record)]) => parsed(record.as_bytes()).map(Some),
        _ => Ok(None),
    }
}

/// The same, or the refusal that there is none.
pub(crate) fn get(room: &Room<Settings>, quiz_id: &str) -> Result<Quiz, Problem> {
    find(room, quiz_id)?.ok_or_else(|| No::NotFound { quiz_id: quiz_id.into() }.into())
}

fn cached(room_id: i64, quiz_id: &str) -> Result<Option<(Vec<u8>, Quiz)>, Problem> {
    let Some(bytes) = cache::get(&shard(room_id), &key(quiz_id))? else { return Ok(None) };
    let quiz = parsed(&bytes)?;
    Ok(Some((bytes, quiz)))
}

fn parsed(bytes: &[u8]) -> Result<Quiz, Problem> {
    read_json(bytes).map_err(|e| Problem::failed(format!("a quiz: {e}")))
}

/// Changes it if it is in one of these states; none if it is in another by now. The change may be made up several times.
pub(crate) fn change(
    room_id: i64,
    quiz_id: &str,
    from: &[Status],
    change: impl Fn(&mut Quiz),
) -> Result<Option<Quiz>, Problem> {
    for _ in 0..TRIES {
        let found = cached(room_id, quiz_id)?.filter(|(_, quiz)| from.contains(&quiz.status));
        let Some((bytes, mut quiz)) = found else { return Ok(None) };
        change(&mut quiz);
        let step = Step::in_shard(shard(room_id)).lasting(KEPT).expect(key(quiz_id), Some(bytes));
        if step.put(key(quiz_id), &quiz, None)?.commit()?.is_ok() {
            return Ok(Some(quiz));
        }
    }
    Err(Problem::overloaded("the quiz is being changed by somebody else; try again"))
}

/// Keeps an ended quiz in the database. May be repeated; the first record stays.
pub(crate) fn record(room_id: i64, quiz: &Quiz, now_ms: u64) -> Result<(), Problem> {
    let record = serde_json::to_string(quiz).map_err(|e| Problem::failed(format!("a quiz: {e}")))?;
    let now = i64::try_from(now_ms).unwrap_or(i64::MAX);
    let params = [
        db::Value::Text(quiz.quiz_id.clone()),
        db::Value::Integer(room_id),
        db::Value::Integer(now),
        db::Value::Text(record),
    ];
    db::transact(&[db::Step { statement: "put-quiz".into(), params: params.to_vec(), expected_rows: None }])?;
    Ok(())
}
