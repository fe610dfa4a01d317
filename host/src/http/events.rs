//! `GET /v1/rooms/{room}/events`: a room's messages as Server-Sent Events.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Response};
use bytes::{Bytes, BytesMut};
use futures::stream;
use serde::Deserialize;
use tokio::time::{Instant, sleep_until, timeout};

use super::problem::Problem;
use super::{App, Identity, wire};
use crate::domain::RoomId;
use crate::push::{Connection, Delivery, sse_frame};

/// First in every stream: how long a client waits before it connects again, in milliseconds.
const RETRY: Bytes = Bytes::from_static(b"retry: 2000\n\n");
/// Shows that the stream is alive; clients ignore comments.
const ALIVE: Bytes = Bytes::from_static(b": alive\n\n");

/// What may stand in the query of a stream or a socket: browsers cannot set headers there.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Query {
    pub(super) token: Option<String>,
    pub(super) last_event_id: Option<String>,
}

/// The room's messages, from now on or from the message after `Last-Event-ID`.
///
/// `history.lost` comes first if that message is forgotten; `lagged` tells how many messages of which priority were lost because the
/// reader was slow. The stream ends when the token expires and at shutdown.
#[utoipa::path(get, path = "/v1/rooms/{room}/events", tag = "push",
    params(("room" = String, Path, description = "Room id"),
        ("Last-Event-ID" = Option<String>, Header, description = "The last message that was seen"),
        ("token" = Option<String>, Query, description = "Instead of the header, for browsers"),
        ("lastEventId" = Option<String>, Query, description = "Instead of the header, for browsers")),
    responses((status = 200, description = "The stream.", content_type = "text/event-stream"),
        (status = 503, description = "`push-unavailable`")))]
pub(super) async fn stream(
    State(app): State<Arc<App>>,
    Path(room): Path<String>,
    parts: Parts,
) -> Result<Response<Body>, Problem> {
    let query: Query = wire::query(&parts.uri)?;
    let identity = match &query.token {
        Some(token) => app.verified(token).await?,
        None => app.identify(&parts).await?,
    };
    let room = wire::room_id(&room)?;
    app.state.rooms.get(room).await?;
    let header = parts.headers.get("last-event-id").and_then(|value| value.to_str().ok());
    let last_id = header.or(query.last_event_id.as_deref());
    let connection = app.state.hub.connect(room, identity.user(), last_id)?;
    let feed = Feed { expires_at: app.expires_at(&identity), app, connection, room, taken: Vec::new(), over: false };
    let first = stream::iter([Ok::<_, std::convert::Infallible>(RETRY)]);
    let rest = stream::unfold(feed, async |mut feed| feed.next().await.map(|bytes| (Ok(bytes), feed)));
    let mut response = Response::new(Body::from_stream(futures::StreamExt::chain(first, rest)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    Ok(response)
}

struct Feed {
    app: Arc<App>,
    connection: Connection,
    room: RoomId,
    expires_at: Instant,
    taken: Vec<Delivery>,
    over: bool,
}

impl Feed {
    /// What is written next; none ends the stream.
    async fn next(&mut self) -> Option<Bytes> {
        if self.over {
            return None;
        }
        tokio::select! {
            biased;
            () = self.app.ending.cancelled() => None,
            () = sleep_until(self.expires_at) => {
                self.over = true;
                Some(sse_frame(None, "token.expired", "{}"))
            }
            more = timeout(self.app.settings.keep_alive, self.connection.next(&mut self.taken)) => match more {
                Err(_) => Some(ALIVE),
                Ok(true) => Some(self.frames()),
                Ok(false) => None,
            },
        }
    }

    /// All that waited as one piece: one write for a burst.
    fn frames(&mut self) -> Bytes {
        if let [Delivery::Message(one)] = self.taken.as_slice() {
            let frame = one.sse();
            self.taken.clear();
            return frame;
        }
        let mut all = BytesMut::new();
        for delivery in self.taken.drain(..) {
            match (&delivery, delivery.notice(self.room)) {
                (Delivery::Message(message), _) => all.extend_from_slice(&message.sse()),
                (_, Some((event, data))) => all.extend_from_slice(&sse_frame(None, event, &data)),
                (_, None) => {}
            }
        }
        all.freeze()
    }
}

impl App {
    /// Who a token in a query or a message stands for. Counts towards the user's rate.
    pub(super) async fn verified(&self, token: &str) -> Result<Identity, Problem> {
        let identity = self.authenticator.verify(token, self.state.clock.now_ms())?;
        self.limit_user(identity.user()).await?;
        Ok(identity)
    }

    /// When a token expires, on the clock of the runtime.
    pub(super) fn expires_at(&self, identity: &Identity) -> Instant {
        let left_ms = identity.expires_at_s.saturating_mul(1_000).saturating_sub(self.state.clock.now_ms());
        // A year is for ever, and keeps the sum within what an instant can hold.
        Instant::now() + Duration::from_millis(left_ms.min(31_536_000_000))
    }
}
