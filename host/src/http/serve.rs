//! Accepts connections and serves them: HTTP/1.1 and HTTP/2 without TLS, which belongs to the proxy in front.
//!
//! Bounded are the connections, the time for a head to arrive, and the time a client may leave bytes waiting; a slow client is cut
//! and hurts nobody else. At shutdown no connection is accepted, streams and sockets end, and requests in flight have a bounded
//! time to be answered.

mod io;

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{App, Settings};
use io::Watched;

/// How often idle keys of the rates are forgotten and metrics folded.
const UPKEEP_PERIOD: Duration = Duration::from_secs(5);
/// How long to wait after the machine has no file for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Requests of one HTTP/2 connection at the same time.
const STREAMS_MAX: u32 = 256;
const BUSY: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// Serves until `shutdown` is cancelled and the connections are drained, or the time for that is over.
pub async fn serve(listener: TcpListener, app: Arc<App>, shutdown: CancellationToken) {
    let upkeep = TaskTracker::new();
    upkeep.spawn(keep_up(app.clone(), shutdown.clone()));
    upkeep.close();
    let settings = app.settings.clone();
    let (for_requests, for_end) = (app.clone(), app.clone());
    let answer = move |request: Request<Body>| {
        let app = for_requests.clone();
        async move { app.respond(request).await }
    };
    let on_end = move || {
        for_end.ending.cancel();
        for_end.sockets.close();
    };
    connections(listener, &settings, answer, shutdown, on_end).await;
    if timeout(settings.drain_timeout, app.sockets.wait()).await.is_err() {
        tracing::warn!(sockets = app.sockets.len(), "sockets were cut at shutdown");
        app.cut.cancel();
        app.sockets.wait().await;
    }
    upkeep.wait().await;
}

async fn keep_up(app: Arc<App>, shutdown: CancellationToken) {
    let mut ticks = interval(UPKEEP_PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = ticks.tick() => {}
        }
        app.user_limit.forget_idle();
        app.room_limit.forget_idle();
        if let Some(metrics) = &app.state.metrics {
            metrics.upkeep();
        }
    }
}

/// Accepts connections until `shutdown`, then drains them; `on_end` is called in between, to end what would not end by itself.
async fn connections<F, R>(
    listener: TcpListener,
    settings: &Settings,
    answer: F,
    shutdown: CancellationToken,
    on_end: impl FnOnce(),
) where
    F: Fn(Request<Body>) -> R + Clone + Send + 'static,
    R: Future<Output = Response<Body>> + Send + 'static,
{
    let builder = builder(settings);
    let permits = Arc::new(Semaphore::new(settings.connections_max));
    let (graceful, tasks, cut) = (GracefulShutdown::new(), TaskTracker::new(), CancellationToken::new());
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(permit) = permits.clone().try_acquire_owned() else {
            refuse(&stream);
            continue;
        };
        let (builder, answer, watcher, cut) = (builder.clone(), answer.clone(), graceful.watcher(), cut.clone());
        let io = Watched::new(stream, settings.head_timeout, settings.write_timeout);
        tasks.spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let answered = answer(request.map(Body::new));
                async move { Ok::<_, Infallible>(answered.await) }
            });
            let connection =
                watcher.watch(builder.serve_connection_with_upgrades(TokioIo::new(io), service).into_owned());
            tokio::select! {
                ended = connection => if let Err(error) = ended { tracing::debug!(error, "a connection broke off") },
                () = cut.cancelled() => {}
            }
            drop(permit);
        });
    }
    drop(listener);
    tasks.close();
    on_end();
    if timeout(settings.drain_timeout, graceful.shutdown()).await.is_err() {
        tracing::warn!(connections = tasks.len(), "requests in flight were cut at shutdown");
    }
    cut.cancel();
    tasks.wait().await;
}

fn builder(settings: &Settings) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(settings.head_timeout)
        .keep_alive(true)
        // Below 8 KiB hyper panics: its buffer must hold a head.
        .max_buf_size(settings.head_bytes_max.max(8 << 10));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(u32::try_from(settings.head_bytes_max).unwrap_or(u32::MAX))
        .keep_alive_interval(settings.head_timeout)
        .keep_alive_timeout(settings.head_timeout);
    builder
}

/// Tells a client, if it listens, that there are too many.
fn refuse(stream: &TcpStream) {
    metrics::counter!("greenroom_http_connections_refused_total").increment(1);
    let _ = stream.try_write(BUSY);
}

#[cfg(test)]
mod tests;
