//! A packet whose sum is in the books is sealed and announced. Each step can be repeated, and is if a crash came between.

use std::time::Duration;

use greenroom_sdk::fair::Secret;
use greenroom_sdk::room::Priority;
use greenroom_sdk::{Now, Problem, Room, Timer};

use crate::Alarm;
use crate::definition::{Definition, PacketId, Sealed};
use crate::money::{self, Funding, GOLD};
use crate::packet::{self, Packet};
use crate::rules::Settings;
use crate::table;

/// Seals the packet, sets its timers, writes it down and announces it; the pushes are told once all that is durable.
///
/// # Errors
/// As the host has them; then it is to be done again.
pub(crate) fn open(funding: &Funding) -> Result<(), Problem> {
    let packet_id = &funding.packet_id;
    let Some(room) = Room::<Settings>::find(funding.room_id.get())? else {
        // Where the plugin is not enabled any more nobody could grab.
        return money::rest(packet_id, funding.pot, funding.from_user_id, funding.amount);
    };
    let Some(packet) = sealed(funding)? else {
        // It was open once, and the cache has lost it: the close gives back what is left.
        return Alarm::Close { packet_id: packet_id.clone() }.ensure_in(room.room_id, Duration::ZERO);
    };
    let Definition { opens_at_ms, closes_at_ms, .. } = *packet.definition();
    let left = |until_ms: u64| Duration::from_millis(until_ms.saturating_sub(Now::of_this_call().0));
    Alarm::Close { packet_id: packet_id.clone() }.ensure_in(room.room_id, left(closes_at_ms))?;
    if left(opens_at_ms).is_zero() {
        table::open(&packet.sealed)?;
        return push(&room, &packet, "packet.opened");
    }
    Alarm::Open { packet_id: packet_id.clone() }.ensure_in(room.room_id, left(opens_at_ms))?;
    table::open(&packet.sealed)?;
    push(&room, &packet, "packet.announced")
}

/// The countdown is over.
///
/// # Errors
/// As the host has them.
pub(crate) fn tell(room: &Room<Settings>, packet_id: &PacketId) -> Result<(), Problem> {
    match packet::find(packet_id)? {
        Some(packet) if packet.closed_at_ms()?.is_none() => push(room, &packet, "packet.opened"),
        _ => Ok(()),
    }
}

fn push(room: &Room<Settings>, packet: &Packet, event: &str) -> Result<(), Problem> {
    let definition = packet.definition();
    room.broadcast(&format!("{}/{event}", definition.packet_id), event, definition, Priority::High)
}

/// The packet as it was sealed, now or before; none if it is known but not in the cache any more.
fn sealed(funding: &Funding) -> Result<Option<std::rc::Rc<Packet>>, Problem> {
    let packet_id = &funding.packet_id;
    if let Some(known) = packet::find(packet_id)? {
        return Ok(Some(known));
    }
    if table::is_known(packet_id)? {
        return Ok(None);
    }
    packet::seal(&fresh(funding, Now::of_this_call().0)?)?;
    let found = packet::find(packet_id)?;
    found.map(Some).ok_or_else(|| Problem::unavailable(format!("packet {packet_id} is not in the cache yet")))
}

/// With a secret of its own. The countdown begins now: everybody has the whole of it, however late the books were.
fn fresh(funding: &Funding, now_ms: u64) -> Result<Sealed, Problem> {
    let secret = Secret::new()?;
    let opens_at_ms = now_ms.saturating_add(funding.opens_in_ms);
    let definition = Definition {
        packet_id: funding.packet_id.clone(),
        room_id: funding.room_id,
        from_user_id: funding.from_user_id,
        kind: funding.kind,
        asset_type: GOLD,
        amount: funding.amount,
        shares: funding.shares,
        min_level: funding.min_level,
        message: funding.message.clone(),
        opens_at_ms,
        closes_at_ms: opens_at_ms.saturating_add(funding.lasts_ms),
        commitment: secret.commitment(),
    };
    Ok(Sealed { definition, secret, pot: funding.pot })
}
