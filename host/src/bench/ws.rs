//! Gifts over the room's WebSocket (`greenroom.v1`): one socket for each viewer, in the viewer's own room.
//!
//! A socket is taken out of the pool for one request at a time, and the pushes that came meanwhile are read with the answer. Bounded: one
//! socket for each viewer, and one for each request under way.

use std::collections::HashMap;

use futures::{SinkExt, StreamExt};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::load::{ANSWER_TIMEOUT, pause};
use super::message::{Cast, Verdict, verdict};
use super::plan::Gift;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// The sockets on which no request is under way, by viewer.
#[derive(Default)]
pub(super) struct Sockets(Mutex<HashMap<u32, Socket>>);

/// What comes over a socket: an answer has a status, a push has none.
#[derive(Deserialize)]
struct Received<'a> {
    status: Option<u16>,
    #[serde(borrow)]
    body: Option<&'a RawValue>,
}

impl Sockets {
    /// Sends a gift once, and waits for its answer.
    ///
    /// # Errors
    /// With a word for what happened to the socket; the gift's outcome is not known then.
    pub(super) async fn send(&self, cast: &Cast, gift: &Gift) -> Result<Verdict, String> {
        let idle = self.0.lock().remove(&gift.viewer);
        let mut socket = match idle {
            Some(socket) => socket,
            None => match connect_async(cast.socket_url(gift)).await {
                Ok((socket, _)) => socket,
                Err(_) => {
                    pause().await;
                    return Err("no connection".into());
                }
            },
        };
        let answer = timeout(ANSWER_TIMEOUT, exchange(&mut socket, cast.socket_request(gift))).await;
        let verdict = answer.map_err(|_| "no answer in time")??;
        self.0.lock().insert(gift.viewer, socket);
        Ok(verdict)
    }
}

async fn exchange(socket: &mut Socket, request: String) -> Result<Verdict, String> {
    socket.send(Message::text(request)).await.map_err(|_| "connection lost")?;
    while let Some(message) = socket.next().await {
        let Message::Text(text) = message.map_err(|_| "connection lost")? else { continue };
        let received: Received<'_> = serde_json::from_str(&text).map_err(|_| "malformed answer")?;
        if let Some(status) = received.status {
            return Ok(verdict(status, received.body.map_or(&[], |body| body.get().as_bytes())));
        }
    }
    Err("connection lost".into())
}
