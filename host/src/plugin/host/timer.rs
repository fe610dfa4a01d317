//! `greenroom:timer`: durable one-shot timers of the call's room, or of another one in which the plugin is enabled.

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
        Ok(set(self, None, &Asked { key, after_ms, payload }).await)
    }

    async fn ensure(&mut self, key: String, after_ms: u64, payload: Vec<u8>) -> wasmtime::Result<Result<(), Error>> {
        self.enter()?;
        Ok(ensure(self, None, &Asked { key, after_ms, payload }).await)
    }

    async fn set_in(
        &mut self,
        room_id: i64,
        key: String,
        after_ms: u64,
        payload: Vec<u8>,
    ) -> wasmtime::Result<Result<(), Error>> {
        self.enter()?;
        Ok(set(self, Some(RoomId(room_id)), &Asked { key, after_ms, payload }).await)
    }

    async fn ensure_in(
        &mut self,
        room_id: i64,
        key: String,
        after_ms: u64,
        payload: Vec<u8>,
    ) -> wasmtime::Result<Result<(), Error>> {
        self.enter()?;
        Ok(ensure(self, Some(RoomId(room_id)), &Asked { key, after_ms, payload }).await)
    }

    async fn cancel_in(&mut self, room_id: i64, key: String) -> wasmtime::Result<Result<(), Error>> {
        self.enter()?;
        Ok(cancel(self, Some(RoomId(room_id)), &key).await)
    }

    async fn cancel(&mut self, key: String) -> wasmtime::Result<Result<(), Error>> {
        self.enter()?;
        Ok(cancel(self, None, &key).await)
    }
}

/// A timer as the plugin asks for it.
struct Asked {
    key: String,
    after_ms: u64,
    payload: Vec<u8>,
}

async fn set(state: &mut State, room: Option<RoomId>, asked: &Asked) -> Result<(), Error> {
    let room = place(state, room, &asked.key).await?;
    check(asked)?;
    let timers = Arc::clone(&state.ports.timers);
    let position = timers.set(&state.profile.name, room, &asked.key, asked.after_ms, &asked.payload).await?;
    state.call.reached(position);
    Ok(())
}

async fn ensure(state: &mut State, room: Option<RoomId>, asked: &Asked) -> Result<(), Error> {
    let room = place(state, room, &asked.key).await?;
    check(asked)?;
    let timers = Arc::clone(&state.ports.timers);
    let position = timers.ensure(&state.profile.name, room, &asked.key, asked.after_ms, &asked.payload).await?;
    state.call.reached(position);
    Ok(())
}

async fn cancel(state: &mut State, room: Option<RoomId>, key: &str) -> Result<(), Error> {
    let room = place(state, room, key).await?;
    let timers = Arc::clone(&state.ports.timers);
    let position = timers.cancel(&state.profile.name, room, key).await?;
    state.call.reached(position);
    Ok(())
}

fn check(asked: &Asked) -> Result<(), Error> {
    if asked.after_ms > AFTER_MS_MAX {
        return Err(Error::Invalid(format!("after-ms is {}; it may be up to {AFTER_MS_MAX}", asked.after_ms)));
    }
    size("payload", asked.payload.len(), PAYLOAD_BYTES_MAX).map_err(Error::Invalid)
}

/// The room that was named, if the plugin is enabled there; the call's if none was.
async fn place(state: &mut State, named: Option<RoomId>, key: &str) -> Result<RoomId, Error> {
    state.granted(Grant::Timer).map_err(Error::NotGranted)?;
    length("key", key, KEY_BYTES_MAX).map_err(Error::Invalid)?;
    let Some(room) = named else { return state.room_id().ok_or(Error::NoRoom) };
    match state.context_in(room).await {
        Ok(Some(_)) => Ok(room),
        Ok(None) => Err(Error::NoRoom),
        Err(cause) => Err(Error::Unavailable(super::unavailable("the database", &cause))),
    }
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
