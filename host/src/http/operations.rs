//! `/healthz`, `/readyz` and `/metrics`: for those who run it, without a token.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Response};
use axum::response::IntoResponse;
use futures::future::join_all;
use serde_json::{Map, Value, json};

use super::App;
use super::problem::{BACKEND_UNAVAILABLE, NOT_FOUND, Problem};
use crate::ledger;

/// A check that takes longer has failed.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// Whether the process answers at all.
#[utoipa::path(get, path = "/healthz", tag = "operations", responses((status = 200, description = "It is alive.")))]
pub(super) async fn healthz() -> axum::Json<Value> {
    axum::Json(json!({ "status": "alive" }))
}

/// Whether it can do its work: every backend answers.
#[utoipa::path(get, path = "/readyz", tag = "operations", responses(
    (status = 200, description = "Every check passes."),
    (status = 503, description = "`backend-unavailable`: `extra` says which check failed.")))]
pub(super) async fn readyz(State(app): State<Arc<App>>) -> Result<axum::Json<Value>, Problem> {
    let checks = app.state.readiness.iter().map(|one| async move {
        let asked = tokio::time::timeout(CHECK_TIMEOUT, (one.check)()).await;
        (one.name, asked.unwrap_or_else(|_| Err("no answer in time".to_owned())))
    });
    let mut results = Map::new();
    let mut failed = Vec::new();
    for (name, result) in join_all(checks).await {
        if result.is_err() {
            failed.push(name);
        }
        results.insert(name.to_owned(), result.err().map_or(json!("ok"), Value::from));
    }
    if app.ending.is_cancelled() {
        failed.push("shutting down");
    }
    if failed.is_empty() {
        return Ok(axum::Json(json!({ "status": "ready", "checks": results })));
    }
    let detail = format!("not ready: {}", failed.join(", "));
    Err(Problem::new(BACKEND_UNAVAILABLE, detail).extra(json!({ "checks": results })).retry_after(CHECK_TIMEOUT))
}

/// What is hot, in the format of the other metrics. These have no handles: a key is told only while it is hot, so that there are never
/// more than a few labels.
fn hot(keys: &[(ledger::Kind, i64, u64)]) -> String {
    let mut text = String::from("\n# TYPE greenroom_hot_events gauge\n");
    for (kind, key, events) in keys {
        text += &format!("greenroom_hot_events{{kind=\"{}\",key=\"{key}\"}} {events}\n", kind.as_str());
    }
    text
}

/// All metrics, for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "operations", responses(
    (status = 200, description = "The text format of Prometheus.", content_type = "text/plain")))]
pub(super) async fn metrics(State(app): State<Arc<App>>) -> Result<Response<Body>, Problem> {
    let metrics = app.state.metrics.as_ref().ok_or_else(|| Problem::new(NOT_FOUND, "metrics are not recorded"))?;
    let mut response = (metrics.render() + &hot(&app.state.ledger.hot())).into_response();
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    Ok(response)
}
