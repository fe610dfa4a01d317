//! Single requests beside the load: what one caller is told, how fast, and what a host says of its backends.

use std::time::{Duration, Instant};

use greenroom_manifest::Role;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use crate::hosts::{Host, token};
use crate::load::Gift;

/// A viewer who is not of the load.
pub const FUNDED: i64 = 5_001;
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

    /// A viewer with money, like those of the load.
    pub async fn funded(host: &Host) -> Self {
        let body = json!({
            "eventId": format!("recharge-{FUNDED}"), "userId": FUNDED, "assetType": 1, "amount": 100_000,
            "eventType": "orderApple", "orderId": "o1", "transactionId": "t1",
        });
        let service = Self::with(1, Role::Service);
        let request = service.http.post(format!("{}/v1/recharges", host.url())).bearer_auth(&service.token).json(&body);
        let answer = answer(request).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        Self::with(FUNDED, Role::Viewer)
    }

    /// What can be spent. The database must be there.
    pub async fn spendable(&self, host: &Host) -> Value {
        let answer = self.get(host, "/v1/users/me/assets").await;
        let assets = answer.body["assets"].as_array().cloned().unwrap_or_default();
        let gold = assets.into_iter().find(|asset| asset["assetType"] == 1);
        gold.unwrap_or_else(|| panic!("{}", answer.body))["spendable"].clone()
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
