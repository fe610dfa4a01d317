//! Events as the outbox has them, and outcomes as scripts write them.
//!
//! The caller encodes an event before the script knows the balance and the counters, so these are beside it in the entry.

use std::sync::Arc;

use redis::Value;

use super::reply::{Reply, parse, text};
use crate::domain::{Amount, ContentDigest, Event, Held, Outcome};
use crate::ports::outbox::EntryId;

/// What a script remembers for an event.
#[derive(Debug)]
pub(super) struct Known {
    /// Digest and asset type, as [`identity`] writes them.
    pub(super) identity: String,
    pub(super) entry: EntryId,
    pub(super) outcome: Outcome,
}

/// What tells a repetition from a reuse.
pub(super) fn identity(digest: ContentDigest, asset_type: impl std::fmt::Display) -> String {
    format!("{:032x}|{asset_type}", u128::from_be_bytes(digest.0))
}

impl Known {
    /// Reads `digest|asset|entry|amount|balance|counters`.
    pub(super) fn read(told: &str) -> Result<Self, String> {
        let mut parts = told.splitn(4, '|');
        let mut part = || parts.next().ok_or_else(|| format!("strange outcome: {told}"));
        let identity = format!("{}|{}", part()?, part()?);
        let entry = entry_id(part()?)?;
        Ok(Self { identity, entry, outcome: outcome(part()?)? })
    }

    pub(super) fn digest(&self) -> Result<ContentDigest, String> {
        let digits = self.identity.split('|').next().unwrap_or_default();
        let digest = u128::from_str_radix(digits, 16).map_err(|_| format!("strange digest: {digits}"))?;
        Ok(ContentDigest(digest.to_be_bytes()))
    }
}

/// The outcome of an event that the queue had long ago, as [`Known::read`] reads it: its entry comes before every entry.
pub(super) fn written(held: &Held) -> String {
    let Outcome { amount, balance, counters } = &held.outcome;
    let counters: Vec<String> = counters.iter().map(i64::to_string).collect();
    let identity = identity(held.digest, held.payer.asset_type);
    format!("{identity}|0-0|{}|{}|{}", amount.0, balance.0, counters.join(","))
}

/// Reads `amount|balance|counters`.
fn outcome(told: &str) -> Result<Outcome, String> {
    let mut parts = told.split('|');
    let mut part = || parts.next().ok_or_else(|| format!("strange outcome: {told}"));
    let (amount, balance, counters) = (parse(part()?)?, parse(part()?)?, part()?);
    let counters = counters.split(',').filter(|counter| !counter.is_empty()).map(parse).collect::<Result<_, _>>()?;
    Ok(Outcome { amount: Amount(amount), balance: Amount(balance), counters })
}

pub(super) fn entry_id(told: &str) -> Result<EntryId, String> {
    let (ms, number) = told.split_once('-').ok_or_else(|| format!("strange entry: {told}"))?;
    Ok(EntryId((parse(ms)?, parse(number)?)))
}

pub(super) fn encode(event: &Event) -> Result<Vec<u8>, String> {
    postcard::to_stdvec(event).map_err(|error| format!("the event cannot be encoded: {error}"))
}

/// Reads an entry of the stream: its id, and its fields by name.
pub(super) fn decode(entry: Value) -> Result<(EntryId, Arc<Event>), String> {
    let mut entry = Reply::new(entry)?;
    let id = entry.text()?;
    let mut fields = Reply::new(entry.value()?)?.rest();
    let mut event: Option<Event> = None;
    let mut told = None;
    while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
        match (text(name)?.as_str(), value) {
            ("b", Value::BulkString(bytes)) => {
                let read = postcard::from_bytes(&bytes);
                event = Some(read.map_err(|error| format!("entry {id} is no event: {error}"))?);
            }
            ("o", value) => told = Some(outcome(&text(value)?)?),
            _ => {}
        }
    }
    let mut event = event.ok_or_else(|| format!("entry {id} is no event"))?;
    if let (Some(held), Some(told)) = (&mut event.held, told) {
        held.outcome = told;
    }
    Ok((entry_id(&id)?, Arc::new(event)))
}
