//! The room's last messages, for those who enter: a ring of as many slots as are kept.
//!
//! A message's number comes from a counter of the room, and its slot is the number modulo the ring's length, so that many write at once
//! without waiting for each other. A slot never goes back: whoever comes late with an older message leaves the newer one where it is. What
//! a moderator removed leaves its number in the slot, so that a writer who is late does not bring it back. A number stays unused if one
//! viewer sends several requests at once, of which fewer become messages; the slot then keeps the message that it has.

use std::time::Duration;

use greenroom_sdk::{
    Caller, Id, Now, Problem, Query, Room, Step, Stopped, answer, cache, read_json, request, route, stored,
};

use crate::TRIES;
use crate::moderation::{self, Held};
use crate::refusal::No;
use crate::settings::{HISTORY_LEN_MAX, Settings};

/// A message is forgotten so long after it was said.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// The count of a second is of no use after it, on any host's clock.
const SECOND_KEPT: Duration = Duration::from_secs(10);
/// A writer who is refused because of the room comes back after so long.
const BUSY_RETRY_MS: u32 = 1_000;

/// What somebody said, as everybody reads it.
#[derive(Eq)]
#[stored]
pub(crate) struct Said {
    /// Grows with each message of the room; some numbers may be missing.
    pub(crate) number: i64,
    pub(crate) user_id: Id,
    /// As it is shown: with stars in place of words that are not to be seen.
    pub(crate) text: String,
    /// Milliseconds since the Unix epoch, by the host's clock.
    pub(crate) at_ms: u64,
}

/// A place in the ring.
#[derive(Eq)]
#[stored]
struct Slot {
    number: i64,
    /// None if it was removed.
    said: Option<Said>,
}

/// Where the room's numbers and messages are.
fn shard(room_id: i64) -> String {
    format!("room/{room_id}")
}

fn slot_key(number: i64, settings: &Settings) -> String {
    format!("slot/{}", number.rem_euclid(i64::from(settings.history_len.max(1))))
}

/// The number of the room's next message. It may be left unused.
pub(crate) fn next_number(room_id: i64) -> Result<i64, Problem> {
    let numbers = Step::in_shard(shard(room_id)).add("number", 1, None).commit()?.unwrap_or_default();
    numbers.first().copied().ok_or_else(|| Problem::failed("the cache gave no number"))
}

/// Puts a message into the ring, and counts it in the room's second if it is new there; may be repeated. Gives whether it is still to be
/// seen: not if a moderator was faster.
///
/// # Errors
/// 429 if the room takes no more in this second; nothing was done then.
pub(crate) fn keep(room_id: i64, said: &Said, now_ms: u64, settings: &Settings) -> Result<bool, Problem> {
    let slot = Slot { number: said.number, said: Some(said.clone()) };
    let there = write(room_id, &slot, settings, Some(now_ms / 1_000), |there| there.number >= slot.number)?;
    Ok(there.is_none_or(|there| there.number > slot.number || there.said.is_some()))
}

/// Whether a moderator has removed a message, as far as the ring still knows.
pub(crate) fn is_removed(room_id: i64, number: i64, settings: &Settings) -> Result<bool, Problem> {
    let there = cache::get(&shard(room_id), &slot_key(number, settings))?.as_deref().map(read).transpose()?;
    Ok(there.is_some_and(|there| there.number == number && there.said.is_none()))
}

/// Takes a message out of the ring; may be repeated.
///
/// # Errors
/// 404 for a number that no message has had yet.
pub(crate) fn remove(room_id: i64, number: i64, settings: &Settings) -> Result<(), Problem> {
    if number > cache::get_counter(&shard(room_id), "number")? {
        return Err(No::Unsaid { number }.into());
    }
    let removed = Slot { number, said: None };
    write(room_id, &removed, settings, None, |there| there.number > number || *there == removed).map(drop)
}

/// Writes a slot unless what is there stays, which is given then. What counts in a second is refused if that is full.
fn write(
    room_id: i64,
    slot: &Slot,
    settings: &Settings,
    second: Option<u64>,
    stays: impl Fn(&Slot) -> bool,
) -> Result<Option<Slot>, Problem> {
    let (shard, key) = (shard(room_id), slot_key(slot.number, settings));
    for _ in 0..TRIES {
        let seen = cache::get(&shard, &key)?;
        let there = seen.as_deref().map(read).transpose()?;
        if there.as_ref().is_some_and(&stays) {
            return Ok(there);
        }
        let mut step = Step::in_shard(shard.clone()).expect(key.clone(), seen).put(key.clone(), slot, Some(KEPT))?;
        if let Some(second) = second.filter(|_| settings.room_per_second_max > 0) {
            step =
                step.lasting(SECOND_KEPT).add(format!("second/{second}"), 1, Some(settings.room_per_second_max.into()));
        }
        match step.commit()? {
            Ok(_) => return Ok(None),
            Err(Stopped::Check(_)) => {}
            Err(Stopped::Limit(_)) => return Err(No::RoomBusy { retry_after_ms: BUSY_RETRY_MS }.into()),
        }
    }
    Err(Problem::overloaded("many write in this room at once; try again"))
}

fn read(bytes: &[u8]) -> Result<Slot, Problem> {
    read_json(bytes).map_err(|e| Problem::failed(format!("a message of the history: {e}")))
}

#[request]
pub(crate) struct Asked {
    /// So many of the last messages; all that are kept if left out.
    #[schemars(range(min = 1, max = HISTORY_LEN_MAX))]
    limit: Option<u32>,
}

#[answer]
pub(crate) struct History {
    /// The oldest first.
    messages: Vec<Said>,
    /// Whether the caller may write.
    me: Held,
}

/// The room's last messages, the oldest first, and whether the caller is muted or banned: what a viewer who enters needs.
#[route(GET "chat/messages")]
pub(crate) fn list(
    Query(asked): Query<Asked>,
    caller: Caller,
    Now(now_ms): Now,
    room: Room<Settings>,
) -> Result<History, Problem> {
    let limit = asked.limit.unwrap_or(HISTORY_LEN_MAX);
    if !(1..=HISTORY_LEN_MAX).contains(&limit) {
        return Err(Problem::invalid(format!("query: `limit` must be from 1 to {HISTORY_LEN_MAX}")));
    }
    let shard = shard(room.room_id);
    let slots = (0..i64::from(room.config.history_len)).map(|number| (shard.clone(), slot_key(number, &room.config)));
    let values = cache::get_many(&slots.collect::<Vec<_>>())?;
    let slots = values.iter().flatten().map(|bytes| read(bytes)).collect::<Result<Vec<_>, _>>()?;
    Ok(History { messages: last(slots, limit), me: moderation::held(caller, now_ms, room.room_id)? })
}

/// The last messages of a ring's slots, the oldest first.
fn last(slots: Vec<Slot>, limit: u32) -> Vec<Said> {
    let mut messages: Vec<Said> = slots.into_iter().filter_map(|slot| slot.said).collect();
    messages.sort_unstable_by_key(|said| said.number);
    let surplus = messages.len().saturating_sub(usize::try_from(limit).unwrap_or(usize::MAX));
    messages.drain(..surplus);
    messages
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn slot(number: i64, is_removed: bool) -> Slot {
        let said = Said { number, user_id: Id::new(1).unwrap(), text: "hello".into(), at_ms: 0 };
        Slot { number, said: (!is_removed).then_some(said) }
    }

    proptest! {
        #[test]
        fn a_ring_has_the_last_messages_in_order_without_those_removed(
            said in 0_i64..300,
            history_len in 1_u32..=HISTORY_LEN_MAX,
            limit in 1_u32..=HISTORY_LEN_MAX,
            removed_every in 2_i64..10,
        ) {
            let settings = Settings { history_len, ..Settings::default() };
            let mut ring = std::collections::BTreeMap::new();
            for number in 1..=said {
                ring.insert(slot_key(number, &settings), slot(number, number % removed_every == 0));
            }
            let numbers: Vec<i64> = last(ring.into_values().collect(), limit).iter().map(|said| said.number).collect();
            let kept = (said - i64::from(history_len) + 1).max(1)..=said;
            let mut expected: Vec<i64> = kept.filter(|number| number % removed_every != 0).collect();
            expected.drain(..expected.len().saturating_sub(limit as usize));
            prop_assert_eq!(numbers, expected);
        }
    }
}
