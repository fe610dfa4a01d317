//! Everything that is consumed: the lottery's own money, gifts, and words in the chat.

use std::cell::Cell;

use greenroom_sdk::{
    Amount, Id, Message, Payment, Pot, Problem, Room, Stopped, Transfer, Verdict, ledger, logging, read_json,
    room::Priority, settle, stored, write_receipts,
};

use crate::create::{self, open_ones};
use crate::enter::take_in;
use crate::lottery::{self, Status};
use crate::rules::Entry;
use crate::{Settings, TOPIC};

const RETRY_MS: u32 = 500;

/// What pays into a pot.
#[stored]
#[serde(tag = "kind")]
pub(crate) enum Money {
    /// The coins of all prizes, from who makes the lottery.
    Prizes { lottery_id: String, pot: i64 },
    /// The price of a ticket, from a viewer.
    Ticket { lottery_id: String, pot: i64 },
}

/// What is read of a gift and of a message of the chat; there is more in them.
#[stored]
struct Gift {
    gift_id: i64,
}

/// An event that holds nothing has no payer, so the writer is in it.
#[stored]
struct Said {
    user_id: Id,
    text: String,
}

impl Money {
    /// As an event carries it.
    pub(crate) fn payload(&self) -> Result<Vec<u8>, Problem> {
        serde_json::to_vec(self).map_err(|e| Problem::failed(format!("payload: {e}")))
    }

    fn of(message: &Message) -> Result<Self, String> {
        read_json(&message.payload).map_err(|e| format!("payload: {e}"))
    }

    fn lottery_id(&self) -> &str {
        let (Self::Prizes { lottery_id, .. } | Self::Ticket { lottery_id, .. }) = self;
        lottery_id
    }

    /// The pot, and what the event is called in the books.
    fn goes_to(&self) -> (i64, &'static str) {
        match self {
            Self::Prizes { pot, .. } => (*pot, "lotteryPrizes"),
            Self::Ticket { pot, .. } => (*pot, "lotteryTicket"),
        }
    }
}

/// One verdict for each message.
pub(crate) fn listen(batch: Vec<Message>) -> Vec<Verdict> {
    let (money, heard): (Vec<_>, Vec<_>) =
        batch.into_iter().enumerate().partition(|(_, message)| message.topic == TOPIC);
    let (places, messages): (Vec<usize>, Vec<Message>) = money.into_iter().unzip();
    let settled = settle_all(&messages);
    let mut verdicts: Vec<(usize, Verdict)> = places.into_iter().zip(settled).collect();
    verdicts.extend(heard.into_iter().map(|(place, message)| (place, hear(&message))));
    verdicts.sort_by_key(|(place, _)| *place);
    verdicts.into_iter().map(|(_, verdict)| verdict).collect()
}

/// Where the coins of an event go.
fn transfer(message: &Message) -> Result<Transfer, String> {
    if let Some(payment) = Payment::of(message) {
        return Ok(payment?.transfer("lotteryPayment"));
    }
    let held = message.held.as_ref().map(|held| held.amount).ok_or("the event holds nothing")?;
    let money = Money::of(message)?;
    let (pot, event_type) = money.goes_to();
    Ok(Transfer::new(event_type, money.lottery_id()).to(pot, Amount::new(held)))
}

/// Books, receipts, and what follows from them, in this order: whoever finds a lottery cancelled finds the receipts of all tickets that count.
fn settle_all(messages: &[Message]) -> Vec<Verdict> {
    let are_written = Cell::new(false);
    settle(messages, transfer, |message| {
        if !are_written.get() {
            let paid = messages.iter().filter(|message| message.payer > 0 && message.held.is_some());
            let paid = paid.filter_map(|message| Some((message, Money::of(message).ok()?.lottery_id().to_owned())));
            write_receipts(paid)?;
            are_written.set(true);
        }
        follow(message)
    })
}

/// What follows once the books are written.
fn follow(message: &Message) -> Result<(), Problem> {
    if message.payer < 0 {
        return Ok(());
    }
    let money = Money::of(message).map_err(Problem::failed)?;
    let account = ledger::Account {
        user_id: money.goes_to().0,
        asset_type: message.held.as_ref().map_or(0, |held| held.asset_type),
    };
    let pot = Pot { topic: TOPIC, thing_id: money.lottery_id(), account };
    // Where the plugin is not enabled any more nothing will come of it.
    let Some(room) = Room::<Settings>::find(message.room_id)? else { return pot.give_back_message(message) };
    let is_taken = match &money {
        Money::Prizes { lottery_id, .. } => create::open(&room, lottery_id, message.at_ms)?,
        Money::Ticket { lottery_id, .. } => count_ticket(&room, message, lottery_id)?,
    };
    if is_taken {
        return Ok(());
    }
    pot.give_back_message(message)?;
    let (lottery_id, back) = (pot.thing_id, message.held.as_ref().map_or(0, |held| held.amount));
    let data = serde_json::json!({ "lotteryId": lottery_id, "eventId": message.event_id, "coins": Amount::new(back) });
    room.send(message.payer, &cause(message, message.payer), "lottery.refunded", &data, Priority::High)
}

/// False if it comes too late.
fn count_ticket(room: &Room<Settings>, message: &Message, lottery_id: &str) -> Result<bool, Problem> {
    let lottery = lottery::find(room, lottery_id)?.filter(|lottery| lottery.status != Status::Cancelled);
    let Some(lottery) = lottery else { return Ok(false) };
    Ok(take_in(room, &lottery, message.payer, &cause(message, message.payer))?.is_ok())
}

/// An event id is only unique for each user.
fn cause(message: &Message, user_id: i64) -> String {
    format!("{}/{user_id}/{}", message.topic, message.event_id)
}

/// A gift or a word: whoever it is from enters the lotteries that ask for it.
fn hear(message: &Message) -> Verdict {
    match heard(message) {
        Ok(()) => Verdict::Ack,
        Err(problem) if problem.status == 503 => Verdict::RetryAfter(RETRY_MS),
        Err(problem) => {
            logging::log(logging::Level::Warn, &message.topic, &format!("{}: {}", message.event_id, problem.detail));
            Verdict::Ack
        }
    }
}

fn heard(message: &Message) -> Result<(), Problem> {
    let Some(sent) = Sent::of(message) else { return Ok(()) };
    for open in open_ones(message.room_id)? {
        let Some(user_id) = sent.enters(&open.entry) else { continue };
        let Some(room) = Room::<Settings>::find(message.room_id)? else { return Ok(()) };
        let Some(lottery) = lottery::find(&room, &open.lottery_id)? else { continue };
        // By the time at which the host accepted it: no client can forge it.
        if lottery.is_open_at(message.at_ms) && sent.is_of_currency(&open.entry, lottery.asset_type) {
            match take_in(&room, &lottery, user_id, &cause(message, user_id))? {
                Ok(()) | Err(Stopped::Limit(_) | Stopped::Check(_)) => {}
            }
        }
    }
    Ok(())
}

/// Something of another plugin that may enter somebody.
enum Sent {
    Gift { user_id: i64, gift: Gift, spent: i64, paid_in: u32 },
    Word(Said),
}

impl Sent {
    fn of(message: &Message) -> Option<Self> {
        match &message.held {
            Some(held) => {
                let gift = read_json(&message.payload).ok()?;
                Some(Self::Gift { user_id: message.payer, gift, spent: held.amount, paid_in: held.asset_type })
            }
            None => read_json(&message.payload).ok().map(Self::Word),
        }
    }

    /// What it cost counts in the lottery's currency alone: a gift of another one may be worth much less.
    fn is_of_currency(&self, entry: &Entry, asset_type: u32) -> bool {
        match (self, entry) {
            (Self::Gift { paid_in, .. }, Entry::Gift { min_spend: Some(_), .. }) => *paid_in == asset_type,
            _ => true,
        }
    }

    /// Who enters by it, if somebody does.
    fn enters(&self, entry: &Entry) -> Option<i64> {
        match self {
            Self::Gift { user_id, gift, spent, .. } => entry.is_given(gift.gift_id, *spent).then_some(*user_id),
            Self::Word(said) => entry.is_said(&said.text).then_some(said.user_id.get()),
        }
    }
}
