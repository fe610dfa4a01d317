//! Slow clients, crowds and shutdown, over real sockets.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::*;
use crate::http::body;

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";

struct Server {
    address: std::net::SocketAddr,
    shutdown: CancellationToken,
    done: JoinHandle<()>,
    release: Arc<Notify>,
    started: Arc<AtomicUsize>,
}

fn quick() -> Settings {
    Settings {
        head_timeout: Duration::from_millis(200),
        body_timeout: Duration::from_millis(200),
        write_timeout: Duration::from_millis(300),
        drain_timeout: Duration::from_secs(5),
        ..Settings::default()
    }
}

/// `/` answers at once, `/body` reads the body, `/wait` waits to be released, `/flood` sends without end.
async fn start(settings: Settings) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (shutdown, release, started) =
        (CancellationToken::new(), Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
    let (token, wait, count, bounds) = (shutdown.clone(), release.clone(), started.clone(), settings.clone());
    let answer = move |request: Request<Body>| {
        let (wait, count, bounds) = (wait.clone(), count.clone(), bounds.clone());
        async move {
            count.fetch_add(1, Ordering::SeqCst);
            let (parts, sent) = request.into_parts();
            match parts.uri.path() {
                "/body" => match body::read(sent, &parts.headers, 1_000, bounds.body_timeout).await {
                    Ok(bytes) => Response::new(Body::from(bytes)),
                    Err(problem) => problem.respond("/body"),
                },
                "/wait" => {
                    wait.notified().await;
                    Response::new(Body::from("waited"))
                }
                "/flood" => {
                    let piece = bytes::Bytes::from(vec![b'x'; 1 << 16]);
                    Response::new(Body::from_stream(futures::stream::repeat_with(move || {
                        Ok::<_, Infallible>(piece.clone())
                    })))
                }
                _ => Response::new(Body::from("hello")),
            }
        }
    };
    let done = tokio::spawn(async move { connections(listener, &settings, answer, token, || {}).await });
    Server { address, shutdown, done, release, started }
}

impl Server {
    async fn open(&self, bytes: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream
    }

    async fn until_started(&self, requests: usize) {
        while self.started.load(Ordering::SeqCst) < requests {
            tokio::task::yield_now().await;
        }
    }
}

/// Everything until the server closes the connection.
async fn all(mut stream: TcpStream) -> String {
    let mut text = Vec::new();
    let read = timeout(Duration::from_secs(10), stream.read_to_end(&mut text)).await;
    assert!(read.is_ok(), "the server left the connection open");
    String::from_utf8_lossy(&text).into_owned()
}

async fn answers(server: &Server) -> bool {
    let stream = server.open(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    all(stream).await.ends_with("hello")
}

#[tokio::test]
async fn clients_that_send_nothing_or_half_a_head_are_cut_and_others_are_served() {
    let server = start(quick()).await;
    let silent = server.open(b"").await;
    let half_preface = server.open(b"PRI * HT").await;
    let half_head = server.open(b"GET / HTTP/1.1\r\nhost: a-name-that-is-long-enough\r\n").await;
    let idle = server.open(GET).await;
    assert!(answers(&server).await);
    for stream in [silent, half_preface, half_head] {
        assert!(!all(stream).await.contains("200 OK"));
    }
    assert!(all(idle).await.contains("hello"), "an idle connection is closed after its answer");
    server.shutdown.cancel();
    server.done.await.unwrap();
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_answered_408() {
    let server = start(quick()).await;
    let slow = server.open(b"POST /body HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nabc").await;
    let answer = all(slow).await;
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("request-timeout"), "{answer}");
    server.shutdown.cancel();
    server.done.await.unwrap();
}

#[tokio::test]
async fn a_body_over_the_limit_is_answered_413_whether_it_says_so_or_not() {
    let server = start(quick()).await;
    let honest = server.open(b"POST /body HTTP/1.1\r\nhost: x\r\ncontent-length: 100000000\r\n\r\n").await;
    let mut chunked = b"POST /body HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5dc\r\n".to_vec();
    chunked.extend([b'x'; 1_500]);
    chunked.extend(b"\r\n0\r\n\r\n");
    for stream in [honest, server.open(&chunked).await] {
        let answer = all(stream).await;
        assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("too-large"), "{answer}");
    }
    server.shutdown.cancel();
    server.done.await.unwrap();
}

#[tokio::test]
async fn a_client_that_takes_no_bytes_is_cut() {
    let server = start(quick()).await;
    let greedy = server.open(b"GET /flood HTTP/1.1\r\nhost: x\r\n\r\n").await;
    server.until_started(1).await;
    assert!(answers(&server).await);
    server.shutdown.cancel();
    // The stream has no end of its own: only the cut lets the server finish within the time for draining.
    let began = Instant::now();
    server.done.await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    drop(greedy);
}

#[tokio::test]
async fn connections_above_the_maximum_are_told_to_come_back() {
    let server = start(Settings { connections_max: 1, ..quick() }).await;
    let first = server.open(b"GET /wait HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    server.until_started(1).await;
    let mut second = TcpStream::connect(server.address).await.unwrap();
    let mut refused = vec![0; BUSY.len()];
    second.read_exact(&mut refused).await.unwrap();
    assert!(refused.starts_with(b"HTTP/1.1 503") && refused.windows(14).any(|w| w == b"retry-after: 1"));
    server.release.notify_one();
    assert!(all(first).await.ends_with("waited"));
    server.shutdown.cancel();
    server.done.await.unwrap();
}

#[tokio::test]
async fn requests_in_flight_are_answered_at_shutdown_and_new_connections_refused() {
    let server = start(quick()).await;
    let in_flight = server.open(b"GET /wait HTTP/1.1\r\nhost: x\r\n\r\n").await;
    server.until_started(1).await;
    server.shutdown.cancel();
    let (sent, answer) = oneshot::channel();
    tokio::spawn(async move { sent.send(all(in_flight).await) });
    while TcpStream::connect(server.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    server.release.notify_one();
    assert!(answer.await.unwrap().ends_with("waited"));
    server.done.await.unwrap();
}

#[tokio::test]
async fn shutdown_does_not_wait_for_ever() {
    let server = start(Settings { drain_timeout: Duration::from_millis(200), ..quick() }).await;
    let stuck = server.open(b"GET /wait HTTP/1.1\r\nhost: x\r\n\r\n").await;
    server.until_started(1).await;
    server.shutdown.cancel();
    assert!(timeout(Duration::from_secs(5), server.done).await.is_ok());
    assert_eq!(all(stuck).await, "");
}

#[tokio::test]
async fn http_2_without_tls_is_spoken_too() {
    let server = start(quick()).await;
    let stream = TcpStream::connect(server.address).await.unwrap();
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let driver = tokio::spawn(connection);
    let request = Request::get("http://x/").body(String::new()).unwrap();
    let response = client.send_request(request).await.unwrap();
    assert_eq!((response.status().as_u16(), response.version()), (200, axum::http::Version::HTTP_2));
    drop(client);
    server.shutdown.cancel();
    server.done.await.unwrap();
    driver.await.unwrap().unwrap();
}
