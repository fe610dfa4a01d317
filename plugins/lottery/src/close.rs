//! The end of a lottery: the list is closed and its digest published, then the winners are drawn; or everything is given back.

use std::time::Duration;

use greenroom_sdk::fair::{Digest, Secret};
use greenroom_sdk::record::{self, Stage};
use greenroom_sdk::{Amount, Now, Path, Problem, Room, Timer, answer, logging, room::Priority, route};

use crate::create::not_open;
use crate::draw::{self, Win};
use crate::entrants;
use crate::lottery::{self, Closing, KEPT, Lottery, Status, View, change};
use crate::rules::Shares;
use crate::{Alarm, No, Settings};

/// Winners in one push, and those who are told of their prize one by one: what a call may push. All of them are in the lottery itself.
const TOLD_MAX: usize = 200;
/// When the timer goes on with what a call may have left half-way.
const HALF_WAY: Duration = Duration::from_secs(2);

#[answer]
struct Closed {
    lottery_id: String,
    closing: Closing,
    commitment: Digest,
}

#[answer]
struct Drawn<'a> {
    lottery_id: &'a str,
    secret: Secret,
    /// How many winners there are; here are the first 200 of them.
    winners: usize,
    wins: &'a [Win],
}

#[answer]
struct Won<'a> {
    lottery_id: &'a str,
    prize: &'a str,
    coins: Option<Amount>,
}

/// Ends entering now, may be repeated; the draw follows after the delay that the room's configuration has.
#[route(POST "lotteries/{lotteryId}/draw", roles(streamer, operator))]
pub(crate) fn draw_now(room: Room<Settings>, Path(lottery_id): Path<String>) -> Result<View, Problem> {
    let found = lottery::get(&room, &lottery_id)?;
    match found.status {
        Status::Open => {
            // Should this call end half-way, the timer goes on.
            Alarm::Close { lottery_id: lottery_id.clone() }.ensure_in(room.room_id, HALF_WAY)?;
            close(&room, &lottery_id)?;
        }
        Status::Closed | Status::Drawn => {}
        Status::Cancelled => return Err(over(&found)),
    }
    Ok(lottery::get(&room, &lottery_id)?.view())
}

/// Cancels a lottery that is not drawn, may be repeated: every ticket and all prizes are given back.
#[route(POST "lotteries/{lotteryId}/cancel", roles(streamer, operator))]
pub(crate) fn cancel(room: Room<Settings>, Path(lottery_id): Path<String>) -> Result<View, Problem> {
    let found = lottery::get(&room, &lottery_id)?;
    if found.status == Status::Drawn {
        return Err(over(&found));
    }
    // Should this call end half-way, the timer goes on.
    Alarm::Cancel { lottery_id: lottery_id.clone() }.ensure_in(room.room_id, HALF_WAY)?;
    let changed = change(room.room_id, &lottery_id, &[Status::Open, Status::Closed], |lottery| {
        lottery.status = Status::Cancelled;
    })?;
    let lottery = match changed {
        Some(lottery) => lottery,
        // Somebody was faster; what follows may be repeated.
        None => lottery::get(&room, &lottery_id)?,
    };
    if lottery.status != Status::Cancelled {
        return Err(over(&lottery));
    }
    cancelled(&room, &lottery)?;
    Ok(lottery.view())
}

/// Goes on with a cancellation that may have ended half-way.
pub(crate) fn go_on(room: &Room<Settings>, lottery_id: &str) -> Result<(), Problem> {
    let found = lottery::find(room, lottery_id)?;
    match found.filter(|lottery| lottery.status == Status::Cancelled && !lottery.is_paid) {
        Some(lottery) => cancelled(room, &lottery),
        None => Ok(()),
    }
}

/// What follows from a cancellation. May be repeated.
fn cancelled(room: &Room<Settings>, lottery: &Lottery) -> Result<(), Problem> {
    let lottery_id = &lottery.lottery_id;
    // From here on a ticket that comes finds that it is too late, and is given back by itself.
    lottery.shards().close(KEPT)?;
    not_open(room.room_id, lottery_id)?;
    record::save(lottery_id, Stage::Ended, lottery)?;
    Alarm::Pay { lottery_id: lottery_id.clone(), from: 0 }.ensure_in(room.room_id, Duration::ZERO)?;
    room.broadcast(&format!("{lottery_id}/cancelled"), "lottery.cancelled", &lottery.view(), Priority::High)
}

/// Cancels a lottery that the cache has lost, and with it the list of entrants: by the receipts everybody gets their coins back. May be
/// repeated.
pub(crate) fn salvage(room: &Room<Settings>, mut lottery: Lottery) -> Result<Lottery, Problem> {
    lottery.status = Status::Cancelled;
    cancelled(room, &lottery)?;
    Ok(lottery)
}

fn over(lottery: &Lottery) -> Problem {
    No::Over { lottery_id: lottery.lottery_id.clone(), status: lottery.word() }.into()
}

/// Ends entering and publishes the list's digest. May be repeated.
pub(crate) fn close(room: &Room<Settings>, lottery_id: &str) -> Result<(), Problem> {
    let lottery = match lottery::find(room, lottery_id)? {
        Some(found) if found.status == Status::Open => end_entering(room, found)?,
        Some(found) => found,
        None => return Ok(()),
    };
    let Some(closing) = lottery.closing.filter(|_| lottery.status == Status::Closed) else { return Ok(()) };
    not_open(room.room_id, lottery_id)?;
    let left = closing.draws_at_ms.saturating_sub(Now::of_this_call().0).max(1);
    Alarm::Draw { lottery_id: lottery_id.into() }.ensure_in(room.room_id, Duration::from_millis(left))?;
    let told = Closed { lottery_id: lottery_id.into(), closing, commitment: lottery.secret().commitment() };
    room.broadcast(&format!("{lottery_id}/closed"), "lottery.closed", &told, Priority::High)
}

/// Closes the list, reads it once, and keeps its digest. Gives what has become of the lottery: somebody may have been faster.
fn end_entering(room: &Room<Settings>, found: Lottery) -> Result<Lottery, Problem> {
    found.shards().close(KEPT)?;
    let list = entrants::all(&found)?;
    let delay = Duration::from_secs(room.config.draw_delay_s.into());
    let closing = Closing {
        digest: draw::digest(&list),
        entrants: list.len() as u64,
        chances: list.iter().fold(0_i64, |sum, (_, chances)| sum.saturating_add(*chances)),
        draws_at_ms: Now::of_this_call().0.saturating_add(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX)),
    };
    let changed = change(room.room_id, &found.lottery_id, &[Status::Open], |lottery| {
        lottery.status = Status::Closed;
        lottery.closing = Some(closing);
    })?;
    match changed {
        Some(lottery) => Ok(lottery),
        None => lottery::get(room, &found.lottery_id),
    }
}

/// Draws, keeps the result in the database, and has the pot paid out. May be repeated: the same list and secret have the same winners.
pub(crate) fn draw(room: &Room<Settings>, lottery_id: &str) -> Result<(), Problem> {
    let Some(found) = lottery::find(room, lottery_id)? else { return Ok(()) };
    let Some(closing) = found.closing.filter(|_| matches!(found.status, Status::Closed | Status::Drawn)) else {
        return Ok(());
    };
    let lottery = if found.status == Status::Closed { drawn(room, &found, closing)? } else { Some(found) };
    let Some(lottery) = lottery else { return Ok(()) };
    record::save(lottery_id, Stage::Ended, &lottery)?;
    Alarm::Pay { lottery_id: lottery_id.into(), from: 0 }.ensure_in(room.room_id, Duration::ZERO)?;
    tell(room, &lottery)
}

/// None if it was cancelled meanwhile, or is now because the cache has lost some of the list.
fn drawn(room: &Room<Settings>, lottery: &Lottery, closing: Closing) -> Result<Option<Lottery>, Problem> {
    let list = entrants::all(lottery)?;
    if draw::digest(&list) != closing.digest {
        let lost = format!("lottery {}: the list is not the one whose digest is public", lottery.lottery_id);
        logging::log(logging::Level::Error, "draw", &lost);
        let cancel = |lottery: &mut Lottery| lottery.status = Status::Cancelled;
        if let Some(lottery) = change(room.room_id, &lottery.lottery_id, &[Status::Closed], cancel)? {
            cancelled(room, &lottery)?;
        }
        return Ok(None);
    }
    let wins = draw::draw(lottery.secret(), &lottery.definition, &list);
    change(room.room_id, &lottery.lottery_id, &[Status::Closed], |lottery| {
        lottery.status = Status::Drawn;
        let streamers = room.streamers.clone();
        lottery.shares = Some(Shares { platform_bps: room.config.platform_share_bps, streamers });
        lottery.wins.clone_from(&wins);
    })
}

fn tell(room: &Room<Settings>, lottery: &Lottery) -> Result<(), Problem> {
    let (lottery_id, wins) = (lottery.lottery_id.as_str(), lottery.wins.as_slice());
    let first = wins.get(..TOLD_MAX).unwrap_or(wins);
    let drawn = Drawn { lottery_id, secret: *lottery.secret(), winners: wins.len(), wins: first };
    room.broadcast(&format!("{lottery_id}/drawn"), "lottery.drawn", &drawn, Priority::High)?;
    for (place, win) in first.iter().enumerate() {
        let prize = usize::try_from(win.tier).ok().and_then(|tier| lottery.definition.prizes.get(tier));
        let Some(prize) = prize else { continue };
        let won = Won { lottery_id, prize: &prize.name, coins: prize.coins };
        room.send(win.user_id, &format!("{lottery_id}/won/{place}"), "lottery.won", &won, Priority::High)?;
    }
    Ok(())
}
