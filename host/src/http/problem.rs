//! Refusals and faults as RFC 9457 problems: the table of codes, and how one is written.
//!
//! `map` says which error of which module is which problem. Nothing else in the program writes an error to a client.

mod map;

pub(in crate::http) use map::internal;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HeaderName, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Response, StatusCode};
use axum::response::IntoResponse;
use serde::Serialize;
use serde_json::Value;

/// One line of the table: the code for clients of the older envelope, the true status, and the slug of the type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// `errCode`.
    pub code: u32,
    /// HTTP status.
    pub status: u16,
    /// `type` is `/problems/<slug>`.
    pub slug: &'static str,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $status:literal, $slug:literal;)*) => {
        $($(#[$doc])* pub const $name: Kind = Kind { code: $code, status: $status, slug: $slug };)*
        /// The whole table.
        pub const KINDS: &[Kind] = &[$($name),*];
    };
}

kinds! {
    /// There is no such room.
    ROOM_NOT_FOUND = 10001, 404, "room-not-found";
    /// The room has no live stream.
    STREAM_NOT_LIVE = 10002, 409, "stream-not-live";
    /// No plugin of the room answers this.
    PLUGIN_NOT_ENABLED = 10003, 404, "plugin-not-enabled";
    /// There is no such gift.
    GIFT_NOT_FOUND = 10004, 404, "gift-not-found";
    /// The gift's send rule forbids it.
    GIFT_NOT_ALLOWED = 10005, 403, "gift-not-allowed";
    /// What, and where.
    INVALID_REQUEST = 10006, 400, "invalid-request";
    /// Too many requests.
    RATE_LIMITED = 10007, 429, "rate-limited";
    /// The body, or a list in it.
    TOO_LARGE = 10008, 413, "too-large";
    /// The price is not the expected one.
    PRICE_CHANGED = 10009, 409, "price-changed";
    /// Nothing has this path.
    NOT_FOUND = 10010, 404, "not-found";
    /// The path has other methods.
    METHOD_NOT_ALLOWED = 10011, 405, "method-not-allowed";
    /// The request did not arrive in time.
    REQUEST_TIMEOUT = 10012, 408, "request-timeout";
    /// The body is of another media type.
    UNSUPPORTED_MEDIA_TYPE = 10013, 415, "unsupported-media-type";
    /// The room's id is taken.
    ROOM_EXISTS = 10014, 409, "room-exists";
    /// The room has a live stream already.
    STREAM_LIVE = 10015, 409, "stream-live";
    /// Somebody else changed the room at the same time.
    ROOM_CHANGED = 10016, 409, "room-changed";
    /// Too little can be spent.
    INSUFFICIENT_BALANCE = 20001, 402, "insufficient-balance";
    /// There is no such account.
    ACCOUNT_NOT_FOUND = 20002, 404, "account-not-found";
    /// The same event id with other content.
    EVENT_ID_REUSED = 20003, 422, "event-id-reused";
    /// The balance is being loaded.
    BALANCE_LOADING = 20004, 503, "balance-loading";
    /// The event was given back and will never be settled.
    EVENT_VOIDED = 20005, 409, "event-voided";
    /// No connection can be taken now.
    PUSH_UNAVAILABLE = 30001, 503, "push-unavailable";
    /// Cache, database or queue do not answer; the outcome is found by repeating the request.
    BACKEND_UNAVAILABLE = 30002, 503, "backend-unavailable";
    /// The plugin trapped.
    PLUGIN_FAILED = 40001, 502, "plugin-failed";
    /// The plugin used up its time.
    PLUGIN_TIMEOUT = 40002, 504, "plugin-timeout";
    /// The plugin's circuit is open.
    PLUGIN_SUSPENDED = 40003, 503, "plugin-suspended";
    /// A bounded queue is full.
    OVERLOADED = 40004, 503, "overloaded";
    /// The configuration is at fault.
    CONFIG_INVALID = 40005, 422, "config-invalid";
    /// The component is at fault.
    PLUGIN_REJECTED = 40006, 422, "plugin-rejected";
    /// A room has a binding to it, or events wait for its last version.
    PLUGIN_IN_USE = 40007, 409, "plugin-in-use";
    /// No such plugin or version is installed.
    PLUGIN_NOT_INSTALLED = 40008, 404, "plugin-not-installed";
    /// Another component has this name and version.
    PLUGIN_VERSION_TAKEN = 40009, 409, "plugin-version-taken";
    /// Two enabled plugins answer one route.
    ROUTE_TAKEN = 40010, 409, "route-taken";
    /// The plugin refused what was to happen in the room.
    PLUGIN_REFUSED = 40011, 409, "plugin-refused";
    /// No token, or none that is believed.
    UNAUTHENTICATED = 100_001, 401, "unauthenticated";
    /// A fault of this program.
    INTERNAL = 100_002, 500, "internal";
    /// The caller may not do this.
    FORBIDDEN = 100_003, 403, "forbidden";
}

/// A refusal or a fault on its way to a client.
#[derive(Debug, Clone)]
pub struct Problem(Box<Parts>);

#[derive(Debug, Clone)]
struct Parts {
    status: StatusCode,
    code: u32,
    slug: std::borrow::Cow<'static, str>,
    detail: String,
    extra: Option<Value>,
    retry_after: Option<Duration>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    r#type: String,
    title: String,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    instance: &'a str,
    err_code: u32,
    err_msg: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    extra: Option<&'a Value>,
}

impl Problem {
    /// A problem of the table, explained for a person: what, where, and what to do.
    #[must_use]
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        let status = StatusCode::from_u16(kind.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut problem = Self(Box::new(Parts {
            status,
            code: kind.code,
            slug: kind.slug.into(),
            detail: detail.into(),
            extra: None,
            retry_after: None,
            headers: Vec::new(),
        }));
        if status == StatusCode::UNAUTHORIZED {
            problem = problem.header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        problem
    }

    /// A field that is wrong: `pointer` is a JSON pointer into the body, or the name of a parameter.
    #[must_use]
    pub fn invalid(pointer: &str, fault: impl std::fmt::Display) -> Self {
        Self::new(INVALID_REQUEST, format!("`{pointer}`: {fault}"))
    }

    /// Something for programs.
    #[must_use]
    pub fn extra(mut self, extra: Value) -> Self {
        self.0.extra = Some(extra);
        self
    }

    /// When to come back; told in whole seconds, rounded up.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.0.retry_after = Some(after);
        self
    }

    /// One more header of the answer.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.push((name, value));
        self
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// `errCode`.
    #[must_use]
    pub fn code(&self) -> u32 {
        self.0.code
    }

    /// What it is, for a person.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// The answer; `instance` is the path that was asked for.
    #[must_use]
    pub fn respond(&self, instance: &str) -> Response<Body> {
        let parts = &self.0;
        let written = Written {
            r#type: format!("/problems/{}", parts.slug),
            title: title(&parts.slug),
            status: parts.status.as_u16(),
            detail: &parts.detail,
            instance,
            err_code: parts.code,
            err_msg: &parts.detail,
            extra: parts.extra.as_ref(),
        };
        let body = serde_json::to_vec(&written).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = parts.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(after) = parts.retry_after {
            let whole = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            headers.insert(RETRY_AFTER, whole.max(1).into());
        }
        for (name, value) in &parts.headers {
            headers.insert(name, value.clone());
        }
        response
    }
}

/// The slug in words: the title must be the same for every problem of a type.
fn title(slug: &str) -> String {
    let mut words = slug.replace('-', " ");
    if let Some(first) = words.get_mut(0..1) {
        first.make_ascii_uppercase();
    }
    words
}

/// A problem travels to the outermost layer as an extension of an empty answer, and is written there, where the path is known.
impl IntoResponse for Problem {
    fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.status();
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use http_body_util::BodyExt;

    use super::*;

    #[test]
    fn codes_and_slugs_are_each_used_once() {
        let codes: HashSet<u32> = KINDS.iter().map(|kind| kind.code).collect();
        let slugs: HashSet<&str> = KINDS.iter().map(|kind| kind.slug).collect();
        assert_eq!((codes.len(), slugs.len()), (KINDS.len(), KINDS.len()));
        assert!(KINDS.iter().all(|kind| StatusCode::from_u16(kind.status).is_ok_and(|s| s.as_u16() >= 400)));
    }

    #[tokio::test]
    async fn a_problem_is_written_with_both_envelopes_and_its_headers() {
        let problem = Problem::new(INSUFFICIENT_BALANCE, "3 can be spent")
            .extra(serde_json::json!({"balance": "3"}))
            .retry_after(Duration::from_millis(1_200));
        let response = problem.respond("/v1/rooms/7/gifts");
        assert_eq!(response.status(), 402);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        assert_eq!(response.headers()["retry-after"], "2");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap();
        let expected = serde_json::json!({
            "type": "/problems/insufficient-balance", "title": "Insufficient balance", "status": 402,
            "detail": "3 can be spent", "instance": "/v1/rooms/7/gifts", "errCode": 20001, "errMsg": "3 can be spent",
            "extra": {"balance": "3"},
        });
        assert_eq!(body, expected);
    }

    #[test]
    fn whoever_is_not_known_is_told_how_to_be() {
        let response = Problem::new(UNAUTHENTICATED, "no token").respond("/");
        assert_eq!(
            (response.status().as_u16(), &response.headers()["www-authenticate"]),
            (401, &"Bearer".parse().unwrap())
        );
    }
}
