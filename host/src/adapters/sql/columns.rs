//! Values as columns hold them. A column that holds what this program never wrote is a fault, not a panic.

use std::fmt::Display;

use semver::Version;
use serde_json::Value;

use crate::domain::{ContentDigest, EventId, Outcome, Part};
use crate::ports::db::Error;

/// A row holds what this program never wrote.
pub(in crate::adapters) fn corrupt(what: impl Display) -> Error {
    Error::Refused(format!("a row is damaged: {what}"))
}

/// A number that a column can hold.
pub(in crate::adapters) fn signed(number: u64) -> Result<i64, Error> {
    i64::try_from(number).map_err(|_| Error::Refused(format!("{number} does not fit in 63 bits")))
}

/// A number that was stored, such as a time.
pub(in crate::adapters) fn unsigned(number: i64) -> Result<u64, Error> {
    u64::try_from(number).map_err(|_| corrupt(format_args!("{number} is below zero")))
}

/// A limit as a database takes it.
pub(in crate::adapters) fn at_most(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// A version as it was stored.
pub(in crate::adapters) fn read_version(text: &str) -> Result<Version, Error> {
    text.parse().map_err(|fault| corrupt(format_args!("version `{text}`: {fault}")))
}

/// JSON as it was stored.
pub(in crate::adapters) fn read_json(text: &str) -> Result<Value, Error> {
    serde_json::from_str(text).map_err(|fault| corrupt(format_args!("JSON: {fault}")))
}

/// An event id as it was stored.
pub(in crate::adapters) fn read_event_id(text: &str) -> Result<EventId, Error> {
    EventId::new(text).map_err(|fault| corrupt(format_args!("`{text}`: {fault}")))
}

/// An account's part as it was stored.
pub(in crate::adapters) fn read_part(number: i64) -> Result<Part, Error> {
    match number {
        1 => Ok(Part::Payer),
        2 => Ok(Part::Receiver),
        3 => Ok(Part::System),
        other => Err(corrupt(format_args!("entry with part {other}"))),
    }
}

/// An answer as it is stored: the postcard form of the three fields, some ten bytes. Another field needs another column.
pub(in crate::adapters) fn write_outcome(outcome: &Outcome) -> Result<Vec<u8>, Error> {
    postcard::to_stdvec(outcome).map_err(|fault| Error::Refused(format!("the outcome cannot be stored: {fault}")))
}

/// An answer as it was stored.
pub(in crate::adapters) fn read_outcome(bytes: &[u8]) -> Result<Outcome, Error> {
    postcard::from_bytes(bytes).map_err(|fault| corrupt(format_args!("outcome: {fault}")))
}

/// A digest as it was stored.
pub(in crate::adapters) fn read_digest(bytes: &[u8]) -> Result<ContentDigest, Error> {
    let digest = bytes.try_into().map_err(|_| corrupt(format_args!("a digest of {} bytes", bytes.len())))?;
    Ok(ContentDigest(digest))
}
