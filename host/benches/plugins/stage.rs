//! A server with one plugin in one live room, and its viewers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use greenroom_manifest::Role;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::house;
use crate::support::{self, Client, ROOM, STREAMER, Server};

const FIRST_VIEWER: i64 = 1_000_000;
/// How long what must come is waited for.
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(20);

pub struct Stage {
    pub server: Server,
    pub authority: String,
    _data: TempDir,
    _plugins: TempDir,
}

impl Stage {
    pub async fn open(plugin: &str, config: Value) -> Self {
        let (data, plugins) = (house::folder(), support::only(&[plugin]));
        // What one user may ask for is not what is measured.
        let environment = [("GREENROOM_RATE_LIMITS_USER_PER_SECOND", "0")];
        let server = Server::start_with(data.path(), plugins.path(), &environment).await;
        let operator = server.operator();
        let room = json!({ "roomId": ROOM, "title": "Bench", "streamers": [STREAMER] });
        operator.ok(Method::POST, "/v1/rooms", room).await;
        let choice = json!({ "plugins": [{ "name": plugin, "config": config }] });
        operator.ok(Method::POST, &path("streams"), choice).await;
        let authority = server.url.strip_prefix("http://").unwrap().to_owned();
        Self { server, authority, _data: data, _plugins: plugins }
    }

    pub fn streamer(&self) -> Client {
        self.server.client(STREAMER, Role::Streamer)
    }

    /// Tokens of so many viewers.
    pub fn viewers(&self, count: usize) -> Arc<Viewers> {
        let token = |index| self.server.token(Viewers::user_id(index), Role::Viewer);
        Arc::new(Viewers { tokens: (0..count).map(token).collect() })
    }

    pub fn close(self) {
        self.server.stop();
    }
}

pub struct Viewers {
    tokens: Vec<String>,
}

impl Viewers {
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// After the last one the first one again.
    pub fn token(&self, index: usize) -> &str {
        &self.tokens[index % self.tokens.len()]
    }

    pub fn user_id(index: usize) -> i64 {
        FIRST_VIEWER + i64::try_from(index).unwrap()
    }
}

/// A path under the room.
pub fn path(rest: &str) -> String {
    format!("/v1/rooms/{ROOM}/{rest}")
}

/// Asks until the answer is as it should be.
pub async fn until(ask: impl AsyncFn() -> Value, is_so: impl Fn(&Value) -> bool) -> Value {
    let begun = Instant::now();
    loop {
        let answer = ask().await;
        if is_so(&answer) {
            return answer;
        }
        assert!(begun.elapsed() < PATIENCE, "after {PATIENCE:?} it still is {answer}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
