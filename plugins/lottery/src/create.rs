//! Making a lottery. Its coin prizes are held first; it opens once they are in its pot, so a prize can always be paid.

use greenroom_sdk::fair::{Digest, Secret};
use greenroom_sdk::{
    Amount, Body, Caller, Now, Once, Problem, Room, Step, Stopped, Timer, answer, cache, ledger, read_json,
    room::Priority, route, stored,
};
use std::time::Duration;

use crate::listen::Money;
use crate::lottery::{self, KEPT, Lottery, Status, View};
use crate::rules::{Definition, Entry};
use crate::{Alarm, No, Settings, TOPIC};

/// The key of the open lotteries of a room, in its shard.
const OPEN: &str = "open";
/// The key of all lotteries of a room, numbered.
pub(crate) const ALL: &str = "all";

/// An open lottery in short: what a message must be checked against.
#[stored]
pub(crate) struct Open {
    pub(crate) lottery_id: String,
    pub(crate) entry: Entry,
}

#[stored]
pub(crate) struct Made {
    lottery_id: String,
    /// Whether it is open already; with coin prizes it is a moment later, once they are in the pot.
    is_open: bool,
    /// The coins that were held for the prizes.
    held: Amount,
}

#[answer]
pub(crate) struct Opened {
    #[serde(flatten)]
    lottery: View,
}

/// Makes a lottery. Repeating the event id repeats the answer.
#[route(POST "lotteries", roles(streamer, operator))]
pub(crate) fn create(
    caller: Caller,
    Now(now_ms): Now,
    room: Room<Settings>,
    Body(definition): Body<Definition>,
) -> Result<Once<Made>, Problem> {
    definition.check()?;
    let asset_type = room.config.asset_type;
    let lottery_id = id_of(room.room_id, caller.user_id, &definition.event_id);
    let held = definition.fund()?;
    if open_ones(room.room_id)?.len() >= usize::try_from(room.config.open_max).unwrap_or(usize::MAX)
        && lottery::find(&room, &lottery_id)?.is_none()
    {
        return Err(No::TooMany { open_max: room.config.open_max }.into());
    }
    if held == Amount::ZERO {
        let made = Made { lottery_id: lottery_id.clone(), is_open: true, held };
        let lottery = Lottery::new(lottery_id, caller.user_id, definition.clone(), asset_type, now_ms, Secret::new()?);
        let step = step_of(&room, &lottery)?;
        let made = match step.once(caller, &definition.event_id, &("create", &definition), made)? {
            Ok(made) => made,
            Err(stopped) => return Err(Problem::failed(format!("the lottery could not be made: {stopped:?}"))),
        };
        follow_up(&room, &made.answer.lottery_id)?;
        return Ok(made);
    }
    let payer = ledger::Account { user_id: caller.user_id, asset_type };
    let content = serde_json::to_vec(&("create", room.room_id, &definition));
    let money = Money::Prizes { lottery_id: lottery_id.clone(), definition: definition.clone() };
    let hold = ledger::HoldRequest {
        event_id: definition.event_id.to_string(),
        payer,
        amount: held.get(),
        content: content.map_err(|e| Problem::failed(e.to_string()))?,
        topic: TOPIC.into(),
        payload: money.payload()?,
        counters: Vec::new(),
    };
    let outcome = ledger::hold(&hold)?;
    Ok(Once { answer: Made { lottery_id, is_open: false, held }, replayed: outcome.replayed })
}

/// The same for a repetition, and nobody else's.
fn id_of(room_id: i64, maker: i64, event_id: &str) -> String {
    let digest = Digest::of([room_id.to_string(), maker.to_string(), event_id.to_owned()]).to_string();
    digest.chars().take(20).collect()
}

/// Opens a lottery whose prizes are in the pot. May be repeated.
pub(crate) fn open(room: &Room<Settings>, lottery: &Lottery) -> Result<(), Problem> {
    match step_of(room, lottery)?.commit()? {
        Ok(_) | Err(Stopped::Check(_)) => follow_up(room, &lottery.lottery_id),
        Err(stopped) => Err(Problem::failed(format!("the lottery could not be opened: {stopped:?}"))),
    }
}

fn step_of(room: &Room<Settings>, lottery: &Lottery) -> Result<Step, Problem> {
    let key = lottery::key(&lottery.lottery_id);
    let step = Step::in_shard(lottery::shard(room.room_id)).lasting(KEPT).absent(key.clone());
    Ok(step.put(key, lottery, None)?.enter(ALL, lottery.lottery_id.clone(), None))
}

/// Puts it among the open ones, sets its timer, tells the room. May be repeated, also after it has ended.
fn follow_up(room: &Room<Settings>, lottery_id: &str) -> Result<(), Problem> {
    let lottery = lottery::get(room, lottery_id)?;
    if lottery.status != Status::Open {
        return Ok(());
    }
    let short = Open { lottery_id: lottery_id.into(), entry: lottery.definition.entry.clone() };
    change_open(room.room_id, |open| {
        open.retain(|other| other.lottery_id != short.lottery_id);
        open.push(short.clone());
    })?;
    if let Some(closes_at_ms) = lottery.closes_at_ms {
        let left = closes_at_ms.saturating_sub(lottery.opened_at_ms);
        let drain = Duration::from_secs(room.config.drain_s.into());
        Alarm::Close { lottery_id: lottery_id.into() }.ensure_in(room.room_id, Duration::from_millis(left) + drain)?;
    }
    room.broadcast(lottery_id, "lottery.opened", &Opened { lottery: lottery.view() }, Priority::High)
}

/// The open lotteries of a room.
pub(crate) fn open_ones(room_id: i64) -> Result<Vec<Open>, Problem> {
    match cache::get(&lottery::shard(room_id), OPEN)? {
        Some(bytes) => read_json(&bytes).map_err(|e| Problem::failed(format!("the open lotteries: {e}"))),
        None => Ok(Vec::new()),
    }
}

/// Takes an ended one from among the open ones.
pub(crate) fn not_open(room_id: i64, lottery_id: &str) -> Result<(), Problem> {
    change_open(room_id, |open| open.retain(|other| other.lottery_id != lottery_id))
}

fn change_open(room_id: i64, change: impl Fn(&mut Vec<Open>)) -> Result<(), Problem> {
    for _ in 0..5 {
        let shard = lottery::shard(room_id);
        let bytes = cache::get(&shard, OPEN)?;
        let mut open: Vec<Open> = match &bytes {
            Some(bytes) => read_json(bytes).map_err(|e| Problem::failed(format!("the open lotteries: {e}")))?,
            None => Vec::new(),
        };
        change(&mut open);
        let step = Step::in_shard(shard).lasting(KEPT).expect(OPEN, bytes).put(OPEN, &open, None)?;
        if step.commit()?.is_ok() {
            return Ok(());
        }
    }
    Err(Problem::overloaded("the room's lotteries are being changed; try again"))
}
