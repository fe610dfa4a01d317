//! Which plugins a room has, and who changed that.

use std::sync::Arc;

use axum::Json as Written;
use axum::extract::{Path, State};
use axum::http::Uri;
use semver::Version;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::problem::Problem;
use super::wire::{Id, Json, Page, query, time};
use super::{App, Identity, cursor};
use crate::ports::db::AuditEntry;
use crate::room::{BindingChange, BindingView};

/// A change of a binding; what is left out stays as it was.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Change {
    enabled: bool,
    #[schema(value_type = Option<String>)]
    version: Option<Version>,
    #[schema(value_type = Option<Object>)]
    config: Option<Value>,
    /// Null ends it.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Canary>)]
    canary: Option<Option<Canary>>,
}

/// Null is not the same as left out.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<Canary>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// A second version that gets a share of the calls.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Canary {
    #[schema(value_type = String)]
    version: Version,
    /// 1 to 100.
    percent: u8,
}

/// A binding.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Binding {
    name: String,
    #[schema(value_type = String)]
    version: Version,
    enabled: bool,
    /// With defaults filled in.
    #[schema(value_type = Object)]
    config: Value,
    canary: Option<Canary>,
    /// Whether its circuit is closed.
    healthy: bool,
    /// Calls since this process began to serve it.
    calls: u64,
    /// Calls among them that gave no answer.
    failures: u64,
}

/// A room's bindings.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Bindings {
    plugins: Vec<Binding>,
}

/// One change.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Entry {
    #[schema(value_type = String)]
    id: Id,
    at: String,
    #[schema(value_type = String)]
    by: Id,
    action: String,
    #[schema(value_type = Object)]
    from: Value,
    #[schema(value_type = Object)]
    to: Value,
}

/// A page of changes, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Audit {
    entries: Vec<Entry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

impl From<BindingView> for Binding {
    fn from(view: BindingView) -> Self {
        Self {
            name: view.name,
            version: view.version,
            enabled: view.enabled,
            config: view.config,
            canary: view.canary.map(|(version, percent)| Canary { version, percent }),
            healthy: view.healthy,
            calls: view.calls,
            failures: view.failures,
        }
    }
}

impl From<AuditEntry> for Entry {
    fn from(entry: AuditEntry) -> Self {
        let AuditEntry { id, room_id: _, at_ms, by, action, from, to } = entry;
        Self { id: Id(id), at: time(at_ms), by: by.into(), action, from, to }
    }
}

/// Bindings, their health and counters.
#[utoipa::path(get, path = "/v1/rooms/{room}/plugins", tag = "rooms", params(("room" = String, Path)),
    responses((status = 200, description = "The bindings.", body = Bindings)))]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    who: Identity,
    Path(room): Path<String>,
) -> Result<Written<Bindings>, Problem> {
    let room = app.own_room(&who, &room).await?;
    let views = app.state.rooms.bindings(room).await?;
    Ok(Written(Bindings { plugins: views.into_iter().map(Binding::from).collect() }))
}

/// Toggles, re-configures, upgrades or rolls back a plugin, while the room is live too.
#[utoipa::path(put, path = "/v1/rooms/{room}/plugins/{name}", tag = "rooms",
    params(("room" = String, Path), ("name" = String, Path)), request_body = Change, responses(
    (status = 200, description = "The binding as it is now.", body = Binding),
    (status = 422, description = "`config-invalid`: `extra` has the JSON pointer into the configuration.")))]
pub(super) async fn change(
    State(app): State<Arc<App>>,
    who: Identity,
    Path((room, name)): Path<(String, String)>,
    Json(body): Json<Change>,
) -> Result<Written<Binding>, Problem> {
    let room = app.own_room(&who, &room).await?;
    if let Some(Some(canary)) = &body.canary
        && !(1..=100).contains(&canary.percent)
    {
        return Err(Problem::invalid("/canary/percent", "it must be from 1 to 100"));
    }
    let canary = body.canary.map(|canary| canary.map(|canary| (canary.version, canary.percent)));
    let change = BindingChange { enabled: body.enabled, version: body.version, config: body.config, canary };
    let view = app.state.rooms.change_binding(who.user(), room, &name, change).await?;
    Ok(Written(view.into()))
}

/// Who changed what, when, from what to what.
#[utoipa::path(get, path = "/v1/rooms/{room}/audit", tag = "rooms",
    params(("room" = String, Path), ("cursor" = Option<String>, Query), ("limit" = Option<u32>, Query)),
    responses((status = 200, description = "A page, newest first.", body = Audit)))]
pub(super) async fn audit(
    State(app): State<Arc<App>>,
    who: Identity,
    Path(room): Path<String>,
    uri: Uri,
) -> Result<Written<Audit>, Problem> {
    let room = app.own_room(&who, &room).await?;
    let page: Page = query(&uri)?;
    let scope = format!("audit:{room}");
    let (before, limit) = (page.place_id(&scope)?, page.limit()?);
    let entries = app.state.rooms.audit(room, before, limit).await?;
    let last = entries.last().filter(|_| entries.len() == limit);
    let next_cursor = last.map(|entry| cursor::write(&scope, &entry.id.to_string()));
    Ok(Written(Audit { entries: entries.into_iter().map(Entry::from).collect(), next_cursor }))
}
