//! Reading requests and writing answers.

use serde::Serialize;
use serde::de::{Deserialize, DeserializeOwned};

use crate::{Id, Problem, Request, Response};

impl Request {
    /// The body as a type, which may borrow from the request. Give the type `#[serde(deny_unknown_fields)]`.
    ///
    /// # Errors
    /// 400 with the place in the body.
    pub fn json<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Problem> {
        serde_json::from_slice(&self.body).map_err(|e| Problem::invalid(format!("body: {e}")))
    }

    /// A parameter of the route.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&str> {
        find(&self.params, name)
    }

    /// A parameter of the route that is an id.
    ///
    /// # Errors
    /// 400 if it is none.
    pub fn id_param(&self, name: &str) -> Result<Id, Problem> {
        self.param(name)
            .and_then(Id::parse)
            .ok_or_else(|| Problem::invalid(format!("path: `{name}` must be a number from 1 to 9223372036854775807")))
    }

    /// A parameter of the query.
    #[must_use]
    pub fn query_param(&self, name: &str) -> Option<&str> {
        find(&self.query, name)
    }

    /// A whole number of the query, within bounds.
    ///
    /// # Errors
    /// 400 if it is none, or out of bounds.
    pub fn query_number(
        &self,
        name: &str,
        default: u32,
        bounds: std::ops::RangeInclusive<u32>,
    ) -> Result<u32, Problem> {
        let Some(text) = self.query_param(name) else { return Ok(default) };
        match text.parse() {
            Ok(number) if bounds.contains(&number) => Ok(number),
            _ => Err(Problem::invalid(format!("query: `{name}` must be from {} to {}", bounds.start(), bounds.end()))),
        }
    }

    /// Refuses parameters of the query that are not among the known ones.
    ///
    /// # Errors
    /// 400 with the first unknown one.
    pub fn known_query(&self, names: &[&str]) -> Result<(), Problem> {
        match self.query.iter().find(|(name, _)| !names.contains(&name.as_str())) {
            Some((name, _)) => Err(Problem::invalid(format!("query: `{name}` is unknown"))),
            None => Ok(()),
        }
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

fn find<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
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
            route: "gifts/{giftId}".into(),
            params: vec![("giftId".into(), "7".into())],
            query: vec![("limit".into(), "20".into()), ("odd".into(), "x".into())],
            body: body.into(),
            idempotency_key: key.map(Into::into),
            caller: Caller { user_id: 1, role: Role::Viewer, level: 0 },
            context: 1,
            now_ms: 0,
        }
    }

    #[test]
    fn a_query_number_out_of_bounds_is_refused_and_a_missing_one_has_its_default() {
        let request = request("", None);
        assert_eq!(request.query_number("limit", 10, 1..=100), Ok(20));
        assert_eq!(request.query_number("offset", 10, 1..=100), Ok(10));
        assert_eq!(request.query_number("limit", 10, 1..=19).unwrap_err().code, 10006);
        assert_eq!(request.query_number("odd", 10, 1..=19).unwrap_err().code, 10006);
        assert!(request.known_query(&["limit"]).unwrap_err().detail.contains("odd"));
        assert_eq!(request.id_param("giftId").unwrap().get(), 7);
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
