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

/// Why it is not known where the money of an event goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unsettled {
    /// It never will be: the message is set aside, with this reason.
    Never(String),
    /// Something else has to be there first, such as a pot that cannot be made right now: the message comes again.
    Later(String),
}

impl From<String> for Unsettled {
    fn from(reason: String) -> Self {
        Self::Never(reason)
    }
}

impl From<&str> for Unsettled {
    fn from(reason: &str) -> Self {
        Self::Never(reason.into())
    }
}

impl From<ledger::Error> for Unsettled {
    /// What another try may do better is for later. Many events may need pots of their own, and a call makes only some.
    fn from(error: ledger::Error) -> Self {
        use ledger::Error::{BalanceLoading, InsufficientBalance, Overloaded, Unavailable};
        let reason = format!("{error:?}");
        match error {
            Overloaded | Unavailable(_) | BalanceLoading | InsufficientBalance(_) => Self::Later(reason),
            _ => Self::Never(reason),
        }
    }
}

impl Unsettled {
    fn verdict(self, message: &Message) -> Verdict {
        match self {
            Self::Never(reason) => Verdict::Reject(reason),
            Self::Later(reason) => later(message, &reason),
        }
    }
}

/// Writes the books of a batch in one call: `transfer` says where the money of a message goes, or why it cannot. `then` is called for each message whose books are written, now or by an earlier try, and does what follows from that; if it
/// fails, the message comes again, so it must be able to be repeated. Gives the batch's verdicts.
pub fn settle<E: Into<Unsettled>>(
    batch: &[Message],
    transfer: impl Fn(&Message) -> Result<Transfer, E>,
    then: impl Fn(&Message) -> Result<(), Problem>,
) -> Vec<Verdict> {
    let posting = |message: &Message| Ok(transfer(message).map_err(E::into)?.posting(message)?);
    let books: Vec<Result<ledger::Posting, Unsettled>> = batch.iter().map(posting).collect();
    let postings: Vec<ledger::Posting> = books.iter().filter_map(|books| books.clone().ok()).collect();
    let outcomes = if postings.is_empty() { Ok(Vec::new()) } else { ledger::post(&postings) };
    let mut outcomes = outcomes.unwrap_or_default().into_iter();
    let verdicts = batch.iter().zip(books).map(|(message, books)| match books {
        Err(unsettled) => unsettled.verdict(message),
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
        Err(problem) => later(message, &problem.detail),
    }
}

fn later(message: &Message, reason: &str) -> Verdict {
    logging::log(logging::Level::Warn, &message.topic, &format!("{}: {reason}", message.event_id));
    Verdict::RetryAfter(RETRY_MS)
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

    #[test]
    fn a_pot_that_cannot_be_made_right_now_is_no_reason_to_set_an_event_aside() {
        use ledger::Error::{Invalid, NotGranted, Overloaded, Unavailable};
        for error in [Overloaded, Unavailable("away".into())] {
            assert!(matches!(Unsettled::from(error), Unsettled::Later(_)));
        }
        for error in [Invalid("a name".into()), NotGranted("pots".into())] {
            assert!(matches!(Unsettled::from(error), Unsettled::Never(_)));
        }
    }
}
