//! Which error of which module is which problem: the only place that knows both.

use std::num::NonZeroU32;
use std::sync::LazyLock;
use std::time::Duration;

use axum::http::StatusCode;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use serde_json::json;

use super::{
    ACCOUNT_NOT_FOUND, BACKEND_UNAVAILABLE, BALANCE_LOADING, CONFIG_INVALID, EVENT_ID_REUSED, EVENT_VOIDED,
    INSUFFICIENT_BALANCE, INTERNAL, INVALID_REQUEST, OVERLOADED, PLUGIN_FAILED, PLUGIN_IN_USE, PLUGIN_NOT_ENABLED,
    PLUGIN_NOT_INSTALLED, PLUGIN_REFUSED, PLUGIN_REJECTED, PLUGIN_SUSPENDED, PLUGIN_TIMEOUT, PLUGIN_VERSION_TAKEN,
    PUSH_UNAVAILABLE, Parts, Problem, ROOM_CHANGED, ROOM_EXISTS, ROOM_NOT_FOUND, ROUTE_TAKEN, STREAM_LIVE,
    STREAM_NOT_LIVE,
};
use crate::ports::db;
use crate::{ledger, plugin, push, room};

/// When to come back for what is full or loading: such states last for fractions of a second.
const SOON: Duration = Duration::from_secs(1);
/// When to come back for a backend that does not answer.
const LATER: Duration = Duration::from_secs(2);

impl From<ledger::Error> for Problem {
    fn from(error: ledger::Error) -> Self {
        use ledger::Error as E;
        let detail = error.to_string();
        match error {
            E::Insufficient { balance, needed } => Problem::new(INSUFFICIENT_BALANCE, detail)
                .extra(json!({ "balance": balance.to_string(), "needed": needed.to_string() })),
            E::NoAccount(_) => Problem::new(ACCOUNT_NOT_FOUND, detail),
            E::Reused(_) => Problem::new(EVENT_ID_REUSED, detail),
            E::Loading => Problem::new(BALANCE_LOADING, detail).retry_after(SOON),
            E::Full(_) => Problem::new(OVERLOADED, detail).retry_after(SOON),
            E::Unsettled(_) => Problem::new(BACKEND_UNAVAILABLE, detail).retry_after(LATER),
            E::Voided(_) => Problem::new(EVENT_VOIDED, detail),
            E::Unavailable(cause) => unavailable(&cause),
            E::Invalid(_) | E::LimitReached(_) => Problem::new(INVALID_REQUEST, detail),
        }
    }
}

impl From<plugin::Error> for Problem {
    fn from(error: plugin::Error) -> Self {
        use plugin::Error as E;
        let detail = error.to_string();
        match error {
            E::Failed { plugin, reason } => {
                tracing::error!(%plugin, %reason, "plugin failed");
                let again = "the call did not take effect, or repeating its event id finds the outcome";
                Problem::new(PLUGIN_FAILED, format!("plugin {plugin} failed; {again}"))
            }
            E::Timeout { .. } => Problem::new(PLUGIN_TIMEOUT, detail),
            E::Suspended { retry_after, .. } => Problem::new(PLUGIN_SUSPENDED, detail).retry_after(retry_after),
            E::Overloaded { .. } => Problem::new(OVERLOADED, detail).retry_after(SOON),
            E::NotTellable(error) => error.into(),
            E::NotDurable(cause) | E::Unavailable(cause) => unavailable(&cause),
            E::NoExport { .. } => Problem::new(PLUGIN_FAILED, detail),
        }
    }
}

impl From<plugin::Problem> for Problem {
    fn from(problem: plugin::Problem) -> Self {
        // A status that is no refusal would tell the client that all is well.
        let status = StatusCode::from_u16(problem.status).ok().filter(|s| s.is_client_error() || s.is_server_error());
        let slug = if is_slug(&problem.slug) { problem.slug } else { PLUGIN_REFUSED.slug.to_owned() };
        Problem(Box::new(Parts {
            status: status.unwrap_or(StatusCode::BAD_GATEWAY),
            code: problem.code,
            slug: slug.into(),
            detail: problem.detail,
            extra: problem.extra,
            retry_after: problem.retry_after,
            headers: Vec::new(),
        }))
    }
}

fn is_slug(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

impl From<plugin::InstallError> for Problem {
    fn from(error: plugin::InstallError) -> Self {
        use plugin::InstallError as E;
        let detail = error.to_string();
        match error {
            E::Rejected(rejected) => Problem::new(PLUGIN_REJECTED, detail)
                .extra(json!({ "subject": rejected.subject, "fault": rejected.fault })),
            E::VersionTaken { .. } => Problem::new(PLUGIN_VERSION_TAKEN, detail),
            E::Awaited { .. } => Problem::new(PLUGIN_IN_USE, detail).retry_after(LATER),
            E::Unavailable(cause) => unavailable(&cause),
        }
    }
}

impl From<room::Error> for Problem {
    fn from(error: room::Error) -> Self {
        use room::Error as E;
        let detail = error.to_string();
        match error {
            E::RoomNotFound(_) => Problem::new(ROOM_NOT_FOUND, detail),
            E::RoomExists(_) => Problem::new(ROOM_EXISTS, detail),
            E::NotLive(_) => Problem::new(STREAM_NOT_LIVE, detail),
            E::AlreadyLive(_) => Problem::new(STREAM_LIVE, detail),
            E::PluginNotEnabled { .. } => Problem::new(PLUGIN_NOT_ENABLED, detail),
            E::PluginNotInstalled(_) => Problem::new(PLUGIN_NOT_INSTALLED, detail),
            E::RouteTaken(..) => Problem::new(ROUTE_TAKEN, detail),
            E::Config { plugin, fault } => Problem::new(CONFIG_INVALID, detail)
                .extra(json!({ "plugin": plugin, "pointer": fault.pointer, "fault": fault.fault })),
            E::Refused { plugin, reason } => {
                Problem::new(PLUGIN_REFUSED, detail).extra(json!({ "plugin": plugin, "reason": reason }))
            }
            E::Plugin(error) => error.into(),
            E::Invalid { field, fault } => Problem::invalid(&field, fault),
            E::Raced(_) => Problem::new(ROOM_CHANGED, detail).retry_after(SOON),
            E::Db(error) => error.into(),
        }
    }
}

impl From<db::Error> for Problem {
    fn from(error: db::Error) -> Self {
        match error {
            db::Error::Unavailable(cause) | db::Error::Busy(cause) => unavailable(&cause),
            db::Error::Refused(cause) => internal(&cause),
        }
    }
}

impl From<push::Full> for Problem {
    fn from(full: push::Full) -> Self {
        Problem::new(PUSH_UNAVAILABLE, full.to_string()).retry_after(LATER)
    }
}

/// One line a second tells of backends that do not answer.
static TOLD: LazyLock<DefaultDirectRateLimiter> =
    LazyLock::new(|| RateLimiter::direct(Quota::per_second(NonZeroU32::MIN)));

/// A backend does not answer. Its own words are for the log: they may name hosts.
pub(in crate::http) fn unavailable(cause: &str) -> Problem {
    // Each request of an outage has one.
    if TOLD.check().is_ok() {
        tracing::warn!(cause, "a backend is unavailable");
    }
    let detail = "a backend does not answer; repeat the request with the same event id to learn its outcome";
    Problem::new(BACKEND_UNAVAILABLE, detail).retry_after(LATER)
}

/// A fault of this program. The cause is for the log.
pub(in crate::http) fn internal(cause: &str) -> Problem {
    tracing::error!(cause, "internal fault");
    Problem::new(INTERNAL, "a fault of the server, which was logged")
}

#[cfg(test)]
mod tests;
