//! `GET /v1/reconciliation`: adding everything up, beside live traffic.

use std::sync::Arc;

use axum::Json as Written;
use axum::extract::State;
use greenroom_manifest::Role;
use serde_json::Value;

use super::problem::{Problem, internal};
use super::{App, Identity};

/// Adds everything up. Reads every account and every record, so it is for operators and services, and not for every second.
#[utoipa::path(get, path = "/v1/reconciliation", tag = "operations", responses(
    (status = 200, description = "`differences` is empty if everything adds up.", body = Object)))]
pub(super) async fn reconcile(State(app): State<Arc<App>>, who: Identity) -> Result<Written<Value>, Problem> {
    who.require(&[Role::Operator, Role::Service])?;
    let report = app.state.reconciler.reconcile().await?;
    serde_json::to_value(report).map(Written).map_err(|error| internal(&error.to_string()))
}
