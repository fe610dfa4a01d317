//! Everything that is consumed: the lottery's own money, gifts, and words in the chat.

use greenroom_sdk::{
    Amount, Id, Message, Problem, Room, Stopped, Transfer, Verdict, fair::Secret, ledger, logging, read_json,
    room::Priority, settle, stored,
};

use crate::create::{self, open_ones};
use crate::enter::take_in;
use crate::lottery::{self, Lottery};
use crate::pay;
use crate::rules::{Definition, Entry};
use crate::{Settings, TOPIC};

const RETRY_MS: u32 = 500;

/// What an event on the lottery's own topic moves.
#[stored]
#[serde(tag = "kind")]
pub(crate) enum Money {
    /// The coins of all prizes, from who makes the lottery into its pot.
    Prizes { lottery_id: String, definition: Definition },
    /// The price of a ticket, from a viewer into the pot.
    Ticket { lottery_id: String },
    /// Out of the pot: to whom how much.
    Payments { lottery_id: String, to: Vec<(i64, i64)> },
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
}

/// One verdict for each message.
pub(crate) fn listen(batch: Vec<Message>) -> Vec<Verdict> {
    let (money, heard): (Vec<_>, Vec<_>) =
        batch.into_iter().enumerate().partition(|(_, message)| message.topic == TOPIC);
    let (places, messages): (Vec<usize>, Vec<Message>) = money.into_iter().unzip();
    let settled = settle(&messages, transfer, follow);
    let mut verdicts: Vec<(usize, Verdict)> = places.into_iter().zip(settled).collect();
    verdicts.extend(heard.into_iter().map(|(place, message)| (place, hear(&message))));
    verdicts.sort_by_key(|(place, _)| *place);
    verdicts.into_iter().map(|(_, verdict)| verdict).collect()
}

/// Where the coins of an event go.
fn transfer(message: &Message) -> Result<Transfer, String> {
    let held = message.held.as_ref().map(|held| held.amount).ok_or("the event holds nothing")?;
    match Money::of(message)? {
        Money::Prizes { lottery_id, .. } => into_pot("lotteryPrizes", lottery_id, held),
        Money::Ticket { lottery_id } => into_pot("lotteryTicket", lottery_id, held),
        Money::Payments { lottery_id, to } => {
            let transfer = Transfer::new("lotteryPayment", lottery_id);
            Ok(to.into_iter().fold(transfer, |transfer, (user_id, amount)| transfer.to(user_id, Amount::new(amount))))
        }
    }
}

fn into_pot(event_type: &str, lottery_id: String, held: i64) -> Result<Transfer, String> {
    let pot = ledger::pot(&lottery::pot(&lottery_id)).map_err(|e| format!("pot: {e:?}"))?;
    Ok(Transfer::new(event_type, lottery_id).to(pot, Amount::new(held)))
}

/// What follows once the books are written.
fn follow(message: &Message) -> Result<(), Problem> {
    let money = Money::of(message).map_err(Problem::failed)?;
    let room = Room::<Settings>::find(message.room_id)?;
    let (payer, event_id) = (message.payer, message.event_id.as_str());
    match (money, room) {
        (Money::Prizes { lottery_id, definition }, Some(room)) => {
            let secret = Secret::new()?;
            let asset_type = message.held.as_ref().map_or(0, |held| held.asset_type);
            create::open(&room, &Lottery::new(lottery_id, payer, definition, asset_type, message.at_ms, secret))
        }
        (Money::Ticket { lottery_id }, Some(room)) => count_ticket(&room, message, &lottery_id),
        (Money::Payments { .. }, _) => Ok(()),
        // The plugin was disabled in the room meanwhile: nothing will come of it there.
        (Money::Prizes { lottery_id, .. } | Money::Ticket { lottery_id }, None) => {
            pay::give_back(&lottery_id, message, event_id)
        }
    }
}

fn count_ticket(room: &Room<Settings>, message: &Message, lottery_id: &str) -> Result<(), Problem> {
    let Some(lottery) = lottery::find(room, lottery_id)? else {
        return pay::give_back(lottery_id, message, &message.event_id);
    };
    match take_in(room, &lottery, message.payer, &cause(message))? {
        Ok(()) => Ok(()),
        Err(_) => {
            pay::give_back(lottery_id, message, &message.event_id)?;
            let (user_id, back) = (message.payer, Amount::new(message.held.as_ref().map_or(0, |held| held.amount)));
            let data = serde_json::json!({ "lotteryId": lottery_id, "eventId": message.event_id, "coins": back });
            room.send(user_id, &cause(message), "lottery.refunded", &data, Priority::High)
        }
    }
}

/// An event id is only unique for each payer.
fn cause(message: &Message) -> String {
    format!("{}/{}/{}", message.topic, message.payer, message.event_id)
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
        let lottery = lottery::get(&room, &open.lottery_id)?;
        // By the time at which the host accepted it: no client can forge it.
        if lottery.is_open_at(message.at_ms) {
            match take_in(&room, &lottery, user_id, &cause(message))? {
                Ok(()) | Err(Stopped::Limit(_) | Stopped::Check(_)) => {}
            }
        }
    }
    Ok(())
}

/// Something of another plugin that may enter somebody.
enum Sent {
    Gift { user_id: i64, gift: Gift, spent: i64 },
    Word(Said),
}

impl Sent {
    fn of(message: &Message) -> Option<Self> {
        match &message.held {
            Some(held) => {
                let gift = read_json(&message.payload).ok()?;
                Some(Self::Gift { user_id: message.payer, gift, spent: held.amount })
            }
            None => read_json(&message.payload).ok().map(Self::Word),
        }
    }

    /// Who enters by it, if somebody does.
    fn enters(&self, entry: &Entry) -> Option<i64> {
        match self {
            Self::Gift { user_id, gift, spent } => entry.is_given(gift.gift_id, *spent).then_some(*user_id),
            Self::Word(said) => entry.is_said(&said.text).then_some(said.user_id.get()),
        }
    }
}
