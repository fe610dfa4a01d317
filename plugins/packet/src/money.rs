//! Accounts, payments and books of packets.
//!
//! Three kinds of events: `fund` takes the sum from who gives it into the packet's pot, `share` pays a share from the pot, `rest` gives the rest
//! back. The event ids of the pot's payments name what is paid, so each is made once, whoever asks and however often.

use greenroom_sdk::{Amount, Id, Message, Problem, Transfer, Verdict, ledger, read_json, stored};

use crate::definition::{Kind, PacketId};
use crate::open;

const TOPIC: &str = "packet.money";
/// Gold coins.
pub(crate) const GOLD: u32 = 1;

/// What an event says; it is in the books, too, which its payer may read. No secrets in it.
#[stored]
pub(crate) enum Payload {
    Fund(Funding),
    Share { packet_id: PacketId, number: u32, user_id: Id },
    Rest { packet_id: PacketId, user_id: Id },
}

/// A packet that somebody pays for.
#[stored]
pub(crate) struct Funding {
    pub(crate) packet_id: PacketId,
    pub(crate) room_id: Id,
    pub(crate) from_user_id: Id,
    pub(crate) pot: i64,
    pub(crate) kind: Kind,
    pub(crate) amount: Amount,
    pub(crate) shares: u32,
    pub(crate) min_level: u32,
    pub(crate) message: String,
    pub(crate) opens_in_ms: u64,
    pub(crate) lasts_ms: u64,
}

/// An account of gold.
pub(crate) const fn gold(user_id: i64) -> ledger::Account {
    ledger::Account { user_id, asset_type: GOLD }
}

/// The packet's pot.
pub(crate) fn pot(packet_id: &PacketId) -> Result<i64, ledger::Error> {
    ledger::pot(&format!("packet/{packet_id}"))
}

/// Takes the sum from who gives it, who is the caller.
pub(crate) fn fund(
    event_id: &str,
    content: Vec<u8>,
    funding: Funding,
    counters: Vec<ledger::Counter>,
) -> Result<ledger::HoldOutcome, ledger::Error> {
    let (event_id, topic) = (event_id.into(), TOPIC.into());
    let (payer, amount) = (gold(funding.from_user_id.get()), funding.amount.get());
    let payload = payload(&Payload::Fund(funding))?;
    ledger::hold(&ledger::HoldRequest { event_id, payer, amount, content, topic, payload, counters })
}

/// Pays a share to the one with its number, once.
pub(crate) fn share(
    packet_id: &PacketId,
    pot: i64,
    number: u32,
    user_id: Id,
    amount: Amount,
) -> Result<ledger::HoldOutcome, ledger::Error> {
    let event_id = format!("packet:{packet_id}:{number}");
    let content = format!("share {number} to {user_id}");
    pay(event_id, content, pot, amount, &Payload::Share { packet_id: packet_id.clone(), number, user_id })
}

/// Gives so much back, once; nothing is nothing to do.
pub(crate) fn rest(packet_id: &PacketId, pot: i64, user_id: Id, amount: Amount) -> Result<(), Problem> {
    if amount == Amount::ZERO {
        return Ok(());
    }
    let rest = Payload::Rest { packet_id: packet_id.clone(), user_id };
    pay(rest_id(packet_id), rest_content(user_id), pot, amount, &rest)?;
    Ok(())
}

/// What was given back.
pub(crate) fn returned(packet_id: &PacketId, pot: i64, user_id: Id) -> Result<Amount, Problem> {
    let found = ledger::find(gold(pot), &rest_id(packet_id), rest_content(user_id).as_bytes())?;
    Ok(found.map_or(Amount::ZERO, |outcome| Amount::new(outcome.amount)))
}

fn rest_id(packet_id: &PacketId) -> String {
    format!("packet:{packet_id}:rest")
}

fn rest_content(user_id: Id) -> String {
    format!("rest to {user_id}")
}

/// What can still be paid from a pot.
pub(crate) fn left(pot: i64) -> Result<Amount, Problem> {
    Ok(Amount::new(ledger::get_balance(gold(pot))?.spendable))
}

fn pay(
    event_id: String,
    content: String,
    pot: i64,
    amount: Amount,
    what: &Payload,
) -> Result<ledger::HoldOutcome, ledger::Error> {
    let payload = payload(what)?;
    ledger::hold(&ledger::HoldRequest {
        event_id,
        payer: gold(pot),
        amount: amount.get(),
        content: content.into_bytes(),
        topic: TOPIC.into(),
        payload,
        counters: Vec::new(),
    })
}

fn payload(what: &Payload) -> Result<Vec<u8>, ledger::Error> {
    serde_json::to_vec(what).map_err(|e| ledger::Error::Other(format!("payload: {e}")))
}

/// The consumer: writes the books, and opens the packets whose sums are in them.
pub(crate) fn settle(batch: Vec<Message>) -> Vec<Verdict> {
    greenroom_sdk::settle(&batch, transfer, |message| match read(message) {
        Ok(Payload::Fund(funding)) => open::open(&funding),
        _ => Ok(()),
    })
}

fn read(message: &Message) -> Result<Payload, String> {
    read_json(&message.payload).map_err(|e| format!("payload: {e}"))
}

/// Where the money of an event goes: all that is held, to one account.
fn transfer(message: &Message) -> Result<Transfer, String> {
    let held = Amount::new(message.held.as_ref().ok_or("the event holds nothing")?.amount);
    Ok(match read(message)? {
        Payload::Fund(Funding { packet_id, pot, .. }) => {
            Transfer::new("packetFund", packet_id.to_string()).to(pot, held)
        }
        Payload::Share { packet_id, user_id, .. } => {
            Transfer::new("packetShare", packet_id.to_string()).to(user_id.get(), held)
        }
        Payload::Rest { packet_id, user_id } => {
            Transfer::new("packetRest", packet_id.to_string()).to(user_id.get(), held)
        }
    })
}

#[cfg(test)]
mod tests {
    use greenroom_sdk::{EventId, Held};

    use super::*;

    fn message(what: &Payload, held: Option<i64>) -> Message {
        Message {
            topic: TOPIC.into(),
            partition: 0,
            offset: 1,
            event_id: "e1".into(),
            payer: -1_000_001,
            room_id: 5,
            at_ms: 0,
            attempt: 1,
            held: held.map(|amount| Held { asset_type: GOLD, amount, balance: 0, counters: Vec::new() }),
            payload: payload(what).unwrap(),
        }
    }

    #[test]
    fn all_that_is_held_goes_to_the_one_whom_the_event_names() {
        let packet_id = PacketId::of(1, &EventId::new("e").unwrap());
        let user_id = Id::new(1001).unwrap();
        let share = Payload::Share { packet_id: packet_id.clone(), number: 3, user_id };
        let to = |kind: &str, user| Transfer::new(kind, packet_id.to_string()).to(user, Amount::new(40));
        assert_eq!(transfer(&message(&share, Some(40))), Ok(to("packetShare", 1001)));
        let rest = Payload::Rest { packet_id: packet_id.clone(), user_id };
        assert_eq!(transfer(&message(&rest, Some(40))), Ok(to("packetRest", 1001)));
        assert!(transfer(&message(&rest, None)).is_err());
        let nonsense = Message { payload: b"{}".to_vec(), ..message(&rest, Some(40)) };
        assert!(transfer(&nonsense).is_err());
    }
}
