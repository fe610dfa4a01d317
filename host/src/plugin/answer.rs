//! Between the host's own types and those of the WIT, for calls and their answers.

use std::time::Duration;

use greenroom_manifest::{PROBLEM_CODES, Role};
use serde::de::IgnoredAny;

use crate::plugin::bindings::exports::greenroom::plugin::{api, consumer, lifecycle};
use crate::plugin::{ApiResponse, Caller, Error, Occasion, Plugin, Problem, Verdict};
use crate::ports::queue::Delivery;

impl From<Caller> for api::Caller {
    fn from(caller: Caller) -> Self {
        let role = match caller.role {
            Role::Viewer => api::Role::Viewer,
            Role::Streamer => api::Role::Streamer,
            Role::Operator => api::Role::Operator,
            Role::Service => api::Role::Service,
        };
        Self { user_id: caller.user_id.0, role, level: caller.level }
    }
}

impl From<Occasion> for lifecycle::Occasion<'static> {
    fn from(occasion: Occasion) -> Self {
        match occasion {
            Occasion::Enabled => lifecycle::Occasion::Enabled,
            Occasion::Disabled => lifecycle::Occasion::Disabled,
            Occasion::StreamStarted => lifecycle::Occasion::StreamStarted,
            Occasion::StreamEnded => lifecycle::Occasion::StreamEnded,
            Occasion::Reconfigured => lifecycle::Occasion::Reconfigured,
        }
    }
}

impl From<consumer::Verdict> for Verdict {
    fn from(verdict: consumer::Verdict) -> Self {
        match verdict {
            consumer::Verdict::Ack => Verdict::Ack,
            consumer::Verdict::RetryAfter(ms) => Verdict::RetryAfter(Duration::from_millis(ms.into())),
            consumer::Verdict::Reject(reason) => Verdict::Reject(reason),
        }
    }
}

/// The message of a delivery; `attempt` is 1 for the first.
pub(crate) fn message(delivery: &Delivery, attempt: u32) -> consumer::Message<'_> {
    let event = &delivery.event;
    let held = event.held.as_ref().map(|held| consumer::Held {
        asset_type: held.payer.asset_type.0,
        amount: held.outcome.amount.0,
        balance: held.outcome.balance.0,
        counters: &held.outcome.counters,
    });
    consumer::Message {
        topic: &event.topic,
        partition: delivery.partition,
        offset: delivery.offset,
        event_id: event.event_id.as_str(),
        payer: event.payer().map_or(0, |payer| payer.0),
        room_id: event.room_id.map_or(0, |room| room.0),
        at_ms: event.at_ms,
        attempt,
        held,
        payload: &event.payload,
    }
}

/// Checks an answer before a client sees it.
///
/// # Errors
/// If it breaks the interface: its status, its size, its form.
pub(crate) fn checked(
    plugin: &Plugin,
    answer: Result<api::Response, api::Problem>,
) -> Result<Result<ApiResponse, Problem>, Error> {
    let checked = match answer {
        Ok(response) => check_response(plugin, response).map(Ok),
        Err(problem) => check_problem(plugin, problem).map(Err),
    };
    checked.map_err(|reason| Error::Failed { plugin: plugin.manifest.name.clone(), reason })
}

fn check_response(plugin: &Plugin, response: api::Response) -> Result<ApiResponse, String> {
    let bytes_max = plugin.limits.response_bytes as usize;
    if response.body.len() > bytes_max {
        return Err(format!("its answer has {} bytes; it may have up to {bytes_max}", response.body.len()));
    }
    if !(200..=299).contains(&response.status) {
        return Err(format!("its answer has the status {}; 200 to 299 are answers", response.status));
    }
    if !response.body.is_empty() && serde_json::from_slice::<IgnoredAny>(&response.body).is_err() {
        return Err("its answer is not JSON".into());
    }
    Ok(ApiResponse { status: response.status, body: response.body.into() })
}

/// A small number is one of the plugin's own codes, in the range that it was given at installation; others are the host's.
fn code(base: u32, code: u32) -> u32 {
    if code < PROBLEM_CODES { base.saturating_add(code) } else { code }
}

fn check_problem(plugin: &Plugin, problem: api::Problem) -> Result<Problem, String> {
    let bytes = problem.slug.len() + problem.detail.len() + problem.extra.len();
    let bytes_max = plugin.limits.response_bytes as usize;
    if bytes > bytes_max {
        return Err(format!("its problem has {bytes} bytes; it may have up to {bytes_max}"));
    }
    if !(400..=599).contains(&problem.status) {
        return Err(format!("its problem has the status {}; 400 to 599 are problems", problem.status));
    }
    let is_slug = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if problem.slug.is_empty() || problem.slug.len() > 64 || !problem.slug.bytes().all(is_slug) {
        return Err(format!(
            "its problem has the slug `{}`; 1 to 64 characters of a-z 0-9 -",
            problem.slug.escape_debug()
        ));
    }
    let extra = match problem.extra.as_str() {
        "" => None,
        json => {
            Some(serde_json::from_str(json).map_err(|_| "the extra of its problem is not a JSON object".to_owned())?)
        }
    };
    if extra.as_ref().is_some_and(|extra: &serde_json::Value| !extra.is_object()) {
        return Err("the extra of its problem is not a JSON object".into());
    }
    Ok(Problem {
        status: problem.status,
        code: code(plugin.problem_code_base, problem.code),
        slug: problem.slug,
        detail: problem.detail,
        extra,
        retry_after: problem.retry_after_ms.map(|ms| Duration::from_millis(ms.into())),
    })
}
