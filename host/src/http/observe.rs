//! Counts and times requests by route template, method and status, and gives each request an id.
//!
//! The handles of metrics are remembered, since looking one up by its labels costs more than recording. Templates come from routes,
//! never from paths as sent, so there are only so many.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Weak};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use axum::middleware::Next;
use greenroom_manifest::Scope;
use metrics::{Counter, Histogram};
use parking_lot::RwLock;

use crate::plugin::Plugin;

/// Handles that are remembered; beyond it they are all looked up anew.
const HANDLES_MAX: usize = 4_096;

/// Which route answered; none for a path that has no route.
#[derive(Clone)]
pub(super) enum Route {
    /// One of the host's.
    Host(MatchedPath),
    /// A plugin's, by its index in the manifest.
    Plugin(Arc<Plugin>, usize),
}

impl Route {
    /// Tells routes apart by where their names lie, which is cheaper than comparing names.
    fn key(&self) -> (usize, usize) {
        match self {
            Route::Host(path) => (path.as_str().as_ptr().addr(), usize::MAX),
            Route::Plugin(plugin, route) => (Arc::as_ptr(plugin).addr(), *route),
        }
    }

    fn template(&self) -> String {
        match self {
            Route::Host(path) => path.as_str().to_owned(),
            Route::Plugin(plugin, route) => match plugin.manifest.routes.get(*route) {
                Some(route) => template(route.scope, &route.path),
                None => "unknown".to_owned(),
            },
        }
    }
}

/// The address of a plugin's route.
pub(super) fn template(scope: Scope, path: &str) -> String {
    match scope {
        Scope::Room => format!("/v1/rooms/{{room}}/{path}"),
        Scope::Global => format!("/v1/{path}"),
    }
}

#[derive(Clone)]
struct Handles {
    requests: Counter,
    seconds: Histogram,
    /// Keeps the address of the plugin from being used again while it is a key.
    _plugin: Weak<Plugin>,
}

/// Route, method and status.
type Key = ((usize, usize), u8, u16);

/// Records requests.
#[derive(Default)]
pub(super) struct Observer {
    handles: RwLock<HashMap<Key, Handles>>,
}

impl Observer {
    pub(super) fn record(&self, route: Option<Route>, method: &Method, status: StatusCode, took: Duration) {
        let route_key = route.as_ref().map_or((0, 0), Route::key);
        let key = (route_key, method_number(method), status.as_u16());
        let known = self.handles.read().get(&key).cloned();
        let handles = known.unwrap_or_else(|| {
            let handles = look_up(route.as_ref(), method, status);
            let mut all = self.handles.write();
            if all.len() >= HANDLES_MAX {
                all.clear();
            }
            all.insert(key, handles.clone());
            handles
        });
        handles.requests.increment(1);
        handles.seconds.record(took);
    }
}

fn look_up(route: Option<&Route>, method: &Method, status: StatusCode) -> Handles {
    let template = route.map_or_else(|| "unknown".to_owned(), Route::template);
    let method = known_method(method);
    let labels = [("route", template.clone()), ("method", method.to_owned()), ("status", status.as_str().to_owned())];
    let plugin = match route {
        Some(Route::Plugin(plugin, _)) => Arc::downgrade(plugin),
        _ => Weak::new(),
    };
    Handles {
        requests: metrics::counter!("greenroom_http_requests_total", &labels),
        seconds: metrics::histogram!("greenroom_http_request_seconds", "route" => template, "method" => method),
        _plugin: plugin,
    }
}

/// A client may send any word as a method; the metrics know these.
const METHODS: [&str; 6] = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"];

fn method_number(method: &Method) -> u8 {
    METHODS.iter().zip(0..).find(|(known, _)| **known == method.as_str()).map_or(u8::MAX, |(_, number)| number)
}

fn known_method(method: &Method) -> &'static str {
    METHODS.into_iter().find(|known| *known == method.as_str()).unwrap_or("other")
}

/// Tells the outermost layer which of the host's routes was matched.
pub(super) async fn name_route(request: Request, next: Next) -> Response<Body> {
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let mut response = next.run(request).await;
    if let Some(path) = matched {
        response.extensions_mut().insert(Route::Host(path));
    }
    response
}

/// The client's own id if it is short and plain, or a new one: a random prefix of this process and a number.
pub(super) fn request_id(headers: &HeaderMap) -> HeaderValue {
    static PROCESS: LazyLock<u32> = LazyLock::new(rand::random);
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let plain = |id: &&HeaderValue| {
        (1..=64).contains(&id.len()) && id.as_bytes().iter().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
    };
    if let Some(id) = headers.get("x-request-id").filter(plain) {
        return id.clone();
    }
    let id = format!("{:08x}-{:x}", *PROCESS, NEXT.fetch_add(1, Ordering::Relaxed));
    HeaderValue::from_str(&id).unwrap_or(HeaderValue::from_static("none"))
}
