//! `POST packets`: somebody gives a packet. The sum is held here; the packet is opened once the books have it.

use greenroom_sdk::{
    Amount, Body, Caller, EventId, Id, Now, Problem, Request, Room, answer, ledger, positive_amount, request, route,
};
use serde_json::json;

use crate::definition::{Kind, PacketId};
use crate::money::{self, Funding, gold};
use crate::rules::{self, SHARES_MAX, Settings, Wanted};

const MINUTE_MS: u64 = 60_000;

/// A packet that somebody wants to give.
#[request]
pub(crate) struct Ask {
    event_id: EventId,
    kind: Kind,
    /// What all shares are together.
    #[schemars(schema_with = "positive_amount")]
    amount: Amount,
    #[schemars(range(min = 1, max = SHARES_MAX))]
    shares: u32,
    /// The countdown before it opens, in milliseconds; none if left out.
    #[serde(default)]
    opens_in_ms: u64,
    /// How long it stays open, in milliseconds; as long as the room allows if left out.
    lasts_ms: Option<u64>,
    /// Who grabs has this level at least.
    #[serde(default)]
    min_level: u32,
    /// Shown with it.
    #[serde(default)]
    #[schemars(length(max = 100))]
    message: String,
}

/// A packet that is paid for. It opens once the books have its sum: the push `packet.opened` tells when.
#[answer]
pub(crate) struct Given {
    event_id: EventId,
    packet_id: PacketId,
    asset_type: u32,
    amount: Amount,
    /// What could be spent right after.
    balance: Amount,
    /// True if this event id was answered before.
    replayed: bool,
}

/// Gives a packet: takes the sum from the caller, and opens the packet once that is in the books. Repeating the event id repeats the answer.
///
/// Not `live`: a repeated request has its old answer after the stream, too.
#[route(POST "packets", roles(viewer, streamer))]
pub(crate) fn fund(
    request: &Request,
    caller: Caller,
    Now(now_ms): Now,
    room: Room<Settings>,
    Body(ask): Body<Ask>,
) -> Result<Given, Problem> {
    request.check_idempotency_key(&ask.event_id)?;
    let content = ask.content(room.room_id);
    // What is refused today was not when it was first asked for.
    if let Some(outcome) = ledger::find(gold(caller.user_id), &ask.event_id, &content)? {
        return Ok(ask.given(caller, &outcome));
    }
    let wanted = ask.wanted();
    let lasts_ms = rules::check(&room.config, wanted)?;
    room.stream()?;
    // Before a pot is made: who cannot pay makes none.
    let spendable = ledger::get_balance(gold(caller.user_id))?.spendable;
    if spendable < ask.amount.get() {
        let shortage = ledger::Shortage { balance: spendable, needed: ask.amount.get() };
        return Err(ledger::Error::InsufficientBalance(shortage).into());
    }
    let funding = ask.funding(caller, room.room_id, lasts_ms)?;
    let caps = cap(room.room_id, now_ms, room.config.per_minute_cap);
    let outcome = money::fund(&ask.event_id, content, funding, caps).map_err(|error| match error {
        ledger::Error::LimitReached(_) => too_often(now_ms),
        other => other.into(),
    })?;
    Ok(ask.given(caller, &outcome))
}

/// The caller's packets in this minute.
fn cap(room_id: i64, now_ms: u64, per_minute: u32) -> Vec<ledger::Counter> {
    let key = format!("minute/{room_id}/{}", now_ms / MINUTE_MS);
    let counter = ledger::Counter { key, delta: 1, max: Some(i64::from(per_minute)), ttl_ms: 60_000 };
    if per_minute == 0 { Vec::new() } else { vec![counter] }
}

fn too_often(now_ms: u64) -> Problem {
    let left_ms = MINUTE_MS - now_ms % MINUTE_MS;
    let left_ms = u32::try_from(left_ms).unwrap_or(u32::MAX);
    Problem::rate_limited("too many packets in this minute; give the next one later", left_ms)
}

impl Ask {
    fn wanted(&self) -> Wanted {
        let &Self { kind, amount, shares, opens_in_ms, lasts_ms, .. } = self;
        Wanted { kind, amount, shares, opens_in_ms, lasts_ms }
    }

    /// All that was asked for, and where.
    fn content(&self, room_id: i64) -> Vec<u8> {
        let Self { kind, amount, shares, opens_in_ms, lasts_ms, min_level, message, .. } = self;
        json!([room_id, kind, amount, shares, opens_in_ms, lasts_ms, min_level, message]).to_string().into_bytes()
    }

    fn funding(&self, caller: Caller, room_id: i64, lasts_ms: u64) -> Result<Funding, Problem> {
        let id = |value: i64| Id::new(value).ok_or_else(|| Problem::failed(format!("{value} is no id")));
        let packet_id = PacketId::of(caller.user_id, &self.event_id);
        Ok(Funding {
            pot: money::pot(&packet_id)?,
            packet_id,
            room_id: id(room_id)?,
            from_user_id: id(caller.user_id)?,
            kind: self.kind,
            amount: self.amount,
            shares: self.shares,
            min_level: self.min_level,
            message: self.message.clone(),
            opens_in_ms: self.opens_in_ms,
            lasts_ms,
        })
    }

    fn given(&self, caller: Caller, outcome: &ledger::HoldOutcome) -> Given {
        Given {
            event_id: self.event_id.clone(),
            packet_id: PacketId::of(caller.user_id, &self.event_id),
            asset_type: money::GOLD,
            amount: Amount::new(outcome.amount),
            balance: Amount::new(outcome.balance),
            replayed: outcome.replayed,
        }
    }
}
