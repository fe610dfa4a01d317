//! Single requests beside the load: what one caller is told, how fast, and what a host says of its backends.

use std::time::{Duration, Instant};

use greenroom_manifest::Role;
use reqwest::header::HeaderMap;
use serde_json::Value;

use crate::hosts::{Host, token};
use crate::load::{FIRST_VIEWER, Gift};

/// A viewer of the load, with much money.
pub const VIEWER: i64 = FIRST_VIEWER + 3;
/// Whoever asks beside the load, in the history; no viewer ever has this number.
pub const PROCESS: i64 = -1;
/// A circuit opens after some time-outs, and closes after some probes.
const CIRCUIT_WAIT: Duration = Duration::from_secs(40);

/// What a request was answered with.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Value,
    pub took: Duration,
}

/// Somebody who asks once.
pub struct Asker {
    http: reqwest::Client,
    token: String,
}

impl Asker {
    /// Somebody with a role.
    pub fn with(user: i64, role: Role) -> Self {
        Self { http: reqwest::Client::new(), token: token(user, role) }
    }

    pub async fn give(&self, host: &Host, gift: &Gift) -> Answer {
        answer(self.http.post(format!("{}{}", host.url(), gift.path())).bearer_auth(&self.token).json(&gift.body()))
            .await
    }

    pub async fn get(&self, host: &Host, path: &str) -> Answer {
        answer(self.http.get(format!("{}{path}", host.url())).bearer_auth(&self.token)).await
    }
}

async fn answer(request: reqwest::RequestBuilder) -> Answer {
    let begun = Instant::now();
    let answer = request.send().await.unwrap();
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    let bytes = answer.bytes().await.unwrap();
    Answer { status, headers, body: serde_json::from_slice(&bytes).unwrap_or_default(), took: begun.elapsed() }
}

/// The status and the JSON of `/readyz`.
pub async fn readiness(host: &Host) -> (u16, Value) {
    let answer = answer(reqwest::Client::new().get(format!("{}/readyz", host.url()))).await;
    (answer.status, answer.body)
}

/// Waits until a host says that the circuit of a backend is so; false if it never does.
pub async fn circuit(host: &Host, backend: &str, wanted: &str) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < CIRCUIT_WAIT {
        let (_, said) = readiness(host).await;
        let all = if said["circuits"].is_object() { &said["circuits"] } else { &said["extra"]["circuits"] };
        if all[backend]["circuit"] == wanted {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    false
}

/// A number in a host's metrics, for one backend; 0 if it was never recorded.
pub async fn metric(host: &Host, name: &str, backend: &str) -> f64 {
    let text = reqwest::get(format!("{}/metrics", host.url())).await.unwrap().text().await.unwrap();
    let line = text.lines().find(|line| line.starts_with(name) && line.contains(&format!("backend=\"{backend}\"")));
    line.and_then(|line| line.rsplit_once(' ')?.1.parse().ok()).unwrap_or(0.0)
}
