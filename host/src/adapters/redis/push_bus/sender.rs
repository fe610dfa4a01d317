//! Sending pushes: what comes while an answer of the server is awaited goes out together, one message of the server for each channel.
//!
//! So a busy process costs the server and every listener a few messages a millisecond rather than one for each push. Bounded: callers
//! wait for their own pushes, and at most [`WAITING_MAX`] of them are in line.

use std::collections::BTreeMap;
use std::time::Duration;

use redis::aio::ConnectionManager;
use redis::cluster_async::ClusterConnection;
use redis::{Cmd, RedisError};
use tokio::sync::{mpsc, oneshot};

use super::super::server::within;
use crate::domain::PushMessage;
use crate::ports::push_bus::Unavailable;

/// Callers in line; then others wait before it.
const WAITING_MAX: usize = 1_024;

/// Over what it is sent.
#[derive(Clone)]
pub(super) enum Link {
    Single(ConnectionManager),
    Cluster(ClusterConnection),
}

/// What one caller publishes.
pub(super) struct Parcel {
    /// By channel.
    pub(super) messages: BTreeMap<u32, Vec<PushMessage>>,
    pub(super) sent: oneshot::Sender<Result<(), Unavailable>>,
}

/// The line, and its other end.
pub(super) fn line() -> (mpsc::Sender<Parcel>, mpsc::Receiver<Parcel>) {
    mpsc::channel(WAITING_MAX)
}

/// Sends what is in line until the line is closed.
pub(super) async fn send(link: Link, mut line: mpsc::Receiver<Parcel>, prefix: String, limit: Duration) {
    let mut parcels = Vec::new();
    while line.recv_many(&mut parcels, WAITING_MAX).await > 0 {
        let mut by_channel: BTreeMap<u32, Vec<PushMessage>> = BTreeMap::new();
        let mut waiting = Vec::with_capacity(parcels.len());
        for Parcel { messages, sent } in parcels.drain(..) {
            for (channel, messages) in messages {
                by_channel.entry(channel).or_default().extend(messages);
            }
            waiting.push(sent);
        }
        let answer = send_all(&link, &prefix, by_channel, limit).await.map_err(Unavailable);
        for sent in waiting {
            // Whoever is gone does not want to know.
            let _ = sent.send(answer.clone());
        }
    }
}

async fn send_all(
    link: &Link,
    prefix: &str,
    by_channel: BTreeMap<u32, Vec<PushMessage>>,
    limit: Duration,
) -> Result<(), String> {
    let mut commands = Vec::with_capacity(by_channel.len());
    for (channel, messages) in by_channel {
        let encoded = postcard::to_stdvec(&messages);
        let encoded = encoded.map_err(|error| format!("the pushes cannot be encoded: {error}"))?;
        let mut cmd = redis::cmd(match link {
            Link::Single(_) => "PUBLISH",
            Link::Cluster(_) => "SPUBLISH",
        });
        cmd.arg(super::name(prefix, channel)).arg(encoded);
        commands.push(cmd);
    }
    // Commands to one server go out together, and those to several side by side.
    let sent = futures::future::try_join_all(commands.iter().map(|cmd| publish(link, cmd)));
    within(limit, sent).await.map(drop)
}

async fn publish(link: &Link, cmd: &Cmd) -> Result<(), RedisError> {
    match link {
        Link::Single(link) => cmd.exec_async(&mut link.clone()).await,
        Link::Cluster(link) => cmd.exec_async(&mut link.clone()).await,
    }
}
