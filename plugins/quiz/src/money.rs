//! What moves coins: pots and revivals in, payments out.

use greenroom_sdk::{
    Amount, Message, Problem, Room, Transfer, Verdict, ledger, read_json, room::Priority, settle, stored,
};

use crate::quiz::{self, Status, change};
use crate::revive::{self, Revived};
use crate::{Settings, TOPIC};

/// What an event on the quiz's own topic moves.
#[stored]
#[serde(tag = "kind")]
pub(crate) enum Money {
    /// From who makes a quiz into its pot.
    Pot { quiz_id: String },
    /// The price of a revival at a question, from a player into the pot.
    Revival { quiz_id: String, question: u32 },
    /// Out of the pot: to whom how much.
    Payments { quiz_id: String, to: Vec<(i64, i64)> },
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
pub(crate) fn settle_batch(batch: Vec<Message>) -> Vec<Verdict> {
    settle(&batch, transfer, follow)
}

/// Where the coins of an event go.
fn transfer(message: &Message) -> Result<Transfer, String> {
    let held = message.held.as_ref().map(|held| held.amount).ok_or("the event holds nothing")?;
    let into_pot = |event_type: &str, quiz_id: String| {
        let pot = ledger::pot(&quiz::pot(&quiz_id)).map_err(|e| format!("pot: {e:?}"))?;
        Ok(Transfer::new(event_type, quiz_id).to(pot, Amount::new(held)))
    };
    match Money::of(message)? {
        Money::Pot { quiz_id } => into_pot("quizPot", quiz_id),
        Money::Revival { quiz_id, .. } => into_pot("quizRevival", quiz_id),
        Money::Payments { quiz_id, to } => {
            let transfer = Transfer::new("quizPayment", quiz_id);
            Ok(to.into_iter().fold(transfer, |transfer, (user_id, amount)| transfer.to(user_id, Amount::new(amount))))
        }
    }
}

/// What follows once the books are written.
fn follow(message: &Message) -> Result<(), Problem> {
    let money = Money::of(message).map_err(Problem::failed)?;
    let room = Room::<Settings>::find(message.room_id)?;
    match (money, room) {
        (Money::Payments { .. }, _) => Ok(()),
        (Money::Pot { quiz_id }, Some(room)) => funded(&room, message, &quiz_id),
        (Money::Revival { quiz_id, question }, Some(room)) => {
            let Some(quiz) = quiz::find(&room, &quiz_id)? else { return give_back(&quiz_id, message) };
            match revive::note(&quiz, message.payer, question)? {
                Revived::Noted => Ok(()),
                Revived::TooLate => give_back(&quiz_id, message),
            }
        }
        // The plugin was disabled in the room meanwhile: nothing will come of it there.
        (Money::Pot { quiz_id } | Money::Revival { quiz_id, .. }, None) => give_back(&quiz_id, message),
    }
}

fn funded(room: &Room<Settings>, message: &Message, quiz_id: &str) -> Result<(), Problem> {
    change(room.room_id, quiz_id, &[Status::Funding], |quiz| {
        quiz.status = Status::Ready;
        quiz.is_funded = true;
    })?;
    // It may have been cancelled before its pot had come, or the cache may have lost it.
    if quiz::find(room, quiz_id)?.is_none_or(|quiz| !quiz.is_funded) {
        return give_back(quiz_id, message);
    }
    room.broadcast(quiz_id, "quiz.ready", &serde_json::json!({ "quizId": quiz_id }), Priority::Normal)
}

/// Gives back what came too late.
fn give_back(quiz_id: &str, message: &Message) -> Result<(), Problem> {
    let Some(held) = &message.held else { return Ok(()) };
    // Both ids together may be longer than an event id is.
    let names = [message.payer.to_string(), message.event_id.clone()];
    let short: String = greenroom_sdk::fair::Digest::of(names).to_string().chars().take(32).collect();
    pay(held.asset_type, quiz_id, format!("{quiz_id}:back:{short}"), vec![(message.payer, held.amount)])
}

/// Pays out of the pot, once for each event id.
pub(crate) fn pay(asset_type: u32, quiz_id: &str, event_id: String, to: Vec<(i64, i64)>) -> Result<(), Problem> {
    let user_id = ledger::pot(&quiz::pot(quiz_id))?;
    let amount = to.iter().try_fold(Amount::ZERO, |sum, (_, amount)| sum.plus(Amount::new(*amount)))?;
    let payload = Money::Payments { quiz_id: quiz_id.into(), to }.payload()?;
    ledger::hold(&ledger::HoldRequest {
        event_id,
        payer: ledger::Account { user_id, asset_type },
        amount: amount.get(),
        content: payload.clone(),
        topic: TOPIC.into(),
        payload,
        counters: Vec::new(),
    })?;
    Ok(())
}
