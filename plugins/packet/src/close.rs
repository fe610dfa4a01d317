//! The end of a packet, at its time, when its last share is gone, or by hand.
//!
//! First the mark, after which nobody is numbered: from then on it is known who gets what. Then everybody who came is paid, again and in
//! pieces: what was paid before stays so, and what a crash left out is made up for. Last the rest goes back, and the secret is public.

use std::time::Duration;

use greenroom_sdk::room::Priority;
use greenroom_sdk::{Amount, Id, Now, Path, Problem, Room, Timer, answer, ledger, route};

use crate::Alarm;
use crate::definition::{Definition, Outcome, PacketId, Sealed};
use crate::money;
use crate::packet::{self, Packet};
use crate::rules::Settings;
use crate::table;

/// Payments of one call: each is a host call, of which a call may make 1,000.
const PAGE: u32 = 500;

/// Closes a packet before its time: nobody grabs any more, and what is left goes back.
#[route(POST "packets/{packetId}/close", roles(streamer, operator))]
pub(crate) fn close_early(room: Room<Settings>, Path(packet_id): Path<PacketId>) -> Result<(), Problem> {
    let packet = packet::of_room(&packet_id, room.room_id)?;
    packet.close()?;
    Alarm::Close { packet_id }.ensure(Duration::ZERO)
}

/// Ends the grabs, and begins to pay.
///
/// # Errors
/// As the host has them; then it is to be done again.
pub(crate) fn close(room: &Room<Settings>, packet_id: &PacketId) -> Result<(), Problem> {
    let Some(packet) = packet::read_again(packet_id)? else { return salvage(room, packet_id) };
    packet.close()?;
    match packet.outcome()? {
        // A crash may have come before the push; within the room's history it is shown once.
        Some(outcome) => tell(room, packet.definition(), outcome),
        None => page(room, &packet, 0),
    }
}

/// Goes on to pay, after so many of those who came.
///
/// # Errors
/// As the host has them; then it is to be done again.
pub(crate) fn pay(room: &Room<Settings>, packet_id: &PacketId, after: u32) -> Result<(), Problem> {
    match packet::read_again(packet_id)? {
        Some(packet) => page(room, &packet, after),
        None => salvage(room, packet_id),
    }
}

/// Pays and writes down some of those who came, the last one first; the next timer does the others.
fn page(room: &Room<Settings>, packet: &Packet, after: u32) -> Result<(), Problem> {
    let packet_id = &packet.definition().packet_id;
    let grabbed = packet.grabbed()?;
    let mut paid = Vec::new();
    for grab in packet.grabs(grabbed.saturating_sub(after), PAGE)? {
        match money::share(packet_id, packet.sealed.pot, grab.number, grab.user_id, grab.amount) {
            Ok(_) => paid.push(grab),
            // A failure of the cache gave the number twice, and it was paid to whom it was given first.
            Err(ledger::Error::EventIdReused) => {}
            Err(error) => return Err(error.into()),
        }
    }
    table::put_grabs(packet_id, &paid)?;
    let after = after.saturating_add(PAGE);
    if after < grabbed {
        return Alarm::Pay { packet_id: packet_id.clone(), after }.set(Duration::ZERO);
    }
    end(room, packet, grabbed)
}

/// Gives back what nobody has grabbed, and says what has become of the packet.
fn end(room: &Room<Settings>, packet: &Packet, grabbed: u32) -> Result<(), Problem> {
    let (closed_at_ms, best) = (packet.close()?, packet.best(grabbed)?);
    let outcome =
        Outcome { closed_at_ms, grabbed, returned: give_back(&packet.sealed)?, best, secret: packet.sealed.secret };
    table::close(&packet.definition().packet_id, &outcome)?;
    packet.end(&outcome)?;
    tell(room, packet.definition(), outcome)
}

/// Everything that nobody was paid. Once all shares are paid that is the sum of the others, and where a failure of the cache has
/// forgotten some it is never more than there is.
fn give_back(sealed: &Sealed) -> Result<Amount, Problem> {
    let Sealed { definition, pot, .. } = sealed;
    money::rest(&definition.packet_id, *pot, definition.from_user_id, money::left(*pot)?)?;
    money::returned(&definition.packet_id, *pot, definition.from_user_id)
}

/// The cache has lost the packet, with who came. Whoever was answered is paid; everything else goes back.
fn salvage(room: &Room<Settings>, packet_id: &PacketId) -> Result<(), Problem> {
    let Some(sealed) = table::lost(packet_id)? else { return Ok(()) };
    let packet = Packet::new(sealed);
    let returned = give_back(&packet.sealed)?;
    let grabbed = packet.grabbed_of(returned);
    let secret = packet.sealed.secret;
    let outcome = Outcome { closed_at_ms: Now::of_this_call().0, grabbed, returned, best: None, secret };
    table::close(packet_id, &outcome)?;
    tell(room, packet.definition(), outcome)
}

/// The data of the push `packet.closed`.
#[answer]
struct Closed<'a> {
    packet_id: &'a PacketId,
    from_user_id: Id,
    amount: Amount,
    shares: u32,
    #[serde(flatten)]
    outcome: Outcome,
}

fn tell(room: &Room<Settings>, definition: &Definition, outcome: Outcome) -> Result<(), Problem> {
    let &Definition { ref packet_id, from_user_id, amount, shares, .. } = definition;
    let closed = Closed { packet_id, from_user_id, amount, shares, outcome };
    room.broadcast(&format!("{packet_id}/closed"), "packet.closed", &closed, Priority::High)
}
