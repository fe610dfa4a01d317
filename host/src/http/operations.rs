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
use crate::breaker::Breaker;
use crate::ledger;

/// A check that takes longer has failed.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// Whether the process answers at all.
#[utoipa::path(get, path = "/healthz", tag = "operations", responses((status = 200, description = "It is alive.")))]
pub(super) async fn healthz() -> axum::Json<Value> {
    axum::Json(json!({ "status": "alive" }))
}

/// Whether it can do its work. A backend that is away without which it can still take gifts makes it `degraded`, not unready: all hosts
/// share the backends, and a balancer that took every host out would serve nobody.
#[utoipa::path(get, path = "/readyz", tag = "operations", responses(
    (status = 200, description = "`ready`, or `degraded`: `checks` says which backend is away."),
    (status = 503, description = "`backend-unavailable`: `extra` says which check failed.")))]
pub(super) async fn readyz(State(app): State<Arc<App>>) -> Result<axum::Json<Value>, Problem> {
    let checks = app.state.readiness.iter().map(|one| async move {
        let asked = tokio::time::timeout(CHECK_TIMEOUT, (one.check)()).await;
        (one, asked.unwrap_or_else(|_| Err("no answer in time".to_owned())))
    });
    let mut results = Map::new();
    let mut failed = Vec::new();
    let mut status = "ready";
    for (one, result) in join_all(checks).await {
        match &result {
            Err(_) if one.is_needed => failed.push(one.name),
            Err(_) => status = "degraded",
            Ok(()) => {}
        }
        results.insert(one.name.to_owned(), result.err().map_or(json!("ok"), Value::from));
    }
    if app.ending.is_cancelled() {
        failed.push("shutting down");
    }
    let circuits = circuits(&app);
    if failed.is_empty() {
        return Ok(axum::Json(json!({ "status": status, "checks": results, "circuits": circuits })));
    }
    let detail = format!("not ready: {}", failed.join(", "));
    let extra = json!({ "checks": results, "circuits": circuits });
    Err(Problem::new(BACKEND_UNAVAILABLE, detail).extra(extra).retry_after(CHECK_TIMEOUT))
}

/// Each backend's circuit, with what was counted since the start; empty where there are none.
fn circuits(app: &App) -> Map<String, Value> {
    let told = |breaker: &Breaker| {
        let (failures, rejected) = (breaker.failures(), breaker.rejected());
        json!({ "circuit": breaker.circuit().name(), "failures": failures, "rejected": rejected })
    };
    app.state.circuits.iter().map(|(name, breaker)| ((*name).to_owned(), told(breaker))).collect()
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
