//! `POST packets/{packetId}/grabs`: somebody takes a share. No event id: who has a share has that one, whatever is repeated.

use std::time::Duration;

use greenroom_sdk::room::Priority;
use greenroom_sdk::{Amount, Caller, Id, Now, Path, Problem, Room, Timer, answer, ledger, logging, route, tell_every};

use crate::Alarm;
use crate::definition::{Definition, PacketId};
use crate::money;
use crate::packet::{self, Entered, Packet};
use crate::refusal::No;
use crate::rules::{self, Grabber, Settings};

/// How often the room is told at most how many shares are gone.
const TALLY: Duration = Duration::from_millis(500);

/// What the caller has got.
#[answer]
pub(crate) struct Grabbed {
    packet_id: PacketId,
    /// 1 for the first who came.
    number: u32,
    asset_type: u32,
    amount: Amount,
    /// True if it was paid before.
    replayed: bool,
}

/// The data of the push `packet.tally`.
#[answer]
struct Tally {
    packet_id: PacketId,
    grabbed: u32,
    shares: u32,
}

/// Grabs a share of a packet. Who has one is answered with it again, also after the close.
#[route(POST "packets/{packetId}/grabs", roles(viewer, streamer))]
pub(crate) fn grab(
    caller: Caller,
    Now(now_ms): Now,
    room: Room<Settings>,
    Path(packet_id): Path<PacketId>,
) -> Result<Grabbed, Problem> {
    let packet = packet::of_room(&packet_id, room.room_id)?;
    let number = number(&packet, &room.config, caller, now_ms)?;
    let amount = packet.share(number)?;
    let user_id = Id::new(caller.user_id).ok_or_else(|| Problem::failed("the caller has no id"))?;
    let paid = money::share(&packet_id, packet.sealed.pot, number, user_id, amount).map_err(|error| match error {
        ledger::Error::EventIdReused => No::Lost.into(),
        ledger::Error::InsufficientBalance(_) => Problem::overloaded("the packet is being filled; try again"),
        other => other.into(),
    })?;
    if !paid.replayed
        && let Err(problem) = follow(&room, packet.definition(), number)
    {
        // The share is paid: the timers of the close make up for it.
        logging::log(logging::Level::Warn, "grab", &format!("not followed up: {}", problem.detail));
    }
    let asset_type = packet.definition().asset_type;
    Ok(Grabbed { packet_id, number, asset_type, amount, replayed: paid.replayed })
}

/// The caller's number, now or before.
fn number(packet: &Packet, settings: &Settings, caller: Caller, now_ms: u64) -> Result<u32, Problem> {
    let definition = packet.definition();
    let grabber = Grabber { user_id: caller.user_id, level: caller.level };
    let refusal = match rules::may_grab(settings, definition, grabber, now_ms) {
        Err(no @ No::NotOpen { .. }) => return Err(no.into()),
        Err(no) => no,
        Ok(()) => match packet.enter(caller.user_id)? {
            Entered::Number(number) => return Ok(number),
            // Nobody who is in is told that it is full.
            Entered::Full => return Err(No::Empty { shares: definition.shares }.into()),
            Entered::Closed => No::Closed,
        },
    };
    match packet.entered(caller.user_id)? {
        Some(number) => Ok(number),
        // The last share closes the packet; who comes then is too late for a share, not for the time.
        None if refusal == No::Closed && packet.grabbed()? == definition.shares => {
            Err(No::Empty { shares: definition.shares }.into())
        }
        None => Err(refusal.into()),
    }
}

/// Tells the room soon; the last share ends the packet at once.
fn follow(room: &Room<Settings>, definition: &Definition, number: u32) -> Result<(), Problem> {
    let packet_id = definition.packet_id.clone();
    if number == definition.shares {
        return Alarm::Close { packet_id }.ensure(Duration::ZERO);
    }
    tell_every(TALLY, room.room_id, &Alarm::Tally { packet_id })
}

/// How many shares are gone.
///
/// # Errors
/// As the host has them.
pub(crate) fn tell(room: &Room<Settings>, packet_id: &PacketId) -> Result<(), Problem> {
    let Some(packet) = packet::find(packet_id)? else { return Ok(()) };
    let grabbed = packet.grabbed()?;
    let tally = Tally { packet_id: packet_id.clone(), grabbed, shares: packet.definition().shares };
    room.broadcast(&format!("{packet_id}/{grabbed}"), "packet.tally", &tally, Priority::Low)
}
