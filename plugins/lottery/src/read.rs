//! What everybody may read.

use greenroom_sdk::{Caller, Cursor, Page, Path, Problem, Query, Room, answer, cache, request, route};

use crate::create::ALL;
use crate::enter::chances_of;
use crate::entrants::{self, Entrant, From};
use crate::lottery::{self, Status, View};
use crate::{No, Settings};

/// The newest lotteries of a room that are listed.
const LISTED_MAX: u32 = 20;

#[answer]
pub(crate) struct Lotteries {
    /// The newest first, at most 20.
    lotteries: Vec<View>,
}

#[answer]
pub(crate) struct Mine {
    lottery_id: String,
    /// How often the caller is in the list.
    chances: i64,
}

#[request]
pub(crate) struct Place {
    cursor: Option<Cursor<From>>,
}

/// The room's lotteries.
#[route(GET "lotteries")]
pub(crate) fn list(room: Room<Settings>) -> Result<Lotteries, Problem> {
    let newest = cache::top(&lottery::shard(room.room_id), ALL, 0, LISTED_MAX)?;
    let found = newest.into_iter().map(|ranked| lottery::find(&room, &ranked.member));
    let lotteries: Vec<_> = found.collect::<Result<_, _>>()?;
    Ok(Lotteries { lotteries: lotteries.into_iter().flatten().map(|lottery| lottery.view()).collect() })
}

/// A lottery: what it promises, how far it is, who has won, and what is needed to compute the draw again.
#[route(GET "lotteries/{lotteryId}")]
pub(crate) fn show(room: Room<Settings>, Path(lottery_id): Path<String>) -> Result<View, Problem> {
    Ok(lottery::get(&room, &lottery_id)?.view())
}

/// The caller's chances.
#[route(GET "lotteries/{lotteryId}/entries/me")]
pub(crate) fn mine(caller: Caller, room: Room<Settings>, Path(lottery_id): Path<String>) -> Result<Mine, Problem> {
    let lottery = lottery::get(&room, &lottery_id)?;
    Ok(Mine { chances: chances_of(&lottery, caller.user_id)?, lottery_id })
}

/// The list of entrants with their chances, once entering is over, for 40 days.
#[route(GET "lotteries/{lotteryId}/entrants")]
pub(crate) fn entered(
    room: Room<Settings>,
    Path(lottery_id): Path<String>,
    Query(place): Query<Place>,
) -> Result<Page<Entrant, From>, Problem> {
    let lottery = lottery::get(&room, &lottery_id)?;
    if lottery.status == Status::Open {
        return Err(No::StillOpen {}.into());
    }
    entrants::page(&lottery, place.cursor.map(|Cursor(from)| from))
}
