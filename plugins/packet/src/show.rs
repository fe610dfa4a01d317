//! What everybody may see: packets, and who has which share. The secret is there once the packet has its outcome, and never before.

use std::time::Duration;

use greenroom_sdk::{Cursor, Now, Page, Path, Problem, Query, Room, Timer, answer, request, route, stored};

use crate::Alarm;
use crate::definition::{Definition, Outcome, PacketId, Share};
use crate::packet;
use crate::refusal::No;
use crate::rules::Settings;
use crate::table::{self, Row};

/// Entries of a page, if nothing is said and at most.
const PAGE: u32 = 20;
const PAGE_MAX: u32 = 100;
/// A close needs seconds; what has none so long after its time has lost its timer, or will not mind another one.
const OVERDUE_MS: u64 = 60_000;

/// Where a packet is in its life.
#[answer]
enum State {
    /// Its countdown runs.
    Announced,
    /// Shares can be grabbed.
    Open,
    /// No share can be grabbed.
    Closed,
}

/// A packet.
#[answer]
pub(crate) struct Shown {
    #[serde(flatten)]
    definition: Definition,
    state: State,
    /// How many shares are gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    grabbed: Option<u32>,
    /// What has become of it, once all is paid; with the secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<Outcome>,
}

/// Which packets.
#[request]
pub(crate) struct PacketsPart {
    /// 1 to 100; 20 if left out.
    #[schemars(range(min = 1, max = PAGE_MAX))]
    limit: Option<u32>,
    /// The last page's `nextCursor`.
    cursor: Option<Cursor<Before>>,
}

/// Which grabs.
#[request]
pub(crate) struct GrabsPart {
    /// 1 to 100; 20 if left out.
    #[schemars(range(min = 1, max = PAGE_MAX))]
    limit: Option<u32>,
    /// The last page's `nextCursor`.
    cursor: Option<Cursor<u32>>,
}

/// The last packet of a page.
#[stored]
pub(crate) struct Before {
    opens_at_ms: u64,
    packet_id: String,
}

/// Shows a packet; after the close with its outcome and the secret from which everybody can compute the shares.
#[route(GET "packets/{packetId}")]
pub(crate) fn one(Now(now_ms): Now, room: Room<Settings>, Path(packet_id): Path<PacketId>) -> Result<Shown, Problem> {
    let Some(packet) = packet::read_again(&packet_id)? else {
        let row = table::find(&packet_id)?.filter(|row| row.definition.room_id.get() == room.room_id);
        let row = row.ok_or(No::NotFound)?;
        if row.outcome.is_none() {
            end(&row)?;
        }
        return Ok(shown(row, now_ms));
    };
    if packet.definition().room_id.get() != room.room_id {
        return Err(No::NotFound.into());
    }
    let definition = packet.definition().clone();
    let is_closed = packet.closed_at_ms()?.is_some();
    let state = if is_closed { State::Closed } else { state(&definition, now_ms) };
    Ok(Shown { definition, state, grabbed: Some(packet.grabbed()?), outcome: packet.outcome()? })
}

/// Lists the room's packets, the last one first.
#[route(GET "packets")]
pub(crate) fn list(
    Now(now_ms): Now,
    room: Room<Settings>,
    Query(part): Query<PacketsPart>,
) -> Result<Page<Shown, Before>, Problem> {
    let limit = checked(part.limit)?;
    let before = part.cursor.map(|Cursor(before)| before);
    let before = before.unwrap_or(Before { opens_at_ms: u64::MAX, packet_id: String::new() });
    let mut rows = table::packets(room.room_id, (before.opens_at_ms, &before.packet_id), limit.saturating_add(1))?;
    let has_more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    for overdue in rows.iter().filter(|row| is_overdue(row, now_ms)) {
        end(overdue)?;
    }
    let last = rows.last().filter(|_| has_more).map(|row| &row.definition);
    let next_cursor = last.map(|definition| {
        Cursor(Before { opens_at_ms: definition.opens_at_ms, packet_id: definition.packet_id.to_string() })
    });
    Ok(Page { items: rows.into_iter().map(|row| shown(row, now_ms)).collect(), next_cursor })
}

/// Lists who has which share of a packet, the last one first.
#[route(GET "packets/{packetId}/grabs")]
pub(crate) fn grabs(
    room: Room<Settings>,
    Path(packet_id): Path<PacketId>,
    Query(part): Query<GrabsPart>,
) -> Result<Page<Share, u32>, Problem> {
    let limit = checked(part.limit)?;
    let before = part.cursor.map_or(u32::MAX, |Cursor(before)| before);
    let mut items = match packet::read_again(&packet_id)? {
        Some(packet) if packet.definition().room_id.get() == room.room_id => {
            packet.grabs(before.saturating_sub(1), limit.saturating_add(1))?
        }
        Some(_) => return Err(No::NotFound.into()),
        None => {
            let row = table::find(&packet_id)?.filter(|row| row.definition.room_id.get() == room.room_id);
            row.ok_or(No::NotFound)?;
            table::grabs(&packet_id, before, limit.saturating_add(1))?
        }
    };
    let has_more = items.len() > limit as usize;
    items.truncate(limit as usize);
    let next_cursor = items.last().filter(|_| has_more).map(|last| Cursor(last.number));
    Ok(Page { items, next_cursor })
}

fn checked(limit: Option<u32>) -> Result<u32, Problem> {
    let limit = limit.unwrap_or(PAGE);
    let fault = || Problem::invalid(format!("query: `limit` is {limit}; it may be 1 to {PAGE_MAX}"));
    (1..=PAGE_MAX).contains(&limit).then_some(limit).ok_or_else(fault)
}

/// Whether it should have its outcome long since. A cache that was lost has lost the timers, too.
fn is_overdue(row: &Row, now_ms: u64) -> bool {
    row.outcome.is_none() && now_ms >= row.definition.closes_at_ms.saturating_add(OVERDUE_MS)
}

/// Has a packet closed whose close was lost: whoever looks at it sees to it that the rest goes back.
fn end(row: &Row) -> Result<(), Problem> {
    Alarm::Close { packet_id: row.definition.packet_id.clone() }.ensure(Duration::ZERO)
}

fn shown(row: Row, now_ms: u64) -> Shown {
    let Row { definition, outcome } = row;
    let state = if outcome.is_some() { State::Closed } else { state(&definition, now_ms) };
    Shown { state, grabbed: outcome.as_ref().map(|outcome| outcome.grabbed), definition, outcome }
}

fn state(definition: &Definition, now_ms: u64) -> State {
    if now_ms < definition.opens_at_ms {
        State::Announced
    } else if now_ms < definition.closes_at_ms {
        State::Open
    } else {
        State::Closed
    }
}
