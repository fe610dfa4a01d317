//! Books of events whose held money goes to others: written for a batch at a time, each event once.

use crate::{Amount, Message, Problem, Verdict, ledger, logging};

/// Live streaming, in the ledger's numbering.
const BIZ_LIVE: u32 = 1;
/// How long the host waits before it brings a message again whose books or whose follow-up failed.
const RETRY_MS: u32 = 500;

/// Where the money of one event goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    event_type: String,
    obj_id: String,
    receivers: Vec<(i64, Amount)>,
}

impl Transfer {
    /// Of a kind such as `lotteryTicket` (at most 32 characters), about a thing such as the lottery's id (at most 64).
    #[must_use]
    pub fn new(event_type: &str, obj_id: impl Into<String>) -> Self {
        Self { event_type: event_type.into(), obj_id: obj_id.into(), receivers: Vec::new() }
    }

    /// So much of what is held goes to a user, a pot or the platform (-2); to nobody twice, and all of it to somebody: at most 63 of them.
    #[must_use]
    pub fn to(mut self, user_id: i64, amount: Amount) -> Self {
        self.receivers.push((user_id, amount));
        self
    }

    fn posting(self, message: &Message) -> Result<ledger::Posting, String> {
        let held = message.held.as_ref().ok_or("the event holds nothing")?;
        let record_json = String::from_utf8(message.payload.clone()).map_err(|e| format!("payload: {e}"))?;
        let sum = self.receivers.iter().try_fold(Amount::ZERO, |sum, (_, amount)| sum.plus(*amount));
        if sum.map(Amount::get) != Ok(held.amount) || self.receivers.iter().any(|(_, amount)| amount.get() < 0) {
            return Err(format!("{} is held, which is not what the receivers get", held.amount));
        }
        let entry = |user_id: i64, part: ledger::Part, delta: i64| {
            let account = ledger::Account { user_id, asset_type: held.asset_type };
            ledger::Entry { account, part, delta }
        };
        let mut entries = vec![entry(message.payer, ledger::Part::Payer, -held.amount)];
        for (user_id, amount) in self.receivers.into_iter().filter(|(_, amount)| *amount != Amount::ZERO) {
            let part = if user_id < 0 { ledger::Part::System } else { ledger::Part::Receiver };
            entries.push(entry(user_id, part, amount.get()));
        }
        Ok(ledger::Posting {
            event_id: message.event_id.clone(),
            payer: message.payer,
            entries,
            biz_id: message.room_id.to_string(),
            biz_type: BIZ_LIVE,
            obj_id: self.obj_id,
            event_type: self.event_type,
            record_json,
        })
    }
}

/// Writes the books of a batch in one call: `transfer` says where the money of a message goes, or why the message can never be
/// settled. `then` is called for each message whose books are written, now or by an earlier try, and does what follows from that; if it
/// fails, the message comes again, so it must be able to be repeated. Gives the batch's verdicts.
pub fn settle(
    batch: &[Message],
    transfer: impl Fn(&Message) -> Result<Transfer, String>,
    then: impl Fn(&Message) -> Result<(), Problem>,
) -> Vec<Verdict> {
    let books: Vec<Result<ledger::Posting, String>> =
        batch.iter().map(|message| transfer(message).and_then(|transfer| transfer.posting(message))).collect();
    let postings: Vec<ledger::Posting> = books.iter().filter_map(|books| books.clone().ok()).collect();
    let outcomes = if postings.is_empty() { Ok(Vec::new()) } else { ledger::post(&postings) };
    let mut outcomes = outcomes.unwrap_or_default().into_iter();
    let verdicts = batch.iter().zip(books).map(|(message, books)| match books {
        Err(reason) => Verdict::Reject(reason),
        Ok(_) => match outcomes.next() {
            None => Verdict::RetryAfter(RETRY_MS),
            Some(ledger::PostOutcome::Refused(reason)) => Verdict::Reject(reason),
            Some(ledger::PostOutcome::Voided) => Verdict::Ack,
            Some(ledger::PostOutcome::Posted | ledger::PostOutcome::Duplicate) => followed(message, &then),
        },
    });
    verdicts.collect()
}

fn followed(message: &Message, then: &impl Fn(&Message) -> Result<(), Problem>) -> Verdict {
    match then(message) {
        Ok(()) => Verdict::Ack,
        Err(problem) => {
            logging::log(logging::Level::Warn, &message.topic, &format!("{}: {}", message.event_id, problem.detail));
            Verdict::RetryAfter(RETRY_MS)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Held;

    fn message(held: i64) -> Message {
        Message {
            topic: "lottery.money".into(),
            partition: 0,
            offset: 1,
            event_id: "e1".into(),
            payer: 1001,
            room_id: 5,
            at_ms: 0,
            attempt: 1,
            held: Some(Held { asset_type: 1, amount: held, balance: 0, counters: Vec::new() }),
            payload: b"{}".to_vec(),
        }
    }

    #[test]
    fn what_is_held_goes_to_the_receivers_and_nothing_else_does() {
        let transfer =
            |a: i64, b: i64| Transfer::new("lotteryTicket", "7").to(-1_000_001, Amount::new(a)).to(77, Amount::new(b));
        let posting = transfer(60, 40).posting(&message(100)).unwrap();
        let lines: Vec<_> = posting.entries.iter().map(|e| (e.account.user_id, e.part, e.delta)).collect();
        use ledger::Part::{Payer, Receiver, System};
        assert_eq!(lines, [(1001, Payer, -100), (-1_000_001, System, 60), (77, Receiver, 40)]);
        assert_eq!(transfer(100, 0).posting(&message(100)).unwrap().entries.len(), 2);
        for (a, b) in [(60, 41), (60, 39), (101, -1), (i64::MAX, i64::MAX)] {
            assert!(transfer(a, b).posting(&message(100)).is_err(), "{a} {b}");
        }
        assert!(transfer(60, 40).posting(&Message { held: None, ..message(100) }).is_err());
    }
}
