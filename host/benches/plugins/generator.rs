//! Requests as fast as they are answered, over so many connections that live on.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use greenroom::bench::http1::Connection;
use tokio::task::JoinSet;

const CONNECTIONS: usize = 64;

/// What is asked, and what the answers are made of.
pub trait Script: Send + Sync + 'static {
    /// Writes the request of that number, from 0; false if there are no more.
    fn write(&self, number: usize, request: &mut Vec<u8>) -> bool;

    /// Takes its answer; panics at one that must not be.
    fn answered(&self, number: usize, status: u16, body: &[u8]);
}

pub struct Ran {
    pub answers: usize,
    pub seconds: f64,
}

impl Ran {
    /// Answers a second.
    pub fn rate(&self) -> f64 {
        self.answers as f64 / self.seconds
    }
}

/// Asks until the time is over or there is no more to ask, and waits for the last answer.
pub async fn run<S: Script>(authority: &str, script: &Arc<S>, duration: Duration) -> Ran {
    let (next, mut tasks) = (Arc::new(AtomicUsize::new(0)), JoinSet::new());
    let started = Instant::now();
    for _ in 0..CONNECTIONS {
        let (authority, script, next) = (authority.to_owned(), script.clone(), next.clone());
        tasks.spawn(async move { work(&authority, &*script, &next, started + duration).await });
    }
    let mut answers = 0;
    while let Some(done) = tasks.join_next().await {
        answers += done.unwrap();
    }
    Ran { answers, seconds: started.elapsed().as_secs_f64() }
}

async fn work(authority: &str, script: &impl Script, next: &AtomicUsize, end: Instant) -> usize {
    let mut connection = Connection::open(authority).await.unwrap();
    let (mut request, mut answers) = (Vec::with_capacity(1024), 0);
    while Instant::now() < end {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if !script.write(number, &mut request) {
            break;
        }
        let answer = connection.exchange(&request).await.unwrap();
        script.answered(number, answer.status, answer.body);
        answers += 1;
    }
    answers
}

/// Writes a request, head and body.
pub fn post(request: &mut Vec<u8>, path: &str, token: &str, body: &str) {
    request.clear();
    write!(
        request,
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len(),
    )
    .unwrap();
}
