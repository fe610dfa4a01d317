//! Sending pushes: what comes while an answer of the server is awaited goes out together, one message of the server for each channel.
//!
//! So a busy process costs the server and every listener a few messages a millisecond rather than one for each push. Bounded: callers
//! wait for their own pushes, and at most [`WAITING_MAX`] of them are in line.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::try_join_all;
use redis::{Cmd, RedisError};
use tokio::sync::{mpsc, oneshot};

use super::super::super::guard::Guard;
use super::super::server::{Link, guarded};
use crate::domain::PushMessage;
use crate::ports::push_bus::Unavailable;

/// Callers in line; then others wait before it.
const WAITING_MAX: usize = 1_024;

/// What one caller publishes.
pub(super) struct Parcel {
    /// By channel.
    pub(super) messages: BTreeMap<u32, Vec<PushMessage>>,
    /// Whether it says that something was changed.
    pub(super) announces: bool,
    pub(super) sent: oneshot::Sender<Result<(), Unavailable>>,
}

/// The line, and its other end.
pub(super) fn line() -> (mpsc::Sender<Parcel>, mpsc::Receiver<Parcel>) {
    mpsc::channel(WAITING_MAX)
}

/// The end of the line that sends.
pub(super) struct Sender {
    pub(super) link: Link,
    pub(super) guard: Arc<Guard>,
    pub(super) prefix: String,
    pub(super) call_timeout: Duration,
}

impl Sender {
    /// Sends what is in line until the line is closed.
    pub(super) async fn run(self, mut line: mpsc::Receiver<Parcel>) {
        let mut parcels = Vec::new();
        while line.recv_many(&mut parcels, WAITING_MAX).await > 0 {
            let mut by_channel: BTreeMap<u32, Vec<PushMessage>> = BTreeMap::new();
            let mut waiting = Vec::with_capacity(parcels.len());
            let mut announces = false;
            for Parcel { messages, announces: also, sent } in parcels.drain(..) {
                announces |= also;
                for (channel, messages) in messages {
                    by_channel.entry(channel).or_default().extend(messages);
                }
                waiting.push(sent);
            }
            let answer = self.send_all(by_channel, announces).await.map_err(Unavailable);
            for sent in waiting {
                // Whoever is gone does not want to know.
                let _ = sent.send(answer.clone());
            }
        }
    }

    async fn send_all(&self, by_channel: BTreeMap<u32, Vec<PushMessage>>, announces: bool) -> Result<(), String> {
        let mut commands = Vec::with_capacity(by_channel.len() + 1);
        for (channel, messages) in by_channel {
            let encoded = postcard::to_stdvec(&messages);
            let encoded = encoded.map_err(|error| format!("the pushes cannot be encoded: {error}"))?;
            commands.push(command(&self.link, super::name(&self.prefix, channel), encoded));
        }
        if announces {
            commands.push(command(&self.link, super::name(&self.prefix, 0), Vec::new()));
        }
        // Commands to one server go out together, and those to several side by side.
        let sent = try_join_all(commands.iter().map(|cmd| publish(&self.link, cmd)));
        guarded(&self.guard, self.call_timeout, sent).await.map(drop)
    }
}

/// What publishes on a channel.
pub(super) fn command(link: &Link, channel: String, bytes: Vec<u8>) -> Cmd {
    let mut cmd = redis::cmd(match link {
        Link::Single(_) => "PUBLISH",
        Link::Cluster(_) => "SPUBLISH",
    });
    cmd.arg(channel).arg(bytes);
    cmd
}

pub(super) async fn publish(link: &Link, cmd: &Cmd) -> Result<(), RedisError> {
    match link {
        Link::Single(link) => cmd.exec_async(&mut link.clone()).await,
        Link::Cluster(link) => cmd.exec_async(&mut link.clone()).await,
    }
}
