//! Events that could not be settled: seeing them, trying them again, giving them up.

use std::sync::Arc;

use axum::Json as Written;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use greenroom_manifest::Role;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::problem::{NOT_FOUND, Problem};
use super::wire::{Id, Page, query, time};
use super::{App, Identity, cursor};
use crate::domain::Held;
use crate::ports::db::DeadLetter;

/// The pages' cursors are of this kind.
const SCOPE: &str = "dead-letters";

/// A page of dead letters, oldest first.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeadLetters {
    dead_letters: Vec<Letter>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// An event that was set aside. Its hold stands until it is replayed or dropped.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Letter {
    #[schema(value_type = String)]
    id: Id,
    group: String,
    topic: String,
    event_id: String,
    #[schema(value_type = Option<String>)]
    payer_id: Option<Id>,
    asset_type: Option<u32>,
    #[schema(value_type = Option<String>)]
    amount: Option<Id>,
    attempts: u32,
    reason: String,
    at: String,
    /// As text; what is no text is shown as such.
    payload: String,
}

impl From<DeadLetter> for Letter {
    fn from(letter: DeadLetter) -> Self {
        let held = letter.event.held.as_ref();
        Self {
            id: Id(letter.id),
            topic: letter.event.topic.to_string(),
            event_id: letter.event.event_id.to_string(),
            payer_id: held.map(|held| held.payer.user_id.into()),
            asset_type: held.map(|held| held.payer.asset_type.0),
            amount: held.map(|held| held.outcome.amount.into()),
            payload: String::from_utf8_lossy(&letter.event.payload).into_owned(),
            group: letter.group,
            attempts: letter.attempts,
            reason: letter.reason,
            at: time(letter.at_ms),
        }
    }
}

/// Events that could not be settled, oldest first.
#[utoipa::path(get, path = "/v1/dead-letters", tag = "operations",
    params(("cursor" = Option<String>, Query), ("limit" = Option<u32>, Query)),
    responses((status = 200, description = "A page.", body = DeadLetters)))]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    who: Identity,
    uri: Uri,
) -> Result<Written<DeadLetters>, Problem> {
    who.require(&[Role::Operator])?;
    let page: Page = query(&uri)?;
    let after = page.place(SCOPE)?.and_then(|place| place.parse().ok()).unwrap_or(0);
    let limit = page.limit()?;
    let letters = app.state.deliveries.dead_letters(after, limit).await?;
    let last = letters.last().filter(|_| letters.len() == limit).map(|letter| letter.id.to_string());
    let next_cursor = last.map(|place| cursor::write(SCOPE, &place));
    Ok(Written(DeadLetters { dead_letters: letters.into_iter().map(Letter::from).collect(), next_cursor }))
}

/// Tries an event again, now.
#[utoipa::path(post, path = "/v1/dead-letters/{id}/replay", tag = "operations", params(("id" = i64, Path)), responses(
    (status = 202, description = "It will be tried within a second."), (status = 404, description = "`not-found`")))]
pub(super) async fn replay(
    State(app): State<Arc<App>>,
    who: Identity,
    Path(id): Path<i64>,
) -> Result<(StatusCode, Written<Value>), Problem> {
    who.require(&[Role::Operator])?;
    if !app.state.deliveries.replay(id, app.state.clock.now_ms()).await? {
        return Err(missing(id));
    }
    tracing::info!(id, by = %who.user(), "a dead letter is replayed");
    Ok((StatusCode::ACCEPTED, Written(json!({ "id": id.to_string(), "replayed": true }))))
}

/// Gives an event up: what it holds goes back to the payer, and it will never be posted.
#[utoipa::path(delete, path = "/v1/dead-letters/{id}", tag = "operations", params(("id" = i64, Path)), responses(
    (status = 200, description = "It is given up."), (status = 404, description = "`not-found`")))]
pub(super) async fn drop(
    State(app): State<Arc<App>>,
    who: Identity,
    Path(id): Path<i64>,
) -> Result<Written<Value>, Problem> {
    who.require(&[Role::Operator])?;
    let letter = app.state.deliveries.dead_letter(id).await?.ok_or_else(|| missing(id))?;
    let mut given_back = false;
    if let Some(Held { payer, .. }) = &letter.event.held {
        let voided = app.state.ledger.void(*payer, &letter.event.event_id).await?;
        given_back = voided == crate::ledger::Voided::Voided;
    }
    app.state.deliveries.drop_dead_letter(id).await?;
    tracing::info!(id, by = %who.user(), event_id = %letter.event.event_id, given_back, "a dead letter is dropped");
    Ok(Written(json!({ "id": id.to_string(), "dropped": true, "givenBack": given_back })))
}

fn missing(id: i64) -> Problem {
    Problem::new(NOT_FOUND, format!("there is no dead letter {id}"))
}
