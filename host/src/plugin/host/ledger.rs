//! `greenroom:ledger`: money, for the caller of a request, for the events of a batch and for the plugin's own pots, and for nobody else.

use greenroom_manifest::Grant;

use super::pots::{Made, NEW_PER_CALL_MAX};
use super::{PAYLOAD_BYTES_MAX, length, size};
use crate::domain::{self, Amount, AssetType, ContentDigest, EventId, UserId};
use crate::ledger::{self as books, Answer, Voided};
use crate::plugin::bindings::greenroom::ledger::ledger::{
    Account, Balance, Error, HoldOutcome, HoldRequest, Host, PostOutcome, Posting, Shortage, VoidOutcome,
};
use crate::plugin::posting;
use crate::plugin::state::{Kind, State, Told};
use crate::ports::cache::{CounterAdd, Hold};

/// A week, in milliseconds.
const COUNTER_TTL_MS_MAX: u32 = 604_800_000;
const COUNTERS_MAX: usize = 8;
const CONTENT_BYTES_MAX: usize = 16 * 1024;
const POT_NAME_BYTES_MAX: usize = 128;

impl Host for State {
    async fn hold(&mut self, request: HoldRequest) -> wasmtime::Result<Result<HoldOutcome, Error>> {
        self.enter()?;
        let hold = match prepare_hold(self, request).await {
            Ok(hold) => hold,
            Err(error) => return Ok(Err(error)),
        };
        let (key, needed) = ((hold.payer.user_id, hold.event_id.clone()), hold.amount.0);
        let ledger = std::sync::Arc::clone(&self.ports.ledger);
        Ok(match ledger.hold(hold).await {
            Ok(answer) => Ok(remember(self, key, answer)),
            // A pot is there before any money is: all that its plugin can do is wait for it.
            Err(books::Error::NoAccount(account)) if account.user_id.pot().is_some() => {
                Err(Error::InsufficientBalance(Shortage { balance: 0, needed }))
            }
            Err(error) => Err(error.into()),
        })
    }

    async fn find(
        &mut self,
        payer: Account,
        event_id: String,
        content: Vec<u8>,
    ) -> wasmtime::Result<Result<Option<HoldOutcome>, Error>> {
        self.enter()?;
        Ok(find(self, payer.into(), &event_id, &content).await)
    }

    async fn void(&mut self, payer: Account, event_id: String) -> wasmtime::Result<Result<VoidOutcome, Error>> {
        self.enter()?;
        Ok(void(self, payer.into(), &event_id).await)
    }

    async fn post(&mut self, batch: Vec<Posting>) -> wasmtime::Result<Result<Vec<PostOutcome>, Error>> {
        self.enter()?;
        if let Err(reason) = self.granted(Grant::Ledger) {
            return Ok(Err(Error::NotGranted(reason)));
        }
        Ok(posting::post(self, batch).await)
    }

    async fn pot(&mut self, name: String) -> wasmtime::Result<Result<i64, Error>> {
        self.enter()?;
        Ok(pot(self, &name).await)
    }

    async fn get_balance(&mut self, account: Account) -> wasmtime::Result<Result<Balance, Error>> {
        self.enter()?;
        let account: domain::Account = account.into();
        if let Err(error) = readable(self, account.user_id).await {
            return Ok(Err(error));
        }
        Ok(match self.ports.ledger.balance(account).await {
            Ok(balance) => {
                Ok(Balance { spendable: balance.spendable.0, held: balance.held.0, settled: balance.settled.0 })
            }
            Err(books::Error::NoAccount(_)) if account.user_id.pot().is_some() => {
                Ok(Balance { spendable: 0, held: 0, settled: 0 })
            }
            Err(error) => Err(error.into()),
        })
    }
}

async fn prepare_hold(state: &mut State, request: HoldRequest) -> Result<Hold, Error> {
    state.granted(Grant::Ledger).map_err(Error::NotGranted)?;
    let payer: domain::Account = request.payer.into();
    may_pay(state, payer.user_id).await?;
    let event_id = EventId::new(&request.event_id).map_err(|e| Error::Invalid(format!("event-id: {e}")))?;
    if request.amount < 1 {
        return Err(Error::Invalid(format!("amount is {}; it must be 1 or more", request.amount)));
    }
    size("content", request.content.len(), CONTENT_BYTES_MAX).map_err(Error::Invalid)?;
    size("payload", request.payload.len(), PAYLOAD_BYTES_MAX).map_err(Error::Invalid)?;
    let Some(topic) = state.profile.publishes.iter().find(|topic| ***topic == *request.topic) else {
        return Err(Error::NotGranted(format!("the manifest does not publish the topic `{}`", request.topic)));
    };
    Ok(Hold {
        event_id,
        payer,
        amount: Amount(request.amount),
        digest: ContentDigest::of(topic, payer, &request.content),
        plugin: state.profile.name.clone(),
        counters: counters(request.counters).map_err(Error::Invalid)?,
        topic: topic.clone(),
        room_id: state.room_id(),
        payload: request.payload.into(),
        now_ms: state.ports.clock.now_ms(),
    })
}

/// A request's caller pays, and in any call a pot of the plugin's own.
async fn may_pay(state: &mut State, payer: UserId) -> Result<(), Error> {
    if payer.pot().is_some() {
        state.granted(Grant::Pots).map_err(Error::NotGranted)?;
        return if is_own_pot(state, payer).await? { Ok(()) } else { Err(foreign_pot(payer)) };
    }
    let Kind::Api(caller) = &state.call.kind else {
        let why = "outside of `api.handle` only a pot of the plugin may be the payer of a `hold`";
        return Err(Error::NotGranted(why.into()));
    };
    if payer != caller.user_id {
        let why = format!("payer must be the caller, user {}, or a pot of the plugin", caller.user_id);
        return Err(Error::NotGranted(why));
    }
    Ok(())
}

async fn is_own_pot(state: &mut State, account: UserId) -> Result<bool, Error> {
    let owned = state.ports.pots.is_of(&state.profile.name, account).await;
    owned.map_err(|error| Error::Unavailable(super::unavailable("the ledger", &error.to_string())))
}

fn foreign_pot(account: UserId) -> Error {
    Error::NotGranted(format!("user {account} is no pot of this plugin; `pot` gives the id of its own"))
}

async fn pot(state: &mut State, name: &str) -> Result<i64, Error> {
    state.granted(Grant::Ledger).map_err(Error::NotGranted)?;
    state.granted(Grant::Pots).map_err(Error::NotGranted)?;
    length("name", name, POT_NAME_BYTES_MAX).map_err(Error::Invalid)?;
    if name.contains('\0') {
        return Err(Error::Invalid("name has a null character; leave it out".into()));
    }
    let ports = std::sync::Arc::clone(&state.ports);
    let may_make = state.call.pots_made < NEW_PER_CALL_MAX;
    match ports.pots.pot(&state.profile.name, name, may_make).await {
        Ok(Made::Pot(pot, is_new)) => {
            state.call.pots_made += u32::from(is_new);
            Ok(pot.0)
        }
        Ok(Made::TooMany) => Err(Error::Overloaded),
        Err(error) => Err(Error::Unavailable(super::unavailable("the ledger", &error.to_string()))),
    }
}

fn counters(
    asked: Vec<crate::plugin::bindings::greenroom::ledger::ledger::Counter>,
) -> Result<Vec<CounterAdd>, String> {
    if asked.len() > COUNTERS_MAX {
        return Err(format!("counters has {} elements; it may have up to {COUNTERS_MAX}", asked.len()));
    }
    let mut counters = Vec::with_capacity(asked.len());
    for (index, counter) in asked.into_iter().enumerate() {
        length(&format!("counters[{index}].key"), &counter.key, 128)?;
        if !(1..=COUNTER_TTL_MS_MAX).contains(&counter.ttl_ms) {
            return Err(format!("counters[{index}].ttl-ms is {}; 1 to {COUNTER_TTL_MS_MAX}", counter.ttl_ms));
        }
        counters.push(CounterAdd {
            key: counter.key.into(),
            delta: counter.delta,
            max: counter.max,
            ttl_ms: counter.ttl_ms,
        });
    }
    Ok(counters)
}

/// Keeps what a call may be told only when it is durable, and what it has proven to be its own.
fn remember(state: &mut State, key: (UserId, EventId), answer: Answer) -> HoldOutcome {
    state.call.reached(answer.position);
    // A consumer is no client, and would wait for itself.
    if matches!(state.call.kind, Kind::Api(_)) {
        state.call.told.push(Told { payer: key.0, event_id: key.1.clone(), digest: answer.digest });
    }
    state.call.known.push(key);
    HoldOutcome {
        amount: answer.outcome.amount.0,
        balance: answer.outcome.balance.0,
        counters: answer.outcome.counters,
        replayed: answer.replayed,
    }
}

async fn find(
    state: &mut State,
    payer: domain::Account,
    event_id: &str,
    content: &[u8],
) -> Result<Option<HoldOutcome>, Error> {
    readable(state, payer.user_id).await?;
    let event_id = EventId::new(event_id).map_err(|e| Error::Invalid(format!("event-id: {e}")))?;
    size("content", content.len(), CONTENT_BYTES_MAX).map_err(Error::Invalid)?;
    let ports = std::sync::Arc::clone(&state.ports);
    let profile = std::sync::Arc::clone(&state.profile);
    let mut reused = false;
    for topic in &profile.publishes {
        match ports.ledger.find(payer, &event_id, ContentDigest::of(topic, payer, content)).await {
            Ok(Some(answer)) => return Ok(Some(remember(state, (payer.user_id, event_id), answer))),
            Ok(None) => return Ok(None),
            Err(books::Error::Reused(_)) => reused = true,
            Err(error) => return Err(error.into()),
        }
    }
    if reused { Err(Error::EventIdReused) } else { Ok(None) }
}

async fn void(state: &mut State, payer: domain::Account, event_id: &str) -> Result<VoidOutcome, Error> {
    state.granted(Grant::Ledger).map_err(Error::NotGranted)?;
    let event_id = EventId::new(event_id).map_err(|e| Error::Invalid(format!("event-id: {e}")))?;
    let key = (payer.user_id, event_id);
    let own = state.call.known.contains(&key)
        || posting::event_of_batch(state, &key).is_some_and(|event| state.profile.publishes.contains(&event.topic));
    if !own && is_own_pot(state, payer.user_id).await? {
        state.granted(Grant::Pots).map_err(Error::NotGranted)?;
    } else if !own {
        let why = "only an event that this call held or found, one of the batch on the plugin's own topic, or one that a pot of \
                   the plugin pays may be voided";
        return Err(Error::NotGranted(why.into()));
    }
    match state.ports.ledger.void(payer, &key.1).await? {
        Voided::Voided => {
            // There will be no books to wait for.
            state.call.told.retain(|told| (told.payer, &told.event_id) != (key.0, &key.1));
            Ok(VoidOutcome::Voided)
        }
        Voided::AlreadyPosted => Ok(VoidOutcome::AlreadyPosted),
    }
}

/// Whose money a call may look at: the caller's, that of the batch's payers on the plugin's own topics, of the room's streamers, of the
/// plugin's pots.
async fn readable(state: &mut State, user: UserId) -> Result<(), Error> {
    state.granted(Grant::Ledger).map_err(Error::NotGranted)?;
    let streams = state.room().is_some_and(|room| room.streamers.contains(&user));
    let concerned = match &state.call.kind {
        Kind::Starting | Kind::Told => false,
        Kind::Api(caller) => caller.user_id == user,
        Kind::Consume(batch) => batch
            .iter()
            .filter(|delivery| state.profile.publishes.contains(&delivery.event.topic))
            .any(|delivery| delivery.event.payer() == Some(user)),
    };
    if streams || concerned {
        return Ok(());
    }
    if user.pot().is_some() {
        return if is_own_pot(state, user).await? { Ok(()) } else { Err(foreign_pot(user)) };
    }
    Err(Error::NotGranted(format!("user {user} is neither the caller, nor a payer of the batch, nor a streamer")))
}

impl From<Account> for domain::Account {
    fn from(account: Account) -> Self {
        Self { user_id: UserId(account.user_id), asset_type: AssetType(account.asset_type) }
    }
}

impl From<books::Error> for Error {
    fn from(error: books::Error) -> Self {
        match error {
            books::Error::Insufficient { balance, needed } => {
                Error::InsufficientBalance(Shortage { balance: balance.0, needed: needed.0 })
            }
            books::Error::NoAccount(_) => Error::AccountNotFound,
            books::Error::Reused(_) => Error::EventIdReused,
            books::Error::LimitReached(index) => Error::LimitReached(u32::try_from(index).unwrap_or(u32::MAX)),
            books::Error::Loading => Error::BalanceLoading,
            books::Error::Full(_) => Error::Overloaded,
            error @ (books::Error::Unsettled(_) | books::Error::Voided(_)) => Error::Unavailable(error.to_string()),
            books::Error::Unavailable(cause) => Error::Unavailable(super::unavailable("the ledger", &cause)),
            books::Error::Invalid(reason) => Error::Invalid(reason),
        }
    }
}
