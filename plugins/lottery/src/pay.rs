//! Emptying the pot: prizes, shares of the tickets and what is left, or everything back. Each payment has an event id of its own that says
//! what it is for, so however often this runs, each is paid once.

use std::time::Duration;

use greenroom_sdk::record::{self, Stage};
use greenroom_sdk::{Problem, RECEIVERS_MAX, Room, Timer};

use crate::lottery::{self, Lottery, Status, change};
use crate::rules;
use crate::{Alarm, Settings};

/// Payments in one call; the next ones are another timer's.
const PAYMENTS: usize = 20;

/// Pays from the given payment on. May be repeated.
pub(crate) fn pay(room: &Room<Settings>, lottery_id: &str, from: u32) -> Result<(), Problem> {
    let Some(lottery) = lottery::find(room, lottery_id)?.filter(|lottery| !lottery.is_paid) else { return Ok(()) };
    let next = match lottery.status {
        Status::Open | Status::Closed => return Ok(()),
        Status::Cancelled => lottery.pot().give_all_back(from)?,
        Status::Drawn => pay_out(&lottery, from)?,
    };
    match next {
        Some(from) => Alarm::Pay { lottery_id: lottery_id.into(), from }.set_in(room.room_id, Duration::ZERO),
        None => paid(room, lottery),
    }
}

fn pay_out(lottery: &Lottery, from: u32) -> Result<Option<u32>, Problem> {
    let missing = || Problem::failed(format!("lottery {} was drawn without its list", lottery.lottery_id));
    let (closing, shares) = lottery.closing.zip(lottery.shares.as_ref()).ok_or_else(missing)?;
    let payments = rules::payments(&lottery.definition, lottery.maker, &lottery.wins, closing.chances, shares)?;
    let payments: Vec<(i64, i64)> = payments.into_iter().map(|(user_id, amount)| (user_id, amount.get())).collect();
    let mut pages = (0_u32..).zip(payments.chunks(RECEIVERS_MAX)).skip(from as usize);
    for (number, to) in pages.by_ref().take(PAYMENTS) {
        lottery.pot().pay(&number.to_string(), to.to_vec())?;
    }
    Ok(pages.next().map(|(number, _)| number))
}

fn paid(room: &Room<Settings>, mut lottery: Lottery) -> Result<(), Problem> {
    lottery.is_paid = true;
    change(room.room_id, &lottery.lottery_id, &[Status::Drawn, Status::Cancelled], |lottery| lottery.is_paid = true)?;
    record::save(&lottery.lottery_id, Stage::Paid, &lottery)
}
