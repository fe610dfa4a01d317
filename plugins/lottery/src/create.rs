//! Making a lottery. Its coin prizes are held first; it opens once they are in its pot, so a prize can always be paid.

use std::time::Duration;

use greenroom_sdk::fair::Secret;
use greenroom_sdk::record::{self, Stage};
use greenroom_sdk::{
    Amount, Body, Caller, Document, Now, Once, Problem, Room, Step, Timer, answer, ledger, room::Priority, route,
    stored,
};

use crate::listen::Money;
use crate::lottery::{self, KEPT, Lottery, Status, View, document};
use crate::rules::{Definition, Entry};
use crate::{Alarm, No, Settings, TOPIC};

/// A lottery that nobody ends is ended so long after it was opened: less than its keys are kept, and than a timer is set ahead.
const OPEN_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);
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
    let lottery_id = definition.event_id.thing_id(room.room_id, caller.user_id);
    let held = definition.fund()?;
    if held != Amount::ZERO {
        return create_funded(caller, &room, lottery_id, definition, held);
    }
    let document = document(room.room_id, &lottery_id);
    let event_id = definition.event_id.clone();
    let content = ("create", definition.clone());
    let step = Step::in_shard(lottery::shard(room.room_id));
    let made = if let Some(known) = step.answered(caller, &event_id, &content)? {
        known
    } else {
        has_place(&room)?;
        let lottery = written_down(caller, &room, lottery_id.clone(), definition)?.opened(now_ms);
        // Should this call end half-way, the timer goes on.
        Alarm::Open { lottery_id: lottery_id.clone() }.ensure(Duration::from_secs(1))?;
        let made = Made { lottery_id: lottery_id.clone(), is_open: true, held };
        let step = listed(document.create(&lottery)?, &lottery_id);
        let made = step.once(caller, &event_id, &content, made)?;
        made.map_err(|stopped| Problem::failed(format!("the lottery could not be made: {stopped:?}")))?
    };
    go_on(&room, &lottery_id)?;
    Ok(made)
}

/// Holds the coins of the prizes; the lottery opens once they are in its pot.
fn create_funded(
    caller: Caller,
    room: &Room<Settings>,
    lottery_id: String,
    definition: Definition,
    held: Amount,
) -> Result<Once<Made>, Problem> {
    let payer = ledger::Account { user_id: caller.user_id, asset_type: room.config.asset_type };
    let event_id = definition.event_id.to_string();
    let content = serde_json::to_vec(&("create", room.room_id, &definition));
    let content = content.map_err(|e| Problem::failed(e.to_string()))?;
    let made = |replayed| Once { answer: Made { lottery_id: lottery_id.clone(), is_open: false, held }, replayed };
    if ledger::find(payer, &event_id, &content)?.is_some() {
        return Ok(made(true));
    }
    has_place(room)?;
    // Before a pot is made: who cannot pay makes none.
    let spendable = ledger::get_balance(payer)?.spendable;
    if spendable < held.get() {
        let shortage = ledger::Shortage { balance: spendable, needed: held.get() };
        return Err(ledger::Error::InsufficientBalance(shortage).into());
    }
    let lottery = written_down(caller, room, lottery_id.clone(), definition)?;
    let hold = ledger::HoldRequest {
        event_id,
        payer: ledger::Account { asset_type: lottery.asset_type, ..payer },
        amount: held.get(),
        content,
        topic: TOPIC.into(),
        payload: Money::Prizes { lottery_id: lottery_id.clone(), pot: lottery.pot }.payload()?,
        counters: Vec::new(),
    };
    Ok(made(ledger::hold(&hold)?.replayed))
}

fn has_place(room: &Room<Settings>) -> Result<(), Problem> {
    let open_max = room.config.open_max;
    let is_full = open_ones(room.room_id)?.len() >= usize::try_from(open_max).unwrap_or(usize::MAX);
    if is_full { Err(No::TooMany { open_max }.into()) } else { Ok(()) }
}

/// The lottery as it is in the table, now or from an earlier try, before anybody pays for anything.
fn written_down(
    caller: Caller,
    room: &Room<Settings>,
    lottery_id: String,
    definition: Definition,
) -> Result<Lottery, Problem> {
    let is_paid = definition.fund()? != Amount::ZERO || definition.price() != Amount::ZERO;
    let user_id = if is_paid { ledger::pot(&format!("lottery/{lottery_id}"))? } else { 0 };
    let account = ledger::Account { user_id, asset_type: room.config.asset_type };
    let lottery = Lottery::new(lottery_id, caller.user_id, definition, account, Secret::new()?);
    let written = record::put(&lottery.lottery_id, room.room_id, &lottery)?;
    if written.definition != lottery.definition {
        return Err(ledger::Error::EventIdReused.into());
    }
    Ok(written)
}

/// Opens a lottery whose prizes are in the pot. May be repeated. False if it is cancelled, or was never made.
pub(crate) fn open(room: &Room<Settings>, lottery_id: &str, now_ms: u64) -> Result<bool, Problem> {
    if lottery::find(room, lottery_id)?.is_none() {
        let Some((_, lottery)) = record::find::<Lottery>(lottery_id, room.room_id)? else { return Ok(false) };
        let document = document(room.room_id, lottery_id);
        // Stopped, it is there.
        let _ = listed(document.create(&lottery.opened(now_ms))?, lottery_id).commit()?;
    }
    go_on(room, lottery_id)?;
    Ok(lottery::get(room, lottery_id)?.status != Status::Cancelled)
}

fn listed(step: Step, lottery_id: &str) -> Step {
    step.enter(ALL, lottery_id, None)
}

/// Puts it among the open ones, sets its timer, tells the room. May be repeated, also after it has ended.
pub(crate) fn go_on(room: &Room<Settings>, lottery_id: &str) -> Result<(), Problem> {
    let Some(lottery) = lottery::find(room, lottery_id)? else { return Ok(()) };
    if lottery.status != Status::Open {
        return Ok(());
    }
    record::save(lottery_id, Stage::Begun, &lottery)?;
    let until_close = match lottery.closes_at_ms {
        Some(closes_at_ms) => Duration::from_millis(closes_at_ms.saturating_sub(lottery.opened_at_ms)),
        None => OPEN_MAX,
    };
    let drain = Duration::from_secs(room.config.drain_s.into());
    Alarm::Close { lottery_id: lottery_id.into() }.ensure_in(room.room_id, until_close + drain)?;
    let short = Open { lottery_id: lottery_id.into(), entry: lottery.definition.entry.clone() };
    change_open(room.room_id, |open| {
        open.retain(|other| other.lottery_id != short.lottery_id);
        open.push(short.clone());
    })?;
    if lottery::get(room, lottery_id)?.status != Status::Open {
        // It was ended meanwhile, and was taken from among them before it was there.
        return not_open(room.room_id, lottery_id);
    }
    room.broadcast(lottery_id, "lottery.opened", &Opened { lottery: lottery.view() }, Priority::High)
}

/// The open lotteries of a room.
pub(crate) fn open_ones(room_id: i64) -> Result<Vec<Open>, Problem> {
    Ok(open_document(room_id).read()?.unwrap_or_default())
}

/// Takes an ended one from among the open ones.
pub(crate) fn not_open(room_id: i64, lottery_id: &str) -> Result<(), Problem> {
    change_open(room_id, |open| open.retain(|other| other.lottery_id != lottery_id))
}

fn change_open(room_id: i64, change: impl Fn(&mut Vec<Open>)) -> Result<(), Problem> {
    let changed = open_document(room_id).edit(|found| {
        let mut open = found.unwrap_or_default();
        change(&mut open);
        Ok(Some(open))
    });
    changed.map(drop)
}

fn open_document(room_id: i64) -> Document<Vec<Open>> {
    Document::new(lottery::shard(room_id), OPEN, KEPT)
}
