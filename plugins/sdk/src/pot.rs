//! Paying out of a pot, each payment once; and the receipts of what was paid in, so that it can be given back whatever the cache forgets.

use serde::{Deserialize, Serialize};

use crate::{Amount, Message, Problem, Transfer, db, fair, ledger, read_json};

/// Receivers of one payment: what a posting has room for beside the pot.
pub const RECEIVERS_MAX: usize = 60;
/// Receipts that are given back in one call.
const RECEIPTS: u32 = 200;

/// The pot of a thing, such as a lottery.
#[derive(Debug, Clone, Copy)]
pub struct Pot<'a> {
    /// One of the plugin's own topics, which its consumer settles.
    pub topic: &'a str,
    /// At most 20 characters, unique in the plugin: event ids are made from it.
    pub thing_id: &'a str,
    /// What [`ledger::pot`] gave, and the asset that is in it.
    pub account: ledger::Account,
}

/// What an event that a pot pays says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    /// The thing whose pot pays.
    pub thing_id: String,
    /// To whom how much, in smallest units.
    pub to: Vec<(i64, i64)>,
}

impl Pot<'_> {
    /// Pays up to [`RECEIVERS_MAX`] receivers, each named once, so many smallest units. What it is paid for, such as the number of a page, names the
    /// payment: however often this is called, it is paid once.
    ///
    /// # Errors
    /// As the ledger has them: 402 until what was paid in is settled, so try again; 422 if it was paid to others before.
    pub fn pay(&self, what: &str, to: Vec<(i64, i64)>) -> Result<(), Problem> {
        self.hold(format!("{}:pay:{what}", self.thing_id), to)
    }

    /// Gives back what an event paid in, once.
    ///
    /// # Errors
    /// As [`pay`](Self::pay) has them.
    pub fn give_back(&self, payer: i64, event_id: &str, amount: Amount) -> Result<(), Problem> {
        // Both ids together may be longer than an event id is.
        let digest = fair::Digest::of([payer.to_string(), event_id.to_owned()]).to_string();
        let short: String = digest.chars().take(32).collect();
        self.hold(format!("{}:back:{short}", self.thing_id), vec![(payer, amount.get())])
    }

    /// The same for a message of the batch that is being consumed.
    ///
    /// # Errors
    /// As [`pay`](Self::pay) has them.
    pub fn give_back_message(&self, message: &Message) -> Result<(), Problem> {
        let held = message.held.as_ref().map_or(0, |held| held.amount);
        self.give_back(message.payer, &message.event_id, Amount::new(held))
    }

    /// Gives back what the receipts from number `from` on say, 200 of them; gives the number to go on from, or none once all is given back. A
    /// receipt that comes meanwhile may be passed over: who writes it gives back itself what comes too late.
    ///
    /// # Errors
    /// As [`pay`](Self::pay) and the database have them.
    pub fn give_all_back(&self, from: u32) -> Result<Option<u32>, Problem> {
        let params = [
            db::Value::Text(self.thing_id.into()),
            db::Value::Integer(RECEIPTS.into()),
            db::Value::Integer(from.into()),
        ];
        let rows = db::query("receipts", &params)?;
        for row in &rows {
            let [db::Value::Integer(payer), db::Value::Text(event_id), db::Value::Integer(amount)] = row.as_slice()
            else {
                return Err(Problem::failed("receipts: a column is of another kind"));
            };
            self.give_back(*payer, event_id, Amount::new(*amount))?;
        }
        Ok((rows.len() == RECEIPTS as usize).then_some(from.saturating_add(RECEIPTS)))
    }

    fn hold(&self, event_id: String, to: Vec<(i64, i64)>) -> Result<(), Problem> {
        let amount = to.iter().try_fold(Amount::ZERO, |sum, (_, amount)| sum.plus(Amount::new(*amount)))?;
        let payment = Payment { thing_id: self.thing_id.into(), to };
        let payload = serde_json::to_vec(&payment).map_err(|e| Problem::failed(format!("payload: {e}")))?;
        ledger::hold(&ledger::HoldRequest {
            event_id,
            payer: self.account,
            amount: amount.get(),
            content: payload.clone(),
            topic: self.topic.into(),
            payload,
            counters: Vec::new(),
        })?;
        Ok(())
    }
}

impl Payment {
    /// What a message says that a pot has paid; none for one that somebody else paid.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn of(message: &Message) -> Option<Result<Self, String>> {
        (message.payer < 0).then(|| read_json(&message.payload).map_err(|e| format!("payload: {e}")))
    }

    /// Its books, of a kind such as `lotteryPayment`.
    #[must_use]
    pub fn transfer(self, event_type: &str) -> Transfer {
        let transfer = Transfer::new(event_type, self.thing_id);
        self.to.into_iter().fold(transfer, |transfer, (user_id, amount)| transfer.to(user_id, Amount::new(amount)))
    }
}

/// Writes down what was paid into pots, at most 1,000 messages of a batch, each with the thing whose pot it is in. It is done before anything else
/// follows from the messages, and may be repeated. The manifest names the statements, over a table of the plugin's own:
///
/// ```text
/// put-receipt = "INSERT INTO … (thing_id, payer, event_id, amount) VALUES ($1, $2, $3, $4) ON CONFLICT (thing_id, payer, event_id) DO NOTHING"
/// receipts = "SELECT payer, event_id, amount FROM … WHERE thing_id = $1 ORDER BY payer, event_id LIMIT $2 OFFSET $3"
/// ```
///
/// # Errors
/// As the database has them; then nothing was written.
pub fn write_receipts<'a>(paid: impl IntoIterator<Item = (&'a Message, String)>) -> Result<(), Problem> {
    let step = |(message, thing_id): (&Message, String)| {
        let held = message.held.as_ref()?;
        let params = vec![
            db::Value::Text(thing_id),
            db::Value::Integer(message.payer),
            db::Value::Text(message.event_id.clone()),
            db::Value::Integer(held.amount),
        ];
        Some(db::Step { statement: "put-receipt".into(), params, expected_rows: None })
    };
    let steps: Vec<db::Step> = paid.into_iter().filter_map(step).collect();
    if !steps.is_empty() {
        db::transact(&steps)?;
    }
    Ok(())
}
