//! Entering by a click or a ticket; and the one step by which anybody is entered.

use greenroom_sdk::{
    Amount, Body, Caller, EventId, Made, Now, Path, Problem, Room, Step, Stopped, Timer, answer, cache, ledger,
    request, route, stored,
};
use std::time::Duration;

use crate::listen::Money;
use crate::lottery::{self, KEPT, Lottery};
use crate::rules::Entry;
use crate::{Alarm, No, Settings, TOPIC};

/// The ranking of a shard's entrants by their chances, and the counter of all of them.
pub(crate) const ENTRANTS: &str = "entrants";
const CHANCES: &str = "chances";
/// Chances of a lottery whose chances are not bounded, in each of its 64 shards: a draw has to be possible in one call.
const SHARD_CHANCES_MAX: u32 = 20_000;
/// The checks and the writes of [`step`], in their order.
const CLOSED: u32 = 0;
const OF_VIEWER: u32 = 0;
const OF_ALL: u32 = 1;

#[request]
pub(crate) struct Ask {
    event_id: EventId,
}

#[answer]
pub(crate) struct Entered {
    lottery_id: String,
    /// What was paid for the ticket; 0 for a click.
    paid: Amount,
    /// What could be spent right after; only for a ticket.
    balance: Option<Amount>,
    /// True if this event id was answered before.
    replayed: bool,
}

#[stored]
struct Clicked {}

/// Enters a lottery, by a click or by buying a ticket. A ticket counts once its coins are in the pot, a moment later; if entering ends
/// before, they are given back.
#[route(POST "lotteries/{lotteryId}/entries")]
pub(crate) fn enter(
    caller: Caller,
    Now(now_ms): Now,
    room: Room<Settings>,
    Path(lottery_id): Path<String>,
    Body(ask): Body<Ask>,
) -> Result<Entered, Problem> {
    let lottery = lottery::get(&room, &lottery_id)?;
    match lottery.definition.entry {
        Entry::Free {} => click(caller, now_ms, &room, &lottery, &ask),
        Entry::Ticket { price } => buy(caller, now_ms, &room, &lottery, &ask, price),
        _ => Err(No::OtherEntry { entry: lottery.definition.entry.describe().into() }.into()),
    }
}

fn click(caller: Caller, now_ms: u64, room: &Room<Settings>, lottery: &Lottery, ask: &Ask) -> Result<Entered, Problem> {
    let (step, content) = (step(lottery, caller.user_id), ("enter", &lottery.lottery_id));
    let made = if lottery.is_open_at(now_ms) {
        step.once(caller, &ask.event_id, &content, Clicked {})?
    } else {
        step.answered(caller, &ask.event_id, &content)?.ok_or(Stopped::Check(CLOSED))
    };
    let made = made.map_err(|stopped| refusal(lottery, stopped))?;
    close_if_full(room, lottery)?;
    let lottery_id = lottery.lottery_id.clone();
    Ok(Entered { lottery_id, paid: Amount::ZERO, balance: None, replayed: made.replayed })
}

fn buy(
    caller: Caller,
    now_ms: u64,
    room: &Room<Settings>,
    lottery: &Lottery,
    ask: &Ask,
    price: Amount,
) -> Result<Entered, Problem> {
    let lottery_id = lottery.lottery_id.clone();
    let payer = ledger::Account { user_id: caller.user_id, asset_type: lottery.asset_type };
    let content = format!("ticket|{}|{lottery_id}", room.room_id).into_bytes();
    let outcome = if lottery.is_open_at(now_ms) {
        // Bounded with the hold, so that nobody pays for a chance that they cannot have.
        let max = i64::from(lottery.definition.chances_per_viewer);
        let ttl_ms = 604_800_000;
        let counter = ledger::Counter { key: format!("tickets/{lottery_id}"), delta: 1, max: Some(max), ttl_ms };
        let hold = ledger::HoldRequest {
            event_id: ask.event_id.to_string(),
            payer,
            amount: price.get(),
            content,
            topic: TOPIC.into(),
            payload: Money::Ticket { lottery_id: lottery_id.clone(), pot: lottery.pot }.payload()?,
            counters: vec![counter],
        };
        ledger::hold(&hold).map_err(|error| match error {
            ledger::Error::LimitReached(_) => refusal(lottery, Stopped::Limit(OF_VIEWER)),
            other => other.into(),
        })?
    } else {
        let known = ledger::find(payer, &ask.event_id, &content)?;
        known.ok_or_else(|| refusal(lottery, Stopped::Check(CLOSED)))?
    };
    let (paid, balance) = (Amount::new(outcome.amount), Some(Amount::new(outcome.balance)));
    Ok(Entered { lottery_id, paid, balance, replayed: outcome.replayed })
}

/// One chance more for a user, if entering is not over and both bounds allow it.
fn step(lottery: &Lottery, user_id: i64) -> Step {
    let definition = &lottery.definition;
    let of_viewer = i64::from(definition.chances_per_viewer);
    lottery
        .step(user_id)
        .add(format!("of/{user_id}"), 1, Some(of_viewer))
        .add(CHANCES, 1, Some(definition.chances_max.unwrap_or(SHARD_CHANCES_MAX).into()))
        .write(cache::Write::RankAdd(cache::Score {
            key: ENTRANTS.into(),
            member: user_id.to_string(),
            delta: 1,
            ttl_ms: u32::try_from(KEPT.as_millis()).ok(),
        }))
}

/// Enters a user for something that was consumed, such as a gift, once for each `cause`.
pub(crate) fn take_in(
    room: &Room<Settings>,
    lottery: &Lottery,
    user_id: i64,
    cause: &str,
) -> Result<Made<()>, Problem> {
    let key = format!("cause/{cause}");
    match step(lottery, user_id).absent(key.clone()).put(key.clone(), &true, None)?.commit()? {
        // The cause counted before.
        Ok(_) | Err(Stopped::Check(1)) => {}
        // It may have counted before the end, and come again: who was taken in is not given their coins back, too.
        Err(Stopped::Check(CLOSED)) if cache::get(&lottery.shard(user_id), &key)?.is_some() => {}
        Err(stopped) => return Ok(Err(stopped)),
    }
    close_if_full(room, lottery)?;
    Ok(Ok(()))
}

/// How many chances a user has.
pub(crate) fn chances_of(lottery: &Lottery, user_id: i64) -> Result<i64, Problem> {
    Ok(cache::get_counter(&lottery.shard(user_id), &format!("of/{user_id}"))?)
}

fn close_if_full(room: &Room<Settings>, lottery: &Lottery) -> Result<(), Problem> {
    let Some(max) = lottery.definition.chances_max else { return Ok(()) };
    if cache::get_counter(&lottery.shard(0), CHANCES)? >= i64::from(max) {
        Alarm::Close { lottery_id: lottery.lottery_id.clone() }.ensure_in(room.room_id, Duration::ZERO)?;
    }
    Ok(())
}

pub(crate) fn refusal(lottery: &Lottery, stopped: Stopped) -> Problem {
    let definition = &lottery.definition;
    match stopped {
        Stopped::Check(CLOSED) => No::NotOpen { lottery_id: lottery.lottery_id.clone(), status: lottery.word() }.into(),
        Stopped::Limit(OF_VIEWER) => No::AllUsed { chances_max: definition.chances_per_viewer }.into(),
        Stopped::Limit(OF_ALL) => {
            No::Full { chances_max: definition.chances_max.unwrap_or(64 * SHARD_CHANCES_MAX) }.into()
        }
        other => Problem::failed(format!("an entry was stopped by {other:?}")),
    }
}
