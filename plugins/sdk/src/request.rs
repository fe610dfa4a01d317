//! Reading requests and writing answers.

use serde::Serialize;
use serde::de::{Deserialize, DeserializeOwned};

use crate::{Problem, Request, Response};

impl Request {
    /// The body as a type, which may borrow from the request. Give the type `#[serde(deny_unknown_fields)]`.
    ///
    /// # Errors
    /// 400 with the place in the body.
    pub fn json<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Problem> {
        serde_json::from_slice(&self.body).map_err(|e| Problem::invalid(format!("body: {e}")))
    }

    /// Checks that the header `Idempotency-Key`, if it was sent, equals the event id.
    ///
    /// # Errors
    /// 400 if it differs.
    pub fn check_idempotency_key(&self, event_id: &str) -> Result<(), Problem> {
        match &self.idempotency_key {
            Some(key) if key != event_id => Err(Problem::invalid("header: `Idempotency-Key` must equal `eventId`")),
            _ => Ok(()),
        }
    }
}

impl Response {
    /// 200 with JSON.
    ///
    /// # Errors
    /// If the value cannot be written as JSON.
    pub fn json<T: Serialize>(value: &T) -> Result<Self, Problem> {
        let body = serde_json::to_vec(value).map_err(|e| Problem::failed(format!("answer: {e}")))?;
        Ok(Self { status: 200, body })
    }

    /// 204.
    #[must_use]
    pub fn no_content() -> Self {
        Self { status: 204, body: Vec::new() }
    }
}

/// Reads JSON that the host or the plugin itself wrote, such as configuration and payloads.
///
/// # Errors
/// With what is wrong.
pub fn read_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    serde_json::from_slice(bytes).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Caller, Role};

    fn request(body: &str, key: Option<&str>) -> Request {
        Request {
            method: "POST".into(),
            route: "gifts".into(),
            params: Vec::new(),
            query: Vec::new(),
            body: body.into(),
            idempotency_key: key.map(Into::into),
            caller: Caller { user_id: 1, role: Role::Viewer, level: 0 },
            context: 1,
            now_ms: 0,
        }
    }

    #[test]
    fn an_idempotency_key_that_differs_from_the_event_id_is_refused() {
        assert!(request("", None).check_idempotency_key("e1").is_ok());
        assert!(request("", Some("e1")).check_idempotency_key("e1").is_ok());
        assert_eq!(request("", Some("e2")).check_idempotency_key("e1").unwrap_err().status, 400);
    }

    #[test]
    fn a_bad_body_says_where() {
        let problem = request("{\"a\":}", None).json::<serde_json::Value>().unwrap_err();
        assert!(problem.detail.contains("line 1 column 6"), "{}", problem.detail);
    }
}
