//! `greenroom:mq`: publishing to the plugin's own topics, through the outbox, so that a message is durable with the answer.

use std::sync::Arc;

use greenroom_manifest::Grant;

use super::{PAYLOAD_BYTES_MAX, length, size};
use crate::domain::{Event, EventId};
use crate::plugin::bindings::greenroom::mq::mq::{Error, Host};
use crate::plugin::host::cache::shard_of;
use crate::plugin::state::State;
use crate::ports::cache::{self as port, Commit, CommitResult};

impl Host for State {
    async fn publish(
        &mut self,
        topic: String,
        key: String,
        event_id: String,
        payload: Vec<u8>,
    ) -> wasmtime::Result<Result<(), Error>> {
        self.enter()?;
        Ok(publish(self, &topic, &key, &event_id, payload).await)
    }
}

async fn publish(state: &mut State, topic: &str, key: &str, event_id: &str, payload: Vec<u8>) -> Result<(), Error> {
    state.granted(Grant::Mq).map_err(Error::NotGranted)?;
    let Some(topic) = state.profile.publishes.iter().find(|own| ***own == *topic) else {
        return Err(Error::NotGranted(format!("the manifest does not publish the topic `{topic}`")));
    };
    length("key", key, 120).map_err(Error::Invalid)?;
    let event_id = EventId::new(event_id).map_err(|e| Error::Invalid(format!("event-id: {e}")))?;
    size("payload", payload.len(), PAYLOAD_BYTES_MAX).map_err(Error::Invalid)?;
    let now_ms = state.ports.clock.now_ms();
    let event = Event {
        event_id,
        topic: Arc::clone(topic),
        key: key.into(),
        room_id: state.room_id(),
        at_ms: now_ms,
        held: None,
        payload: payload.into(),
    };
    // One key is one shard, hence one bucket with one outbox: that keeps the messages of the key in order.
    let shard = shard_of(state, &format!("mq/{key}"));
    let commit = Commit { shard, once: None, checks: Vec::new(), writes: Vec::new(), events: vec![event], now_ms };
    let cache = Arc::clone(&state.ports.cache);
    match cache.commit(commit).await? {
        CommitResult::Applied(_, position) | CommitResult::Repeated(position) => state.call.reached(position),
        other => return Err(Error::Other(format!("the cache answered {other:?}"))),
    }
    Ok(())
}

impl From<port::Error> for Error {
    fn from(error: port::Error) -> Self {
        match error {
            port::Error::Full(_) => Error::Overloaded,
            // No outage: the events of a batch go on to another try, so that settling passes what recovering waits for.
            port::Error::Recovering => Error::Unavailable(port::Error::Recovering.to_string()),
            port::Error::Unavailable(cause) => Error::Unavailable(super::unavailable("the queue", &cause)),
            port::Error::WrongKind(key) => Error::Other(format!("key {key} holds another kind of value")),
        }
    }
}
