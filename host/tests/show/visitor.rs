//! Somebody who asks until there is an answer, wherever the servers are meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::support::event_id;

/// Longer than a server is away, and than a debug build needs for what was left to do.
pub const PATIENCE: Duration = Duration::from_secs(180);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// A server that is killed breaks the connection; this is for one that answers never.
const ANSWER_WAIT: Duration = Duration::from_secs(60);
/// On its way up or down, or not done in time, so that nobody knows: to be asked again.
const AGAIN: [u16; 2] = [503, 504];
/// Too many requests, or too many of a kind: to be asked again, too, unless that is what is looked for.
const TOO_MANY: u16 = 429;

/// What was answered at last.
#[derive(Debug)]
#[must_use = "say what is expected"]
pub struct Answer {
    asked: String,
    status: u16,
    body: Value,
}

impl Answer {
    /// The JSON of a success.
    #[track_caller]
    pub fn ok(self) -> Value {
        assert!((200..300).contains(&self.status), "{}: {} {}", self.asked, self.status, self.body);
        self.body
    }

    /// The JSON of a success; none for one of these refusals.
    #[track_caller]
    pub fn unless(self, slugs: &[&str]) -> Option<Value> {
        let is_expected = slugs.iter().any(|slug| self.body["type"] == json!(format!("/problems/{slug}")));
        if is_expected { None } else { Some(self.ok()) }
    }

    /// That it is this refusal.
    #[track_caller]
    pub fn refused(self, slug: &str) {
        assert_eq!(self.body["type"], json!(format!("/problems/{slug}")), "{}: {}", self.asked, self.body);
    }
}

/// A user with a token, who asks one server after the other: a request that is repeated goes to another one.
#[derive(Clone)]
pub struct Visitor {
    pub user_id: i64,
    pub token: String,
    http: reqwest::Client,
    urls: Vec<watch::Receiver<String>>,
    asked: Arc<AtomicUsize>,
}

impl Visitor {
    /// Asks where the channels say that the servers are.
    pub fn new(http: reqwest::Client, user_id: i64, token: String, urls: Vec<watch::Receiver<String>>) -> Self {
        let first = usize::try_from(user_id).unwrap();
        Self { user_id, token, http, urls, asked: Arc::new(AtomicUsize::new(first)) }
    }

    /// For many visitors.
    pub fn http() -> reqwest::Client {
        reqwest::Client::builder().timeout(ANSWER_WAIT).pool_idle_timeout(Duration::from_secs(30)).build().unwrap()
    }

    /// Where the server is now that is asked next.
    pub fn url(&self) -> String {
        let turn = self.asked.fetch_add(1, Ordering::Relaxed);
        self.urls[turn % self.urls.len()].borrow().clone()
    }

    /// Asks again until there is an answer that is one.
    pub async fn surely(&self, method: Method, path: &str, body: &Value) -> Answer {
        self.asking(method, path, body, |status| status != TOO_MANY).await
    }

    /// Posts; that there are too many is an answer.
    pub async fn try_post(&self, path: &str, body: &Value) -> Answer {
        self.asking(Method::POST, path, body, |_| true).await
    }

    async fn asking(&self, method: Method, path: &str, body: &Value, is_answer: impl Fn(u16) -> bool) -> Answer {
        let begun = Instant::now();
        loop {
            let said = match self.once(method.clone(), path, body).await {
                Ok(answer) if !AGAIN.contains(&answer.status) && is_answer(answer.status) => return answer,
                Ok(answer) => format!("{} {}", answer.status, answer.body),
                Err(error) => error.to_string(),
            };
            assert!(begun.elapsed() < PATIENCE, "{method} {path} {body} is never answered: {said}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.surely(Method::POST, path, body).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.surely(Method::GET, path, &Value::Null).await
    }

    /// Looks again until it is so, and gives what is there then. What is not found yet is `null`.
    pub async fn until(&self, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let found = self.get(path).await;
            let found = if found.status == 404 { Value::Null } else { found.ok() };
            if is_so(&found) {
                return found;
            }
            assert!(begun.elapsed() < PATIENCE, "{path} does not become what it should: {found}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// All entries of a plugin's listing.
    pub async fn pages(&self, path: &str) -> Vec<Value> {
        self.listing(path, "items").await
    }

    /// All entries of a listing that are in that field of each page.
    pub async fn listing(&self, path: &str, field: &str) -> Vec<Value> {
        let (mut all, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = self.get(&format!("{path}{cursor}")).await.ok();
            all.extend(page[field].as_array().unwrap().iter().cloned());
            match page["nextCursor"].as_str() {
                Some(next) => cursor = format!("?cursor={next}"),
                None => return all,
            }
        }
    }

    async fn once(&self, method: Method, path: &str, body: &Value) -> reqwest::Result<Answer> {
        let asked = format!("{method} {path} {body} by {}", self.user_id);
        let url = format!("{}{path}", self.url());
        let mut request = self.http.request(method, url).bearer_auth(&self.token);
        if !body.is_null() {
            request = request.json(body);
        }
        let answer = request.send().await?;
        let status = answer.status().as_u16();
        let body = serde_json::from_slice(&answer.bytes().await?).unwrap_or(Value::Null);
        Ok(Answer { asked, status, body })
    }
}

/// An object with a new event id.
pub fn with_id(mut body: Value) -> Value {
    body["eventId"] = json!(event_id());
    body
}

/// A whole number, in whatever form an answer has it.
pub fn number(value: &Value) -> i64 {
    value.as_i64().or_else(|| value.as_str()?.parse().ok()).unwrap_or_else(|| panic!("{value} is no number"))
}
