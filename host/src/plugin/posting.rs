//! What a plugin may write into the books: postings of the batch that it is consuming, and no value out of nothing.
//!
//! A posting that breaks a rule is refused alone; its neighbours are written.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::domain::{self, Amount, AssetType, Entry, Event, EventId, Held, Part, UserId};
use crate::plugin::bindings::greenroom::ledger::ledger::{self as wit, Error, PostOutcome};
use crate::plugin::state::{Kind, State};
use crate::ports::db::{self, PostResult};

/// Postings in one call; the greatest batch.
const POSTINGS_MAX: usize = 1_000;
/// Entries of one posting.
const ENTRIES_MAX: usize = 64;

/// Checks and writes a batch of postings.
///
/// # Errors
/// Outside `consumer.handle`, for a batch that is too long, or as the ledger has it.
pub(crate) async fn post(state: &mut State, batch: Vec<wit::Posting>) -> Result<Vec<PostOutcome>, Error> {
    if !matches!(state.call.kind, Kind::Consume(_)) {
        return Err(Error::NotGranted("`post` may only be called from `consumer.handle`".into()));
    }
    if batch.len() > POSTINGS_MAX {
        return Err(Error::Invalid(format!("batch has {} postings; it may have up to {POSTINGS_MAX}", batch.len())));
    }
    let mut outcomes: Vec<Option<PostOutcome>> = Vec::with_capacity(batch.len());
    let mut postings = Vec::with_capacity(batch.len());
    let pots = own_pots(state, &batch).await?;
    for posting in batch {
        match check(state, &pots, posting) {
            Ok(posting) => {
                postings.push(posting);
                outcomes.push(None);
            }
            Err(reason) => outcomes.push(Some(PostOutcome::Refused(reason))),
        }
    }
    let results = if postings.is_empty() { Vec::new() } else { state.ports.ledger.post(&postings).await? };
    let mut results = results.into_iter();
    Ok(outcomes.into_iter().map(|refused| refused.unwrap_or_else(|| outcome(results.next()))).collect())
}

fn outcome(result: Option<PostResult>) -> PostOutcome {
    match result {
        Some(PostResult::Posted) => PostOutcome::Posted,
        Some(PostResult::Duplicate) => PostOutcome::Duplicate,
        Some(PostResult::Voided) => PostOutcome::Voided,
        Some(PostResult::Conflict) => PostOutcome::Refused("the event id is known with another digest".into()),
        Some(PostResult::Overflow) => PostOutcome::Refused("a balance would not fit in 64 bits".into()),
        None => PostOutcome::Refused("the ledger gave no result".into()),
    }
}

/// An event of the batch, or none.
pub(crate) fn event_of_batch(state: &mut State, key: &(UserId, EventId)) -> Option<Arc<Event>> {
    let Kind::Consume(batch) = &state.call.kind else { return None };
    let by_id = state.call.by_id.get_or_insert_with(|| {
        let keyed = |event: &Arc<Event>| Some(((event.payer()?, event.event_id.clone()), Arc::clone(event)));
        batch.iter().filter_map(|delivery| keyed(&delivery.event)).collect::<HashMap<_, _>>()
    });
    by_id.get(key).cloned()
}

/// Those of the batch's accounts that are pots of the plugin.
async fn own_pots(state: &mut State, batch: &[wit::Posting]) -> Result<BTreeSet<UserId>, Error> {
    let named: BTreeSet<UserId> =
        batch.iter().flat_map(|posting| &posting.entries).map(|entry| UserId(entry.account.user_id)).collect();
    let mut own = BTreeSet::new();
    for account in named.into_iter().filter(|account| account.pot().is_some()) {
        let is_own = state.ports.pots.is_of(&state.profile.name, account).await;
        let unavailable = |error: db::Error| super::host::unavailable("the ledger", &error.to_string());
        if is_own.map_err(|error| Error::Unavailable(unavailable(error)))? {
            own.insert(account);
        }
    }
    Ok(own)
}

fn check(state: &mut State, pots: &BTreeSet<UserId>, posting: wit::Posting) -> Result<domain::Posting, String> {
    check_texts(&posting)?;
    let event_id = EventId::new(&posting.event_id).map_err(|e| format!("event-id: {e}"))?;
    let payer = UserId(posting.payer);
    let event = event_of_batch(state, &(payer, event_id.clone()))
        .ok_or("the event is not one of this batch with this payer")?;
    if !state.profile.publishes.contains(&event.topic) {
        return Err(format!("the topic `{}` is another plugin's; only that one may post its events", event.topic));
    }
    let held = event.held.as_ref().ok_or("the event holds nothing")?;
    let entries: Vec<Entry> = posting.entries.into_iter().map(Entry::from).collect();
    let books = domain::Posting {
        event_id,
        payer,
        digest: held.digest,
        outcome: Some(held.outcome.clone()),
        entries,
        biz_id: posting.biz_id,
        biz_type: posting.biz_type,
        obj_id: posting.obj_id,
        event_type: posting.event_type,
        record_json: posting.record_json,
        at_ms: event.at_ms,
    };
    books.check().map_err(|e| e.to_string())?;
    check_accounts(pots, &books, held)?;
    check_sources(state, &books, held)?;
    Ok(books)
}

fn check_texts(posting: &wit::Posting) -> Result<(), String> {
    let fields =
        [("biz-id", &posting.biz_id, 64), ("obj-id", &posting.obj_id, 64), ("event-type", &posting.event_type, 32)];
    for (field, text, max) in fields {
        if text.chars().count() > max {
            return Err(format!("{field} has more than {max} characters"));
        }
    }
    super::host::size("record-json", posting.record_json.len(), 4 * 1024)?;
    if serde_json::from_str::<serde::de::IgnoredAny>(&posting.record_json).is_err() {
        return Err("record-json is not JSON".into());
    }
    if posting.entries.is_empty() || posting.entries.len() > ENTRIES_MAX {
        return Err(format!("entries has {} elements; it may have 1 to {ENTRIES_MAX}", posting.entries.len()));
    }
    Ok(())
}

/// Entries are of users, of the mint, of the platform, and of the plugin's own pots, each in its part.
fn check_accounts(pots: &BTreeSet<UserId>, books: &domain::Posting, held: &Held) -> Result<(), String> {
    for entry in &books.entries {
        let (user, asset) = (entry.account.user_id, entry.account.asset_type);
        if user.pot().is_some() {
            if !pots.contains(&user) {
                return Err(format!("an entry for user {user}: that is no pot of this plugin"));
            }
            // A pot keeps what somebody has paid; what is minted goes to people.
            if asset != held.payer.asset_type {
                let paid = held.payer.asset_type;
                return Err(format!(
                    "{} may not have an entry: a pot takes the asset that is held, {paid}",
                    entry.account
                ));
            }
        } else if user.0 == 0 || (user.is_system() && user != UserId::MINT && user != UserId::PLATFORM) {
            return Err(format!(
                "an entry for user {user}: only users, the plugin's pots, the platform (-2) and the mint (-1) have entries"
            ));
        }
        let pays = entry.part == Part::Payer && entry.account == held.payer;
        if !pays && (entry.part == Part::System) != user.is_system() {
            return Err(format!(
                "the entry of {} is in the wrong part: `system` is for system accounts",
                entry.account
            ));
        }
    }
    Ok(())
}

/// Value comes from the hold, all of it, or from the mint in an asset that may be minted; from nowhere else.
///
/// What the payer gets back does not count against what was paid: the books must not show a greater payment than was agreed to.
fn check_sources(state: &State, books: &domain::Posting, held: &Held) -> Result<(), String> {
    let mut paid = Amount::ZERO;
    for entry in &books.entries {
        let (user, asset) = (entry.account.user_id, entry.account.asset_type);
        if entry.account == held.payer && entry.part == Part::Payer {
            paid = paid.plus(entry.delta).map_err(|e| e.to_string())?;
        } else if entry.delta < Amount::ZERO {
            let minted = user == UserId::MINT && asset != held.payer.asset_type && mintable(state, asset);
            if !minted {
                return Err(format!("{} may not be debited by this event", entry.account));
            }
        }
    }
    let held_amount = held.outcome.amount;
    if paid.negated().map_err(|e| e.to_string())? != held_amount {
        return Err(format!(
            "the payer pays {paid} by the entries; {held_amount} is held, so the payer's entry must be -{held_amount}"
        ));
    }
    Ok(())
}

fn mintable(state: &State, asset: AssetType) -> bool {
    state.ports.mintable_assets.contains(&asset)
}

impl From<wit::Entry> for Entry {
    fn from(entry: wit::Entry) -> Self {
        let part = match entry.part {
            wit::Part::Payer => Part::Payer,
            wit::Part::Receiver => Part::Receiver,
            wit::Part::System => Part::System,
        };
        Self { account: entry.account.into(), part, delta: Amount(entry.delta) }
    }
}
