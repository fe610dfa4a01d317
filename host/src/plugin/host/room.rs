//! `greenroom:room`: who and what a room is, and the pushes, which wait in the call until what it did is durable.

use std::sync::Arc;

use greenroom_manifest::Grant;

use super::{length, size};
use crate::domain::{Audience, Priority, PushMessage, RoomId, UserId};
use crate::plugin::bindings::greenroom::room::room::{self as wit, Error, Host, Info};
use crate::plugin::state::State;
use crate::plugin::{Context, RoomInfo};

/// JSON of one push.
const DATA_BYTES_MAX: usize = 16 * 1024;
/// The event's name.
const NAME_BYTES_MAX: usize = 64;

impl Host for State {
    fn get_info(&mut self) -> wasmtime::Result<Option<Info>> {
        self.enter()?;
        Ok(self.room().map(|room| info(room)))
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
        let message = Message { audience: Audience::Room, key, event, data, priority };
        Ok(self.room_id().ok_or(Error::NoRoom).and_then(|room| push(self, room, message)))
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
        let message = Message { audience: Audience::User(UserId(user_id)), key, event, data, priority };
        Ok(self.room_id().ok_or(Error::NoRoom).and_then(|room| push(self, room, message)))
    }

    async fn find(&mut self, room_id: i64) -> wasmtime::Result<Result<Option<Info>, Error>> {
        self.enter()?;
        Ok(match context_in(self, room_id).await {
            Ok(context) => Ok(context.room.as_ref().map(|room| info(room))),
            Err(Error::NoRoom) => Ok(None),
            Err(error) => Err(error),
        })
    }

    async fn configuration_in(&mut self, room_id: i64) -> wasmtime::Result<Result<String, Error>> {
        self.enter()?;
        Ok(context_in(self, room_id).await.map(|context| context.config_json.as_ref().into()))
    }

    async fn broadcast_in(
        &mut self,
        room_id: i64,
        key: String,
        event: String,
        data: String,
        priority: wit::Priority,
    ) -> wasmtime::Result<Result<(), Error>> {
        self.enter()?;
        Ok(push_in(self, room_id, Message { audience: Audience::Room, key, event, data, priority }).await)
    }

    async fn send_in(
        &mut self,
        room_id: i64,
        user_id: i64,
        key: String,
        event: String,
        data: String,
        priority: wit::Priority,
    ) -> wasmtime::Result<Result<(), Error>> {
        self.enter()?;
        let audience = Audience::User(UserId(user_id));
        Ok(push_in(self, room_id, Message { audience, key, event, data, priority }).await)
    }
}

/// A push as the plugin gives it.
struct Message {
    audience: Audience,
    key: String,
    event: String,
    data: String,
    priority: wit::Priority,
}

fn info(room: &RoomInfo) -> Info {
    Info {
        room_id: room.room_id.0,
        title: room.title.as_ref().into(),
        streamers: room.streamers.iter().map(|user| user.0).collect(),
        stream: room
            .stream
            .as_ref()
            .map(|stream| wit::Stream { id: stream.stream_id.0.as_ref().into(), started_at_ms: stream.started_at_ms }),
    }
}

/// What the plugin runs under in a room, which its call need not be about.
async fn context_in(state: &mut State, room_id: i64) -> Result<Arc<Context>, Error> {
    let found = state.context_in(RoomId(room_id)).await;
    found.map_err(|cause| Error::Unavailable(super::unavailable("the database", &cause)))?.ok_or(Error::NoRoom)
}

async fn push_in(state: &mut State, room_id: i64, message: Message) -> Result<(), Error> {
    // Before a room is looked for: what is not granted costs nothing.
    state.granted(Grant::Push).map_err(Error::NotGranted)?;
    context_in(state, room_id).await?;
    push(state, RoomId(room_id), message)
}

fn push(state: &mut State, room_id: RoomId, message: Message) -> Result<(), Error> {
    let Message { audience, key, event, data, priority } = message;
    state.granted(Grant::Push).map_err(Error::NotGranted)?;
    if let Audience::User(UserId(user_id)) = audience
        && user_id < 1
    {
        return Err(Error::Invalid(format!("user-id is {user_id}; it must be 1 or more")));
    }
    if state.call.pushes.len() >= state.call.pushes_max {
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
