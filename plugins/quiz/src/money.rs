//! What moves coins: pots and revivals in, payments out.

use std::cell::Cell;

use greenroom_sdk::{
    Amount, Message, Payment, Pot, Problem, Room, Transfer, Verdict, ledger, read_json, room::Priority, settle, stored,
    write_receipts,
};

use crate::quiz::{self, Status, change};
use crate::revive::{self, Revived};
use crate::{Settings, TOPIC};

/// What pays into a pot.
#[stored]
#[serde(tag = "kind")]
pub(crate) enum Money {
    /// From who makes a quiz.
    Pot { quiz_id: String, pot: i64 },
    /// The price of a revival at a question, from a player.
    Revival { quiz_id: String, pot: i64, question: u32 },
}

impl Money {
    /// As an event carries it.
    pub(crate) fn payload(&self) -> Result<Vec<u8>, Problem> {
        serde_json::to_vec(self).map_err(|e| Problem::failed(format!("payload: {e}")))
    }

    fn of(message: &Message) -> Result<Self, String> {
        read_json(&message.payload).map_err(|e| format!("payload: {e}"))
    }

    fn quiz_id(&self) -> &str {
        let (Self::Pot { quiz_id, .. } | Self::Revival { quiz_id, .. }) = self;
        quiz_id
    }

    /// The pot, and what the event is called in the books.
    fn goes_to(&self) -> (i64, &'static str) {
        match self {
            Self::Pot { pot, .. } => (*pot, "quizPot"),
            Self::Revival { pot, .. } => (*pot, "quizRevival"),
        }
    }
}

/// Books, receipts, and what follows from them, in this order: whoever finds that a quiz is given back finds the receipts of all that counts.
/// One verdict for each message.
pub(crate) fn settle_batch(batch: Vec<Message>) -> Vec<Verdict> {
    let are_written = Cell::new(false);
    settle(&batch, transfer, |message| {
        if !are_written.get() {
            let paid = batch.iter().filter(|message| message.payer > 0);
            write_receipts(paid.filter_map(|message| Some((message, Money::of(message).ok()?.quiz_id().to_owned()))))?;
            are_written.set(true);
        }
        follow(message)
    })
}

/// Where the coins of an event go.
fn transfer(message: &Message) -> Result<Transfer, String> {
    if let Some(payment) = Payment::of(message) {
        return Ok(payment?.transfer("quizPayment"));
    }
    let held = message.held.as_ref().map(|held| held.amount).ok_or("the event holds nothing")?;
    let money = Money::of(message)?;
    let (pot, event_type) = money.goes_to();
    Ok(Transfer::new(event_type, money.quiz_id()).to(pot, Amount::new(held)))
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
    let is_taken = match (&money, Room::<Settings>::find(message.room_id)?) {
        // The plugin was disabled in the room meanwhile: nothing will come of it there.
        (_, None) => false,
        (Money::Pot { quiz_id, .. }, Some(room)) => funded(&room, quiz_id)?,
        (Money::Revival { quiz_id, question, .. }, Some(room)) => revived(&room, quiz_id, message.payer, *question)?,
    };
    let pot = Pot { topic: TOPIC, thing_id: money.quiz_id(), account };
    if is_taken { Ok(()) } else { pot.give_back_message(message) }
}

/// False if it was cancelled before its pot had come.
fn funded(room: &Room<Settings>, quiz_id: &str) -> Result<bool, Problem> {
    change(room.room_id, quiz_id, &[Status::Funding], |quiz| {
        quiz.status = Status::Ready;
        quiz.is_funded = true;
    })?;
    if quiz::find(room, quiz_id)?.is_none_or(|quiz| quiz.is_given_back()) {
        return Ok(false);
    }
    room.broadcast(quiz_id, "quiz.ready", &serde_json::json!({ "quizId": quiz_id }), Priority::Normal)?;
    Ok(true)
}

/// False if it comes too late.
fn revived(room: &Room<Settings>, quiz_id: &str, user_id: i64, question: u32) -> Result<bool, Problem> {
    let Some(quiz) = quiz::find(room, quiz_id)?.filter(|quiz| !quiz.is_given_back()) else { return Ok(false) };
    match revive::note(&quiz, user_id, question)? {
        Revived::TooLate => Ok(false),
        // Looked at again: it may have ended between the two, and who noted it first was not this.
        Revived::Noted => Ok(quiz::find(room, quiz_id)?.is_some_and(|quiz| !quiz.is_given_back())),
    }
}
