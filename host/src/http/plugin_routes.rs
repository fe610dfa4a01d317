//! The way of a gift through HTTP: requests that a plugin answers.
//!
//! Who calls, how often, which binding, how long the body, what its schema says, and only then the plugin. Cheap questions come first.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, HeaderName};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, Response, StatusCode};
use greenroom_manifest::{self as manifest, WhenOpen};

use super::observe::Route;
use super::problem::{INVALID_REQUEST, METHOD_NOT_ALLOWED, NOT_FOUND, Problem};
use super::{App, Identity, body, plugin_actions, problem, wire};
use crate::plugin::{self, ApiRequest, ApiResponse};
use crate::room::Routed;

/// What the host itself answers under a room.
const OF_THE_HOST: [&str; 5] = ["streams", "plugins", "audit", "events", "ws"];
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Whether a path is under a room and not one of the host's.
pub(super) fn is_room_route(path: &str) -> bool {
    split(path).is_some_and(|(_, rest)| {
        let first = rest.split('/').next().unwrap_or_default();
        !first.is_empty() && !OF_THE_HOST.contains(&first)
    })
}

fn split(path: &str) -> Option<(&str, &str)> {
    path.strip_prefix("/v1/rooms/")?.split_once('/')
}

/// Answers a request under a room.
pub(super) async fn room_route(app: &Arc<App>, request: Request) -> Result<Response<Body>, Problem> {
    let (parts, body) = request.into_parts();
    let identity = app.identify(&parts).await?;
    let (room, path) = split(parts.uri.path()).ok_or_else(|| not_found(&parts))?;
    let room = wire::room_id(room)?;
    let path = decoded(path)?;
    let routed = app.state.rooms.route(room, method(&parts)?, &path).await?;
    app.room_limit.check(&room)?;
    call(app, identity, routed, &parts, body).await
}

/// Answers a request that no route of the host has, if a plugin's global route does.
pub(super) async fn global_route(State(app): State<Arc<App>>, request: Request) -> Result<Response<Body>, Problem> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().strip_prefix("/v1/").ok_or_else(|| not_found(&parts))?;
    let path = decoded(path)?;
    let routed = method(&parts).ok().and_then(|method| app.state.rooms.route_global(method, &path));
    let routed = routed.ok_or_else(|| not_found(&parts))?;
    let identity = app.identify(&parts).await?;
    call(&app, identity, routed, &parts, body).await
}

async fn call(
    app: &App,
    identity: Identity,
    routed: Routed,
    parts: &Parts,
    body: Body,
) -> Result<Response<Body>, Problem> {
    let Routed { context, route, params } = routed;
    let settings = &app.settings;
    let body = body::read(body, &parts.headers, settings.body_bytes_max, settings.body_timeout).await?;
    let key = parts.headers.get(IDEMPOTENCY_KEY).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let query = if parts.uri.query().is_some() { wire::query(&parts.uri)? } else { Vec::new() };
    let request = ApiRequest { route, params, query, body, idempotency_key: key, caller: identity.caller };
    let answer = match context.plugin.admit(&request) {
        Ok(()) => {
            plugin_actions::require_own_room(&identity, &context, route)?;
            let told = plugin_actions::Told::of(&context, &request, parts.uri.path());
            let answer = app.state.registry.api(&context, request).await;
            if let (Some(told), Ok(Ok(_))) = (told, &answer) {
                told.note(&app.state.rooms, identity.user()).await?;
            }
            answer
        }
        Err(refused) => Ok(Err(refused)),
    };
    let skip = context.plugin.manifest.when_open == WhenOpen::Open;
    let mut response = match answer {
        Ok(Ok(response)) => written(response),
        Ok(Err(refused)) => Problem::from(refused).respond(parts.uri.path()),
        Err(plugin::Error::Suspended { .. }) if skip => nothing(),
        Err(error) => Problem::from(error).respond(parts.uri.path()),
    };
    response.extensions_mut().insert(Route::Plugin(context.plugin.clone(), route));
    Ok(response)
}

fn written(answer: ApiResponse) -> Response<Body> {
    let Some(status) = StatusCode::from_u16(answer.status).ok().filter(StatusCode::is_success) else {
        return problem::internal("a plugin answered with a status that is no success").respond("");
    };
    if answer.body.is_empty() {
        let mut response = nothing();
        *response.status_mut() = if status == StatusCode::OK { StatusCode::NO_CONTENT } else { status };
        return response;
    }
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The plugin is decoration and its circuit is open: the client goes on without it.
fn nothing() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

fn not_found(parts: &Parts) -> Problem {
    Problem::new(NOT_FOUND, format!("nothing is at {}", parts.uri.path()))
}

fn method(parts: &Parts) -> Result<manifest::Method, Problem> {
    match parts.method {
        Method::GET => Ok(manifest::Method::Get),
        Method::POST => Ok(manifest::Method::Post),
        Method::PUT => Ok(manifest::Method::Put),
        Method::DELETE => Ok(manifest::Method::Delete),
        _ => Err(Problem::new(METHOD_NOT_ALLOWED, format!("no plugin answers the method {}", parts.method))),
    }
}

/// The path with `%xx` decoded. An encoded slash would change which route is meant.
fn decoded(path: &str) -> Result<std::borrow::Cow<'_, str>, Problem> {
    if !path.contains('%') {
        return Ok(path.into());
    }
    let fault = || Problem::new(INVALID_REQUEST, "the path is not well encoded");
    let mut bytes = Vec::with_capacity(path.len());
    let mut pieces = path.split('%');
    bytes.extend_from_slice(pieces.next().unwrap_or_default().as_bytes());
    for piece in pieces {
        let byte = piece.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok()).ok_or_else(fault)?;
        if byte == b'/' || byte == 0 {
            return Err(Problem::new(INVALID_REQUEST, "a path has no encoded slash and no zero"));
        }
        bytes.push(byte);
        bytes.extend_from_slice(piece.get(2..).unwrap_or_default().as_bytes());
    }
    String::from_utf8(bytes).map(Into::into).map_err(|_| fault())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_under_a_room_are_plugins_unless_they_are_the_hosts() {
        for path in ["/v1/rooms/7/gifts", "/v1/rooms/7/gifts/ranking", "/v1/rooms/7/pluginsx"] {
            assert!(is_room_route(path), "{path}");
        }
        for path in ["/v1/rooms/7", "/v1/rooms/7/", "/v1/rooms/7/plugins/gift", "/v1/rooms/7/ws", "/v1/gifts/1", "/"] {
            assert!(!is_room_route(path), "{path}");
        }
    }

    #[test]
    fn encoded_paths_are_decoded_once_and_never_into_a_slash() {
        assert_eq!(decoded("a%20b%C3%A9").unwrap(), "a bé");
        assert_eq!(decoded("a%2525").unwrap(), "a%25");
        for bad in ["%", "%2", "%zz", "%ff", "a%2Fb", "a%00"] {
            assert!(decoded(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_answer_without_a_body_is_no_content() {
        let empty = |status| written(ApiResponse { status, body: bytes::Bytes::new() }).status().as_u16();
        assert_eq!((empty(200), empty(202), empty(302)), (204, 202, 500));
    }
}
