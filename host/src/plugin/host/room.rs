//! `greenroom:room`: who and what the room is, and the pushes, which wait in the call until what it did is durable.

use greenroom_manifest::Grant;

use super::{length, size};
use crate::domain::{Audience, Priority, PushMessage, UserId};
use crate::plugin::bindings::greenroom::room::room::{self as wit, Error, Host, Info};
use crate::plugin::state::State;

/// JSON of one push.
const DATA_BYTES_MAX: usize = 16 * 1024;
/// The event's name.
const NAME_BYTES_MAX: usize = 64;

impl Host for State {
    fn get_info(&mut self) -> wasmtime::Result<Option<Info>> {
        self.enter()?;
        Ok(self.room().map(|room| Info {
            room_id: room.room_id.0,
            title: room.title.as_ref().into(),
            streamers: room.streamers.iter().map(|user| user.0).collect(),
            stream: room.stream.as_ref().map(|stream| wit::Stream {
                id: stream.stream_id.0.as_ref().into(),
                started_at_ms: stream.started_at_ms,
            }),
        }))
    }

    fn configuration(&mut self) -> wasmtime::Result<String> {
        self.enter()?;
        Ok(self.config_json().as_ref().into())
    }

    fn broadcast(
        &mut self,
        key: String,
        event: String,
        data: String,
        priority: wit::Priority,
    ) -> wasmtime::Result<Result<(), Error>> {
        self.enter()?;
        Ok(push(self, Audience::Room, key, event, data, priority))
    }

    fn send(
        &mut self,
        user_id: i64,
        key: String,
        event: String,
        data: String,
        priority: wit::Priority,
    ) -> wasmtime::Result<Result<(), Error>> {
        self.enter()?;
        if user_id < 1 {
            return Ok(Err(Error::Invalid(format!("user-id is {user_id}; it must be 1 or more"))));
        }
        Ok(push(self, Audience::User(UserId(user_id)), key, event, data, priority))
    }
}

fn push(
    state: &mut State,
    audience: Audience,
    key: String,
    event: String,
    data: String,
    priority: wit::Priority,
) -> Result<(), Error> {
    state.granted(Grant::Push).map_err(Error::NotGranted)?;
    let room_id = state.room_id().ok_or(Error::NoRoom)?;
    if state.call.pushes.len() >= state.profile.limits.pushes as usize {
        return Err(Error::LimitReached);
    }
    length("key", &key, 128).map_err(Error::Invalid)?;
    length("event", &event, NAME_BYTES_MAX).map_err(Error::Invalid)?;
    if !event.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_')) {
        return Err(Error::Invalid("event may have A-Z a-z 0-9 . - _".into()));
    }
    size("data", data.len(), DATA_BYTES_MAX).map_err(Error::Invalid)?;
    if let Err(fault) = serde_json::from_str::<serde::de::IgnoredAny>(&data) {
        return Err(Error::Invalid(format!("data is not JSON: {fault}")));
    }
    state.call.pushes.push(PushMessage {
        room_id,
        audience,
        key: key.into(),
        event: event.into(),
        data: one_line(data).into(),
        priority: priority.into(),
    });
    Ok(())
}

/// JSON has line breaks only between its tokens, so they can be left out; a message of Server-Sent Events is one line.
fn one_line(data: String) -> String {
    if data.contains(['\n', '\r']) { data.replace(['\n', '\r'], " ") } else { data }
}

impl From<wit::Priority> for Priority {
    fn from(priority: wit::Priority) -> Self {
        match priority {
            wit::Priority::High => Priority::High,
            wit::Priority::Normal => Priority::Normal,
            wit::Priority::Low => Priority::Low,
        }
    }
}
