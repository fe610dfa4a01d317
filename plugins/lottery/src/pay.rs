//! Emptying the pot: prizes, shares of the tickets and what is left, or everything back. Each payment has an event id of its own that says
//! what it is for, so however often this runs, each is paid once.

use greenroom_sdk::{Amount, Message, Problem, Room, Timer, ledger};
use std::time::Duration;

use crate::entrants;
use crate::listen::Money;
use crate::lottery::{self, KEPT, Lottery, Status, change};
use crate::rules;
use crate::{Alarm, Settings, TOPIC};

/// Receivers of one payment: what a posting has room for beside the pot.
const RECEIVERS: usize = 60;
/// Payments in one call; the next ones are another timer's.
const PAYMENTS: usize = 20;

/// Pays from the given payment on. May be repeated.
pub(crate) fn pay(room: &Room<Settings>, lottery_id: &str, from: u32) -> Result<(), Problem> {
    let Some(lottery) = lottery::find(room, lottery_id)? else { return Ok(()) };
    if matches!(lottery.status, Status::Open | Status::Closed) {
        return Ok(());
    }
    let payments = payments(&lottery)?;
    let mut next = from as usize;
    for to in payments.chunks(RECEIVERS).skip(next).take(PAYMENTS) {
        let event_id = format!("{lottery_id}:pay:{next}");
        hold(lottery.asset_type, lottery_id, event_id, to.to_vec())?;
        next += 1;
    }
    if next < payments.len().div_ceil(RECEIVERS) {
        let from = u32::try_from(next).unwrap_or(u32::MAX);
        return Alarm::Pay { lottery_id: lottery_id.into(), from }.set_in(room.room_id, Duration::ZERO);
    }
    change(room.room_id, lottery_id, &[Status::Drawn, Status::Cancelled], |lottery| lottery.is_paid = true)?;
    Ok(())
}

/// To whom how much, in a fixed order.
fn payments(lottery: &Lottery) -> Result<Vec<(i64, i64)>, Problem> {
    let (definition, maker) = (&lottery.definition, lottery.maker);
    let payments = match lottery.status {
        Status::Open | Status::Closed => return Ok(Vec::new()),
        Status::Cancelled => {
            // Only now the list does not change any more; it may be closed already.
            lottery.shards().close(KEPT)?;
            rules::refunds(definition, maker, &entrants::all(lottery)?)?
        }
        Status::Drawn => {
            let missing = || Problem::failed(format!("lottery {} was drawn without its list", lottery.lottery_id));
            let (closing, shares) = lottery.closing.zip(lottery.shares.as_ref()).ok_or_else(missing)?;
            rules::payments(definition, maker, &lottery.wins, closing.chances, shares)?
        }
    };
    Ok(payments.into_iter().map(|(user_id, amount)| (user_id, amount.get())).collect())
}

/// Gives back what came too late: a ticket after the end, or prizes for a room in which the plugin is not enabled any more.
pub(crate) fn give_back(lottery_id: &str, message: &Message, event_id: &str) -> Result<(), Problem> {
    let Some(held) = &message.held else { return Ok(()) };
    // Both ids together may be longer than an event id is.
    let digest = greenroom_sdk::fair::Digest::of([message.payer.to_string(), event_id.to_owned()]).to_string();
    let short: String = digest.chars().take(32).collect();
    hold(held.asset_type, lottery_id, format!("{lottery_id}:back:{short}"), vec![(message.payer, held.amount)])
}

fn hold(asset_type: u32, lottery_id: &str, event_id: String, to: Vec<(i64, i64)>) -> Result<(), Problem> {
    let user_id = ledger::pot(&lottery::pot(lottery_id))?;
    let amounts = to.iter().try_fold(Amount::ZERO, |sum, (_, amount)| sum.plus(Amount::new(*amount)))?;
    let payload = Money::Payments { lottery_id: lottery_id.into(), to }.payload()?;
    ledger::hold(&ledger::HoldRequest {
        event_id,
        payer: ledger::Account { user_id, asset_type },
        amount: amounts.get(),
        content: payload.clone(),
        topic: TOPIC.into(),
        payload,
        counters: Vec::new(),
    })?;
    Ok(())
}
