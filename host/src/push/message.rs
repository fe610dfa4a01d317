//! One message in its place in a room, and its two shapes on the wire, each made once for all connections.

use std::sync::{Arc, OnceLock};

use axum::extract::ws::Utf8Bytes;
use bytes::Bytes;

use crate::domain::{Audience, Priority, UserId};

/// A message with its id.
#[derive(Debug)]
pub struct Message {
    pub(super) seq: u64,
    pub(super) audience: Audience,
    pub(super) key: Arc<str>,
    /// `<epoch>-<seq>`.
    pub id: Box<str>,
    /// Such as `gift.sent`.
    pub event: Arc<str>,
    /// JSON.
    pub data: Arc<str>,
    /// What is lost first.
    pub priority: Priority,
    sse: OnceLock<Bytes>,
    ws: OnceLock<Utf8Bytes>,
}

impl Message {
    pub(super) fn new(epoch: &str, seq: u64, message: crate::domain::PushMessage) -> Self {
        Self {
            seq,
            audience: message.audience,
            key: message.key,
            id: format!("{epoch}-{seq}").into(),
            event: message.event,
            data: message.data,
            priority: message.priority,
            sse: OnceLock::new(),
            ws: OnceLock::new(),
        }
    }

    /// The frame of an event stream.
    #[must_use]
    pub fn sse(&self) -> Bytes {
        self.sse.get_or_init(|| sse_frame(Some(&self.id), &self.event, &self.data)).clone()
    }

    /// The text of a WebSocket message. The data is JSON already, so it is not parsed again.
    #[must_use]
    pub fn ws(&self) -> Utf8Bytes {
        let text = || {
            let event = serde_json::Value::from(&*self.event);
            format!("{{\"id\":\"{}\",\"event\":{event},\"data\":{}}}", self.id, self.data).into()
        };
        self.ws.get_or_init(text).clone()
    }

    pub(super) fn is_for(&self, user: UserId) -> bool {
        match self.audience {
            Audience::Room => true,
            Audience::User(one) => one == user,
        }
    }
}

/// Writes one frame of an event stream (WHATWG HTML, 9.2.6): a line break inside a value would end the field, so data is split
/// into lines and other values lose theirs.
#[must_use]
pub fn sse_frame(id: Option<&str>, event: &str, data: &str) -> Bytes {
    let mut frame = String::with_capacity(event.len() + data.len() + 64);
    if let Some(id) = id {
        frame.push_str("id: ");
        frame.push_str(id);
        frame.push('\n');
    }
    frame.push_str("event: ");
    frame.extend(event.chars().filter(|c| !matches!(c, '\n' | '\r')));
    frame.push('\n');
    for line in data.split(['\n', '\r']).filter(|line| !line.is_empty()) {
        frame.push_str("data: ");
        frame.push_str(line);
        frame.push('\n');
    }
    frame.push('\n');
    Bytes::from(frame)
}
