//! Starting the program, and talking to it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use greenroom::domain::UserId;
use greenroom::http::auth;
use greenroom_manifest::Role;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

pub const ROOM: i64 = 7;
pub const STREAMER: i64 = 77;
pub const GOLD: u32 = 1;
/// A debug build that compiles its plugins on a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(180);

/// Where `cargo xtask plugins` puts what it builds.
pub fn plugins_dir() -> PathBuf {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/plugins");
    assert!(dir.join("gift.wasm").is_file(), "no plugins in {}: run `cargo xtask plugins` first", dir.display());
    dir
}

/// The time so many seconds from now, in seconds since the Unix epoch.
pub fn in_seconds(seconds: u64) -> u64 {
    std::time::UNIX_EPOCH.elapsed().unwrap().as_secs() + seconds
}

/// A folder that holds just the named plugins.
pub fn only(names: &[&str]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for name in names {
        let file = format!("{name}.wasm");
        std::fs::copy(plugins_dir().join(&file), folder.path().join(&file)).unwrap();
    }
    folder
}

/// The program, running on a data directory that outlives it.
pub struct Server {
    child: Child,
    pub url: String,
    secret: Vec<u8>,
}

impl Drop for Server {
    /// A test that fails leaves no server behind.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// Starts it and waits until it is ready.
    pub async fn start_with(data: &Path, plugins: &Path, environment: &[(&str, &str)]) -> Self {
        let address = data.join("address");
        let _ = std::fs::remove_file(&address);
        let child = Command::new(env!("CARGO_BIN_EXE_greenroom"))
            .args(["serve", "--dev", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(data)
            .arg("--plugins")
            .arg(plugins)
            .env("GREENROOM_LOG_FILTER", "error")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        // From here on it ends with this, also if it is never ready.
        let mut server = Self { child, url: String::new(), secret: Vec::new() };
        server.url = server.ready(data).await;
        server.secret = std::fs::read(data.join("dev-secret")).unwrap();
        server
    }

    /// Waits until it is ready, and gives its URL.
    async fn ready(&mut self, data: &Path) -> String {
        let begun = Instant::now();
        loop {
            if let Some(url) = greenroom::app::written_address(data)
                && reqwest::get(format!("{url}/readyz")).await.is_ok_and(|answer| answer.status() == StatusCode::OK)
            {
                return url;
            }
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the server ended with {status} before it was ready");
            }
            assert!(begun.elapsed() < READY_WITHIN, "the server was not ready after {READY_WITHIN:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Ends it as a crash does: SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends it as an operator does: SIGTERM, and waits.
    pub fn stop(mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let status = self.child.wait().unwrap();
        assert!(status.success(), "the server ended with {status}");
    }

    pub fn token(&self, user: i64, role: Role) -> String {
        auth::issue(&self.secret, UserId(user), role, 1, in_seconds(3600)).unwrap()
    }

    pub fn client(&self, user: i64, role: Role) -> Client {
        let token = self.token(user, role);
        // Shorter than the server keeps a connection that does nothing: it closes none that is just used again.
        let http = reqwest::Client::builder().pool_idle_timeout(Duration::from_secs(30)).build().unwrap();
        Client { http, url: self.url.clone(), token }
    }

    pub fn viewer(&self, user: i64) -> Client {
        self.client(user, Role::Viewer)
    }

    pub fn operator(&self) -> Client {
        self.client(1, Role::Operator)
    }

    pub fn service(&self) -> Client {
        self.client(2, Role::Service)
    }

    /// A live room with the gift plugin.
    pub async fn open_room(&self, room: i64, streamers: &[i64]) {
        let operator = self.operator();
        operator
            .ok(Method::POST, "/v1/rooms", json!({ "roomId": room, "title": "Test", "streamers": streamers }))
            .await;
        let path = format!("/v1/rooms/{room}/streams");
        operator.ok(Method::POST, &path, json!({ "plugins": [{ "name": "gift" }] })).await;
    }

    pub async fn recharge(&self, user: i64, amount: i64) {
        let body = json!({
            "eventId": format!("recharge-{user}-{amount}"), "userId": user, "assetType": GOLD, "amount": amount,
            "eventType": "orderApple", "orderId": "o1", "transactionId": "t1",
        });
        self.service().ok(Method::POST, "/v1/recharges", body).await;
    }

    /// Waits until nothing is held any more by these users.
    pub async fn settled(&self, users: &[i64]) {
        let begun = Instant::now();
        for user in users {
            loop {
                let assets = self.service().ok(Method::GET, &format!("/v1/users/{user}/assets"), Value::Null).await;
                if amounts(&assets, "held").iter().all(|(_, held)| *held == 0) {
                    break;
                }
                assert!(begun.elapsed() < Duration::from_secs(120), "user {user} still has open holds: {assets}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }

    /// An account's settled balance; 0 if there is no account.
    pub async fn balance(&self, user: i64, asset: u32) -> i64 {
        let (status, assets) = self.service().call(Method::GET, &format!("/v1/users/{user}/assets"), Value::Null).await;
        if status == StatusCode::NOT_FOUND {
            return 0;
        }
        amounts(&assets, "settled").iter().find(|(kind, _)| *kind == asset).map_or(0, |(_, amount)| *amount)
    }

    /// Asserts that everything adds up.
    pub async fn reconciles(&self) {
        let report = self.operator().ok(Method::GET, "/v1/reconciliation", Value::Null).await;
        assert_eq!(report["differences"], json!([]), "{report}");
        assert_eq!(report["accountsBusy"], 0, "{report}");
    }
}

/// One number of every asset in an answer of `/assets`.
fn amounts(assets: &Value, field: &str) -> Vec<(u32, i64)> {
    let number = |value: &Value| value.as_str().unwrap().parse().unwrap();
    let list = assets["assets"].as_array().unwrap();
    list.iter()
        .map(|asset| (u32::try_from(asset["assetType"].as_u64().unwrap()).unwrap(), number(&asset[field])))
        .collect()
}

/// Somebody with a token.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    url: String,
    token: String,
}

impl Client {
    /// The status and the JSON of the answer; panics if there is none.
    pub async fn call(&self, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
        self.try_call(method, path, body).await.unwrap()
    }

    /// The same, but a broken connection is an answer too.
    pub async fn try_call(&self, method: Method, path: &str, body: Value) -> reqwest::Result<(StatusCode, Value)> {
        let mut request = self.http.request(method, format!("{}{path}", self.url)).bearer_auth(&self.token);
        if !body.is_null() {
            request = request.json(&body);
        }
        let answer = request.send().await?;
        let status = answer.status();
        let bytes = answer.bytes().await?;
        Ok((status, serde_json::from_slice(&bytes).unwrap_or(Value::Null)))
    }

    /// Sends a component.
    pub async fn upload(&self, path: &str, bytes: Vec<u8>) -> (StatusCode, Value) {
        let request = self.http.post(format!("{}{path}", self.url)).bearer_auth(&self.token);
        let answer = request.header("content-type", "application/wasm").body(bytes).send().await.unwrap();
        (answer.status(), answer.json().await.unwrap())
    }

    /// Sends a body as it is, and returns the answer with its headers.
    pub async fn send(&self, path: &str, body: &str) -> reqwest::Response {
        let request = self.http.post(format!("{}{path}", self.url)).bearer_auth(&self.token);
        request.body(body.to_owned()).send().await.unwrap()
    }

    /// An answer whose body is read bit by bit.
    pub async fn stream(&self, path: &str, last_id: Option<&str>) -> reqwest::Response {
        let mut request = self.http.get(format!("{}{path}", self.url)).bearer_auth(&self.token);
        if let Some(last_id) = last_id {
            request = request.header("last-event-id", last_id);
        }
        request.send().await.unwrap()
    }

    /// The JSON of a successful answer.
    pub async fn ok(&self, method: Method, path: &str, body: Value) -> Value {
        let (status, answer) = self.call(method.clone(), path, body).await;
        assert!(status.is_success(), "{method} {path}: {status} {answer}");
        answer
    }

    /// Asserts a refusal, and returns the problem.
    pub async fn refused(&self, method: Method, path: &str, body: Value, status: u16, code: u32) -> Value {
        let (got, answer) = self.call(method.clone(), path, body.clone()).await;
        assert_eq!((got.as_u16(), &answer["errCode"]), (status, &json!(code)), "{method} {path} {body}: {answer}");
        answer
    }
}

/// A new event id of the recommended kind.
pub fn event_id() -> String {
    uuid::Uuid::now_v7().to_string()
}

/// A gift of 10 gold coins for each count.
pub fn gift(event_id: &str, count: u32) -> Value {
    json!({ "eventId": event_id, "giftId": "2002", "count": count })
}

/// Where gifts of a room go.
pub fn gifts(room: i64) -> String {
    format!("/v1/rooms/{room}/gifts")
}
