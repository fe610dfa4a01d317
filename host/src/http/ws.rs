//! `GET /v1/rooms/{room}/ws`: the room's messages, and requests, over one WebSocket (`greenroom.v1`).
//!
//! A request goes the same way as one over HTTP, with the same limits and rates. So many may be in flight; more are answered 429. Bad
//! messages are answered 400 and the socket lives on. A client that does not answer a ping within two periods is gone.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::http::{Method, Request, Response};
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, SinkExt, StreamExt};
use http_body_util::BodyExt;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

use super::events::Query;
use super::problem::{INVALID_REQUEST, Problem, RATE_LIMITED, UNAUTHENTICATED};
use super::{App, Identity, plugin_routes, wire};
use crate::domain::RoomId;
use crate::push::{Connection, Delivery};

/// The subprotocol.
const PROTOCOL: &str = "greenroom.v1";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Login {
    token: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// Given back with the answer.
    r#ref: Value,
    method: String,
    /// Under the room, such as `gifts`.
    path: String,
    #[serde(default)]
    body: Option<Box<RawValue>>,
}

/// A WebSocket for the room's messages and for requests to its plugins.
///
/// The token comes in the header, in the query, or as the first message `{"token":"…"}`.
#[utoipa::path(get, path = "/v1/rooms/{room}/ws", tag = "push",
    params(("room" = String, Path, description = "Room id"), ("token" = Option<String>, Query),
        ("lastEventId" = Option<String>, Query, description = "The last message that was seen")),
    responses((status = 101, description = "Subprotocol `greenroom.v1`."),
        (status = 503, description = "`push-unavailable`")))]
pub(super) async fn upgrade(
    State(app): State<Arc<App>>,
    Path(room): Path<String>,
    mut parts: Parts,
) -> Result<Response<Body>, Problem> {
    let query: Query = wire::query(&parts.uri)?;
    let identity = match &query.token {
        Some(token) => Some(app.verified(token).await?),
        None if parts.headers.contains_key("authorization") => Some(app.identify(&parts).await?),
        None => None,
    };
    let room = wire::room_id(&room)?;
    let upgrade = WebSocketUpgrade::from_request_parts(&mut parts, &app).await;
    let upgrade = upgrade.map_err(|refused| Problem::new(INVALID_REQUEST, refused.body_text()))?;
    app.state.rooms.get(room).await?;
    let max = app.settings.ws_message_bytes_max;
    let upgrade = upgrade.protocols([PROTOCOL]).max_message_size(max).max_frame_size(max);
    let (owner, cut) = (app.sockets.clone(), app.cut.clone());
    Ok(upgrade.on_upgrade(move |socket| {
        let served = serve(app, room, identity, query.last_event_id, socket);
        owner.track_future(async move {
            tokio::select! {
                () = served => {}
                () = cut.cancelled() => {}
            }
        })
    }))
}

async fn serve(
    app: Arc<App>,
    room: RoomId,
    identity: Option<Identity>,
    last_id: Option<String>,
    mut socket: WebSocket,
) {
    let opened = match identity {
        Some(identity) => Ok(identity),
        None => login(&app, &mut socket).await,
    };
    let opened = opened.and_then(|identity| {
        let connection = app.state.hub.connect(room, identity.user(), last_id.as_deref())?;
        Ok((identity, connection))
    });
    match opened {
        Ok((identity, connection)) => Session::new(app, room, identity, connection).run(socket).await,
        Err(problem) => {
            let code = if problem.status() == 401 { close_code::POLICY } else { close_code::AGAIN };
            let _ = socket.send(Message::Text(refusal(&Value::Null, &problem).await)).await;
            close(&mut socket, code, "refused").await;
        }
    }
}

/// Waits for the first message, the token.
async fn login(app: &App, socket: &mut WebSocket) -> Result<Identity, Problem> {
    let refused = |why: &str| Problem::new(UNAUTHENTICATED, why);
    let first = tokio::select! {
        () = app.ending.cancelled() => return Err(refused("the server shuts down")),
        first = timeout(app.settings.ws_token_timeout, socket.recv()) => first,
    };
    match first {
        Ok(Some(Ok(Message::Text(text)))) => {
            let login: Login =
                serde_json::from_str(&text).map_err(|_| refused("the first message must be {\"token\":\"…\"}"))?;
            app.verified(&login.token).await
        }
        _ => Err(refused("no token came as the first message")),
    }
}

/// Bounded by `write_timeout` of the connection: a client that takes nothing is cut.
async fn close(socket: &mut WebSocket, code: u16, reason: &'static str) {
    let frame = CloseFrame { code, reason: Utf8Bytes::from_static(reason) };
    let _ = socket.send(Message::Close(Some(frame))).await;
}

struct Session {
    app: Arc<App>,
    room: RoomId,
    identity: Identity,
    connection: Connection,
    expires_at: Instant,
    in_flight: FuturesUnordered<BoxFuture<'static, Utf8Bytes>>,
    heard_at: Instant,
}

/// Why a socket ends.
enum End {
    Gone,
    Closed(u16, &'static str),
}

impl Session {
    fn new(app: Arc<App>, room: RoomId, identity: Identity, connection: Connection) -> Self {
        let expires_at = app.expires_at(&identity);
        Self {
            app,
            room,
            identity,
            connection,
            expires_at,
            in_flight: FuturesUnordered::new(),
            heard_at: Instant::now(),
        }
    }

    async fn run(mut self, mut socket: WebSocket) {
        match self.exchange(&mut socket).await {
            End::Gone => {}
            End::Closed(code, reason) => close(&mut socket, code, reason).await,
        }
    }

    async fn exchange(&mut self, socket: &mut WebSocket) -> End {
        let period = self.app.settings.keep_alive.max(Duration::from_millis(1));
        let mut ping = interval(period);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut taken = Vec::new();
        loop {
            let sent = tokio::select! {
                () = self.app.ending.cancelled() => return End::Closed(close_code::AWAY, "the server shuts down"),
                () = sleep_until(self.expires_at) => return End::Closed(close_code::POLICY, "the token has expired"),
                message = socket.recv() => match message {
                    Some(Ok(message)) => match self.received(message).await {
                        Some(answer) => socket.send(Message::Text(answer)).await,
                        None => Ok(()),
                    },
                    _ => return End::Gone,
                },
                Some(answer) = self.in_flight.next(), if !self.in_flight.is_empty() => {
                    socket.send(Message::Text(answer)).await
                }
                more = self.connection.next(&mut taken) => match more {
                    true => Self::push(self.room, socket, &mut taken).await,
                    false => return End::Closed(close_code::AWAY, "the server shuts down"),
                },
                _ = ping.tick() => {
                    if self.heard_at.elapsed() > period * 2 {
                        return End::Gone;
                    }
                    socket.send(Message::Ping(bytes::Bytes::new())).await
                }
            };
            if sent.is_err() {
                return End::Gone;
            }
        }
    }

    /// Writes a burst with one flush.
    async fn push(room: RoomId, socket: &mut WebSocket, taken: &mut Vec<Delivery>) -> Result<(), axum::Error> {
        for delivery in taken.drain(..) {
            let text = match (&delivery, delivery.notice(room)) {
                (Delivery::Message(message), _) => message.ws(),
                (_, Some((event, data))) => format!("{{\"id\":null,\"event\":\"{event}\",\"data\":{data}}}").into(),
                (_, None) => continue,
            };
            socket.feed(Message::Text(text)).await?;
        }
        socket.flush().await
    }

    /// Takes a message; an answer only if it is refused at once.
    async fn received(&mut self, message: Message) -> Option<Utf8Bytes> {
        self.heard_at = Instant::now();
        let text = match message {
            Message::Text(text) => text,
            Message::Binary(_) => {
                let problem =
                    Problem::new(INVALID_REQUEST, "messages are text: {\"ref\",\"method\",\"path\",\"body\"}");
                return Some(refusal(&Value::Null, &problem).await);
            }
            // Pings are answered by the protocol's own layer; after a close, `recv` gives nothing more.
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) => return None,
        };
        let asked: Asked = match serde_json::from_str(&text) {
            Ok(asked) => asked,
            Err(error) => {
                let problem = Problem::new(INVALID_REQUEST, format!("the message is no request: {error}"));
                return Some(refusal(&Value::Null, &problem).await);
            }
        };
        if self.in_flight.len() >= self.app.settings.ws_requests_max {
            let detail = format!("{} requests of this socket are in flight", self.in_flight.len());
            return Some(refusal(&asked.r#ref, &Problem::new(RATE_LIMITED, detail)).await);
        }
        match self.request(&asked) {
            Ok(request) => {
                let app = self.app.clone();
                let answer = async move { answer(&asked.r#ref, app.respond(request).await).await };
                self.in_flight.push(answer.boxed());
                None
            }
            Err(problem) => Some(refusal(&asked.r#ref, &problem).await),
        }
    }

    fn request(&self, asked: &Asked) -> Result<Request<Body>, Problem> {
        if !(asked.r#ref.is_number() || asked.r#ref.is_string()) {
            return Err(Problem::invalid("/ref", "it must be a number or a string"));
        }
        let method = Method::from_bytes(asked.method.as_bytes());
        let method = method.map_err(|_| Problem::invalid("/method", "it is no HTTP method"))?;
        let path = format!("/v1/rooms/{}/{}", self.room, asked.path);
        let body = asked.body.as_ref().map_or_else(Body::empty, |body| Body::from(body.get().to_owned()));
        let request = Request::builder().method(method).uri(path).extension(self.identity).body(body);
        let request = request.map_err(|_| Problem::invalid("/path", "it is no path"))?;
        if !plugin_routes::is_room_route(request.uri().path()) {
            return Err(Problem::invalid("/path", "a socket reaches the plugins of its room"));
        }
        Ok(request)
    }
}

async fn refusal(reference: &Value, problem: &Problem) -> Utf8Bytes {
    answer(reference, problem.respond("")).await
}

/// `{"ref":…,"status":…,"body":…}`; the body is JSON already and is not written anew.
async fn answer(reference: &Value, response: Response<Body>) -> Utf8Bytes {
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let text = std::str::from_utf8(&bytes).unwrap_or_default();
    let body = match serde_json::from_str::<&RawValue>(text) {
        Ok(raw) => raw.get(),
        Err(_) => "null",
    };
    format!("{{\"ref\":{reference},\"status\":{status},\"body\":{body}}}").into()
}
