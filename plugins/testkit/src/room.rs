//! A live room, and those who are in it.

use greenroom_manifest::Role;
use reqwest::Method;
use serde_json::Value;

use crate::house::STREAMER;
use crate::{Answer, House, Watch};

/// A live room.
pub struct Room<'a> {
    pub(crate) house: &'a House,
    /// Its id.
    pub room_id: i64,
}

impl Room<'_> {
    /// A viewer of that user id.
    #[must_use]
    pub fn viewer(&self, user_id: i64) -> Visitor {
        self.somebody(user_id, Role::Viewer)
    }

    /// The room's streamer.
    #[must_use]
    pub fn streamer(&self) -> Visitor {
        self.somebody(STREAMER, Role::Streamer)
    }

    /// The platform's operator, user 1.
    #[must_use]
    pub fn operator(&self) -> Visitor {
        self.somebody(1, Role::Operator)
    }

    /// Anybody.
    #[must_use]
    pub fn somebody(&self, user_id: i64, role: Role) -> Visitor {
        self.house.visitor(user_id, role, format!("/v1/rooms/{}/", self.room_id))
    }
}

/// Somebody with a token. Paths are under the room; with a slash at the beginning they are the host's, such as `/v1/users/me/assets`.
#[derive(Debug, Clone)]
pub struct Visitor {
    /// Who.
    pub user_id: i64,
    pub(crate) http: reqwest::Client,
    pub(crate) url: String,
    pub(crate) place: String,
    pub(crate) token: String,
}

impl Visitor {
    /// Reads.
    pub async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, Value::Null).await
    }

    /// Makes or does.
    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.ask(Method::POST, path, body).await
    }

    /// Replaces.
    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.ask(Method::PUT, path, body).await
    }

    /// Removes.
    pub async fn delete(&self, path: &str) -> Answer {
        self.ask(Method::DELETE, path, Value::Null).await
    }

    /// Receives the room's pushes from now on, and those to this user alone.
    pub async fn watch(&self) -> Watch {
        let answer = self.request(Method::GET, "events").send().await.unwrap();
        assert_eq!(answer.status(), 200, "events");
        Watch::new(answer)
    }

    async fn ask(&self, method: Method, path: &str, body: Value) -> Answer {
        let asked = format!("{method} {path} {body} by {}", self.user_id);
        let mut request = self.request(method, path);
        if !body.is_null() {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap_or_else(|e| panic!("{asked}: {e}"));
        let status = answer.status().as_u16();
        let bytes = answer.bytes().await.unwrap();
        Answer { asked, status, body: serde_json::from_slice(&bytes).unwrap_or(Value::Null) }
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let place = if path.starts_with('/') { "" } else { &self.place };
        self.http.request(method, format!("{}{place}{path}", self.url)).bearer_auth(&self.token)
    }
}
