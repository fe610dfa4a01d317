//! The interface as one value: what it works over, its router, and the one way in for every request.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method, Response, Uri};
use axum::routing::{delete, get, post, put};
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;

use super::auth::{self, Authenticator, Identity};
use super::limits::Limit;
use super::observe::{self, Observer, Route};
use super::problem::{self, METHOD_NOT_ALLOWED, PLUGIN_TIMEOUT, Problem};
use super::settings::Settings;
use super::{
    asset_changes, assets, bindings, dead_letters, events, openapi, operations, plugin_routes, plugins, recharges,
    reconciliation, rooms, ws,
};
use crate::breaker::Breaker;
use crate::domain::{RoomId, UserId};
use crate::ledger::{Ledger, Reconciler};
use crate::plugin::Registry;
use crate::ports::clock::Clock;
use crate::ports::db::Deliveries;
use crate::ports::rate_limit::RateLimit;
use crate::push::Hub;
use crate::room::Rooms;
use crate::telemetry::Metrics;

/// A condition for `/readyz`, such as that the database answers.
pub struct Readiness {
    /// What is asked.
    pub name: &'static str,
    /// Whether nothing can be served without it. If not, its failure is told and the process stays ready.
    pub is_needed: bool,
    /// Asks; the error is shown to whoever looks, so it must not hold secrets.
    pub check: Box<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>,
}

/// What the interface works over.
pub struct State {
    /// Rooms, streams and bindings.
    pub rooms: Arc<Rooms>,
    /// Installed plugins.
    pub registry: Arc<Registry>,
    /// Balances.
    pub ledger: Arc<Ledger>,
    /// Adds everything up.
    pub reconciler: Reconciler,
    /// Events that could not be settled.
    pub deliveries: Arc<dyn Deliveries>,
    /// Pushes.
    pub hub: Arc<Hub>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The rate of each user over all processes; none if there is only this one, or no such limit.
    pub user_limit: Option<Arc<dyn RateLimit>>,
    /// What `/readyz` asks.
    pub readiness: Vec<Readiness>,
    /// The circuits of the backends that have one, by their names; `/readyz` shows them.
    pub circuits: Vec<(&'static str, Arc<Breaker>)>,
    /// What `/metrics` shows; none if nothing is recorded.
    pub metrics: Option<Metrics>,
}

/// The interface. Shared by every connection.
pub struct App {
    pub(super) settings: Settings,
    pub(super) state: State,
    pub(super) authenticator: Authenticator,
    pub(super) user_limit: Limit<UserId>,
    pub(super) room_limit: Limit<RoomId>,
    pub(super) observer: Observer,
    /// Cancelled at shutdown: event streams and sockets end.
    pub(super) ending: CancellationToken,
    /// Cancelled once the time for draining is over: sockets whose clients take nothing are cut.
    pub(super) cut: CancellationToken,
    /// Owns the sockets, whose tasks outlive their requests.
    pub(super) sockets: TaskTracker,
    router: Router<Arc<App>>,
}

impl App {
    /// The interface over a state.
    ///
    /// # Errors
    /// If the keys for tokens cannot be used.
    pub fn new(settings: Settings, state: State) -> Result<Arc<Self>, auth::Error> {
        Ok(Arc::new(Self {
            authenticator: Authenticator::new(&settings)?,
            user_limit: Limit::new("user", settings.user_rate),
            room_limit: Limit::new("room", settings.room_rate),
            observer: Observer::default(),
            ending: CancellationToken::new(),
            cut: CancellationToken::new(),
            sockets: TaskTracker::new(),
            router: router(&settings),
            settings,
            state,
        }))
    }

    /// Its bounds.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Answers a request; every request comes this way, those of sockets too. Never panics, and takes at most the time that
    /// the settings allow. Dropping the future abandons the request: what a call held by then stands, under its event id.
    pub async fn respond(self: &Arc<Self>, request: Request) -> Response<Body> {
        let started = Instant::now();
        let (uri, method) = (request.uri().clone(), request.method().clone());
        let request_id = observe::request_id(request.headers());
        let time_max = self.time_max(&method, &uri);
        let answer = AssertUnwindSafe(self.route(request)).catch_unwind();
        let mut response = match tokio::time::timeout(time_max, answer).await {
            Ok(Ok(response)) => response,
            Ok(Err(_)) => problem::internal("a handler panicked").respond(uri.path()),
            Err(_) => Problem::new(PLUGIN_TIMEOUT, format!("no answer within {time_max:?}")).respond(uri.path()),
        };
        let route = response.extensions_mut().remove::<Route>();
        let mut response = finished(response, &uri);
        response.headers_mut().insert(HeaderName::from_static("x-request-id"), request_id);
        self.observer.record(route, &method, response.status(), started.elapsed());
        tracing::debug!(%method, path = uri.path(), status = response.status().as_u16(), "answered");
        response
    }

    async fn route(self: &Arc<Self>, request: Request) -> Response<Body> {
        // The way of a gift goes past the router: no table of routes to search, no handler to box.
        if plugin_routes::is_room_route(request.uri().path()) {
            let uri = request.uri().clone();
            return match plugin_routes::room_route(self, request).await {
                Ok(response) => response,
                Err(problem) => problem.respond(uri.path()),
            };
        }
        let mut router = self.router.clone().with_state(self.clone());
        match router.call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    /// An upload needs longer to arrive and to compile than a request may take.
    fn time_max(&self, method: &Method, uri: &Uri) -> std::time::Duration {
        let is_upload = method == Method::POST && uri.path() == "/v1/plugins";
        if is_upload { self.settings.request_timeout * 10 } else { self.settings.request_timeout }
    }

    /// Who makes a request: verified before, or by its header. Counts towards the user's rate.
    pub(super) async fn identify(&self, parts: &Parts) -> Result<Identity, Problem> {
        let now_ms = self.state.clock.now_ms();
        let identity = match parts.extensions.get::<Identity>() {
            Some(identity) => *identity,
            None => self.authenticator.header(&parts.headers, now_ms)?,
        };
        self.limit_user(identity.user()).await?;
        Ok(identity)
    }

    /// Counts one request of a user, here and then, if there are several processes, over all of them.
    pub(super) async fn limit_user(&self, user: UserId) -> Result<(), Problem> {
        self.user_limit.check(&user)?;
        let Some(shared) = &self.state.user_limit else { return Ok(()) };
        match shared.count(user).await {
            Some(wait) => Err(self.user_limit.refused(wait)),
            None => Ok(()),
        }
    }
}

fn router(settings: &Settings) -> Router<Arc<App>> {
    let mut router = Router::new()
        .route("/healthz", get(operations::healthz))
        .route("/readyz", get(operations::readyz))
        .route("/metrics", get(operations::metrics))
        .route("/v1/rooms", post(rooms::create).get(rooms::list))
        .route("/v1/rooms/{room}", get(rooms::read))
        .route("/v1/rooms/{room}/streams", post(rooms::start_stream))
        .route("/v1/rooms/{room}/streams/current", delete(rooms::end_stream))
        .route("/v1/rooms/{room}/plugins", get(bindings::list))
        .route("/v1/rooms/{room}/plugins/{name}", put(bindings::change))
        .route("/v1/rooms/{room}/audit", get(bindings::audit))
        .route("/v1/rooms/{room}/events", get(events::stream))
        .route("/v1/rooms/{room}/ws", get(ws::upgrade))
        .route("/v1/plugins", post(plugins::install).get(plugins::list))
        .route("/v1/plugins/{name}", get(plugins::read))
        .route("/v1/plugins/{name}/{version}", delete(plugins::remove))
        .route("/v1/users/{user}/assets", get(assets::balances))
        .route("/v1/users/{user}/asset-records", get(assets::records))
        .route("/v1/asset-changes", post(asset_changes::apply))
        .route("/v1/recharges", post(recharges::credit))
        .route("/v1/reconciliation", get(reconciliation::reconcile))
        .route("/v1/dead-letters", get(dead_letters::list))
        .route("/v1/dead-letters/{id}", delete(dead_letters::drop))
        .route("/v1/dead-letters/{id}/replay", post(dead_letters::replay));
    if settings.docs {
        router = router
            .route("/openapi.json", get(openapi::document))
            .route("/docs", get(openapi::docs_root))
            .route("/docs/{*file}", get(openapi::docs_file));
    }
    router
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(plugin_routes::global_route)
        // `body::read` bounds every body by its own measure.
        .layer(DefaultBodyLimit::disable())
        .layer(axum::middleware::from_fn(observe::name_route))
}

async fn method_not_allowed(method: Method, uri: Uri) -> Problem {
    Problem::new(METHOD_NOT_ALLOWED, format!("{} has no method {method}", uri.path()))
}

/// Makes a problem of every answer that tells of one.
fn finished(mut response: Response<Body>, uri: &Uri) -> Response<Body> {
    if let Some(problem) = response.extensions_mut().remove::<Arc<Problem>>() {
        let mut written = problem.respond(uri.path());
        // Such as `allow`, which the router adds to a 405.
        for (name, value) in response.headers().iter().filter(|(name, _)| name.as_str() == "allow") {
            written.headers_mut().insert(name, value.clone());
        }
        return written;
    }
    let is_refusal = response.status().is_client_error() || response.status().is_server_error();
    let is_problem = || {
        let problem = HeaderValue::from_static("application/problem+json");
        response.headers().get(CONTENT_TYPE) == Some(&problem)
    };
    if !is_refusal || is_problem() {
        return response;
    }
    // The framework itself refused: an upgrade that is none, a path that is no UTF-8.
    let kind = problem::KINDS.iter().find(|kind| kind.status == response.status().as_u16());
    let reason = response.status().canonical_reason().unwrap_or("refused");
    Problem::new(kind.copied().unwrap_or(problem::INVALID_REQUEST), reason).respond(uri.path())
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[test]
    fn no_two_routes_are_in_each_others_way() {
        for docs in [true, false] {
            let router = router(&Settings { docs, ..Settings::default() });
            assert!(router.has_routes());
        }
    }

    #[tokio::test]
    async fn what_the_framework_refuses_is_a_problem_too() {
        let mut plain = Response::new(Body::from("Not a WebSocket"));
        *plain.status_mut() = axum::http::StatusCode::METHOD_NOT_ALLOWED;
        let response = finished(plain, &Uri::from_static("/v1/rooms/7/ws?token=secret"));
        assert_eq!(
            (response.status().as_u16(), &response.headers()[CONTENT_TYPE]),
            (405, &"application/problem+json".parse().unwrap())
        );
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((&body["errCode"], &body["instance"]), (&10011.into(), &"/v1/rooms/7/ws".into()));
    }

    #[test]
    fn an_answer_that_is_no_refusal_is_left_alone() {
        let response = finished(Response::new(Body::empty()), &Uri::from_static("/"));
        assert!(response.status().is_success() && !response.headers().contains_key(CONTENT_TYPE));
    }
}
