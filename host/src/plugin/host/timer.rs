//! `greenroom:timer`: durable one-shot timers of the call's room.

use std::sync::Arc;

use greenroom_manifest::Grant;

use super::{length, size};
use crate::domain::RoomId;
use crate::plugin::bindings::greenroom::timer::timer::{Error, Host};
use crate::plugin::state::State;
use crate::ports::cache as port;

const KEY_BYTES_MAX: usize = 128;
const PAYLOAD_BYTES_MAX: usize = 4 * 1024;
/// 31 days.
const AFTER_MS_MAX: u64 = 31 * 24 * 60 * 60 * 1_000;

impl Host for State {
    async fn set(&mut self, key: String, after_ms: u64, payload: Vec<u8>) -> wasmtime::Result<Result<(), Error>> {
        self.enter()?;
        Ok(set(self, &key, after_ms, &payload).await)
    }

    async fn cancel(&mut self, key: String) -> wasmtime::Result<Result<(), Error>> {
        self.enter()?;
        Ok(cancel(self, &key).await)
    }
}

async fn set(state: &mut State, key: &str, after_ms: u64, payload: &[u8]) -> Result<(), Error> {
    let room = place(state, key)?;
    if after_ms > AFTER_MS_MAX {
        return Err(Error::Invalid(format!("after-ms is {after_ms}; it may be up to {AFTER_MS_MAX}")));
    }
    size("payload", payload.len(), PAYLOAD_BYTES_MAX).map_err(Error::Invalid)?;
    let timers = Arc::clone(&state.ports.timers);
    let position = timers.set(&state.profile.name, room, key, after_ms, payload).await?;
    state.call.reached(position);
    Ok(())
}

async fn cancel(state: &mut State, key: &str) -> Result<(), Error> {
    let room = place(state, key)?;
    let timers = Arc::clone(&state.ports.timers);
    let position = timers.cancel(&state.profile.name, room, key).await?;
    state.call.reached(position);
    Ok(())
}

fn place(state: &State, key: &str) -> Result<RoomId, Error> {
    state.granted(Grant::Timer).map_err(Error::NotGranted)?;
    length("key", key, KEY_BYTES_MAX).map_err(Error::Invalid)?;
    state.room_id().ok_or(Error::NoRoom)
}

impl From<port::Error> for Error {
    fn from(error: port::Error) -> Self {
        match error {
            port::Error::Full(_) => Error::LimitReached,
            // No outage: the events of a batch go on to another try, so that settling passes what recovering waits for.
            port::Error::Recovering => Error::Unavailable(port::Error::Recovering.to_string()),
            port::Error::Unavailable(cause) => Error::Unavailable(super::unavailable("the cache", &cause)),
            port::Error::WrongKind(key) => Error::Other(format!("key {key} holds another kind of value")),
        }
    }
}
