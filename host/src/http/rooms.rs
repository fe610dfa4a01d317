//! Rooms and their streams.

use std::sync::Arc;

use axum::Json as Written;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use greenroom_manifest::Role;
use semver::Version;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::problem::{FORBIDDEN, Problem};
use super::wire::{Id, Json, Page, query, room_id, time};
use super::{App, Identity, cursor};
use crate::domain::{RoomId, UserId};
use crate::room::{NewRoom, PluginChoice, RoomView};

/// Plugins that a stream may be started with.
const PLUGINS_MAX: usize = 64;

/// A room to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Create {
    /// Chosen by the caller, or made by the server.
    #[schema(value_type = Option<String>)]
    room_id: Option<Id>,
    /// 1 to 200 characters.
    title: String,
    /// 1 to 16 user ids.
    #[schema(value_type = Vec<String>)]
    streamers: Vec<Id>,
}

/// A stream to start.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Start {
    /// Enabled together or not at all.
    #[serde(default)]
    plugins: Vec<Choice>,
}

/// A plugin for a stream.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Choice {
    name: String,
    /// The newest if left out.
    #[schema(value_type = Option<String>)]
    version: Option<Version>,
    /// The room's last one, or the defaults, if left out.
    #[schema(value_type = Option<Object>)]
    config: Option<Value>,
}

/// A room.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Room {
    #[schema(value_type = String)]
    room_id: Id,
    #[schema(value_type = String)]
    title: Arc<str>,
    #[schema(value_type = Vec<String>)]
    streamers: Vec<Id>,
    created_at: String,
    /// The live stream, or null.
    stream: Option<Stream>,
}

/// A live stream.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Stream {
    #[schema(value_type = String)]
    stream_id: Arc<str>,
    started_at: String,
}

/// A page of rooms.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Rooms {
    rooms: Vec<Room>,
    /// Gives the next page; left out on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

impl From<RoomView> for Room {
    fn from(view: RoomView) -> Self {
        let stream = view.info.stream.as_ref();
        Self {
            room_id: view.info.room_id.into(),
            title: view.info.title.clone(),
            streamers: view.info.streamers.iter().copied().map(Id::from).collect(),
            created_at: time(view.created_at_ms),
            stream: stream
                .map(|stream| Stream { stream_id: stream.stream_id.0.clone(), started_at: time(stream.started_at_ms) }),
        }
    }
}

/// Makes a room: an operator any, a streamer their own.
#[utoipa::path(post, path = "/v1/rooms", tag = "rooms", request_body = Create, responses(
    (status = 201, description = "The room.", body = Room), (status = 409, description = "`room-exists`")))]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    who: Identity,
    Json(body): Json<Create>,
) -> Result<(StatusCode, Written<Room>), Problem> {
    let streamers: Vec<UserId> = body.streamers.iter().map(|id| UserId(id.0)).collect();
    who.require_room(&streamers)?;
    if who.caller.role == Role::Streamer && streamers != [who.user()] {
        return Err(Problem::new(FORBIDDEN, "a streamer may only make a room of their own"));
    }
    if body.room_id.is_some_and(|id| id.0 < 1) {
        return Err(Problem::invalid("/roomId", "a room id is an integer of 1 or more"));
    }
    let room = NewRoom { room_id: body.room_id.map(|id| RoomId(id.0)), title: body.title, streamers };
    let view = app.state.rooms.create(who.user(), room).await?;
    Ok((StatusCode::CREATED, Written(view.into())))
}

/// Rooms, by id.
#[utoipa::path(get, path = "/v1/rooms", tag = "rooms",
    params(("cursor" = Option<String>, Query), ("limit" = Option<u32>, Query)),
    responses((status = 200, description = "A page.", body = Rooms)))]
pub(super) async fn list(State(app): State<Arc<App>>, _who: Identity, uri: Uri) -> Result<Written<Rooms>, Problem> {
    let page: Page = query(&uri)?;
    let after = page.place_id("rooms")?.map(RoomId);
    let limit = page.limit()?;
    let views = app.state.rooms.list(after, limit).await?;
    let last = views.last().filter(|_| views.len() == limit);
    let next_cursor = last.map(|view| cursor::write("rooms", &view.info.room_id.to_string()));
    Ok(Written(Rooms { rooms: views.into_iter().map(Room::from).collect(), next_cursor }))
}

/// A room.
#[utoipa::path(get, path = "/v1/rooms/{room}", tag = "rooms", params(("room" = String, Path)), responses(
    (status = 200, description = "The room.", body = Room), (status = 404, description = "`room-not-found`")))]
pub(super) async fn read(
    State(app): State<Arc<App>>,
    _who: Identity,
    Path(room): Path<String>,
) -> Result<Written<Room>, Problem> {
    Ok(Written(app.state.rooms.get(room_id(&room)?).await?.into()))
}

/// Starts a stream with its plugins, all or nothing.
#[utoipa::path(post, path = "/v1/rooms/{room}/streams", tag = "rooms", params(("room" = String, Path)),
    request_body = Start, responses(
    (status = 201, description = "The room, live.", body = Room), (status = 409, description = "`stream-live`"),
    (status = 422, description = "`config-invalid`: `extra` has the JSON pointer into the configuration.")))]
pub(super) async fn start_stream(
    State(app): State<Arc<App>>,
    who: Identity,
    Path(room): Path<String>,
    Json(body): Json<Start>,
) -> Result<(StatusCode, Written<Room>), Problem> {
    let room = app.own_room(&who, &room).await?;
    if body.plugins.len() > PLUGINS_MAX {
        return Err(Problem::invalid("/plugins", format!("at most {PLUGINS_MAX}")));
    }
    let choice = |one: Choice| PluginChoice { name: one.name, version: one.version, config: one.config };
    let plugins = body.plugins.into_iter().map(choice).collect();
    let view = app.state.rooms.start_stream(who.user(), room, plugins).await?;
    Ok((StatusCode::CREATED, Written(view.into())))
}

/// Ends the live stream.
#[utoipa::path(delete, path = "/v1/rooms/{room}/streams/current", tag = "rooms", params(("room" = String, Path)),
    responses((status = 200, description = "The room, no longer live.", body = Room),
    (status = 409, description = "`stream-not-live`")))]
pub(super) async fn end_stream(
    State(app): State<Arc<App>>,
    who: Identity,
    Path(room): Path<String>,
) -> Result<Written<Room>, Problem> {
    let room = app.own_room(&who, &room).await?;
    Ok(Written(app.state.rooms.end_stream(who.user(), room).await?.into()))
}

impl App {
    /// The room of a path, if the caller may run it.
    pub(super) async fn own_room(&self, who: &Identity, room: &str) -> Result<RoomId, Problem> {
        who.require(&[Role::Operator, Role::Streamer])?;
        let room = room_id(room)?;
        let view = self.state.rooms.get(room).await?;
        who.require_room(&view.info.streamers)?;
        Ok(room)
    }
}
