//! How values are written and read: ids and amounts, times, pages, JSON bodies.

use std::fmt;

use axum::extract::{FromRequest, Query, Request};
use axum::http::Uri;
use bytes::Bytes;
use serde::de::{DeserializeOwned, Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::problem::Problem;
use super::{body, cursor};
use crate::domain::{Amount, RoomId, UserId};

/// The most entries of a page.
pub(super) const PAGE_LEN_MAX: usize = 200;
const PAGE_LEN_DEFAULT: usize = 50;

/// A 64-bit integer: read from a string or a number, written as a string, since JavaScript rounds such numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Id(pub(super) i64);

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct IdVisitor;
        impl Visitor<'_> for IdVisitor {
            type Value = Id;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a 64-bit integer as a string or a number")
            }
            fn visit_i64<E: Error>(self, value: i64) -> Result<Id, E> {
                Ok(Id(value))
            }
            fn visit_u64<E: Error>(self, value: u64) -> Result<Id, E> {
                i64::try_from(value).map(Id).map_err(|_| E::custom("the number does not fit in 64 bits"))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Id, E> {
                text.parse().map(Id).map_err(|_| E::custom("the string is no 64-bit integer"))
            }
        }
        deserializer.deserialize_any(IdVisitor)
    }
}

impl From<UserId> for Id {
    fn from(user: UserId) -> Self {
        Self(user.0)
    }
}

impl From<RoomId> for Id {
    fn from(room: RoomId) -> Self {
        Self(room.0)
    }
}

impl From<Amount> for Id {
    fn from(amount: Amount) -> Self {
        Self(amount.0)
    }
}

/// A text that may be sent as a number, such as an id of another system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Text(pub(super) String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a string or an integer")]
        enum Either {
            Text(String),
            Number(i64),
        }
        Ok(match Either::deserialize(deserializer)? {
            Either::Text(text) => Text(text),
            Either::Number(number) => Text(number.to_string()),
        })
    }
}

/// RFC 3339 in UTC, to the millisecond.
pub(super) fn time(ms: u64) -> String {
    let stamp = i64::try_from(ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok()).unwrap_or_default();
    format!("{stamp:.3}")
}

/// The id of a room in a path.
pub(super) fn room_id(text: &str) -> Result<RoomId, Problem> {
    positive(text).map(RoomId).ok_or_else(|| Problem::invalid("room", "a room id is an integer of 1 or more"))
}

/// The id of a user in a path.
pub(super) fn user_id(text: &str) -> Result<UserId, Problem> {
    positive(text).map(UserId).ok_or_else(|| Problem::invalid("user", "a user id is an integer of 1 or more"))
}

fn positive(text: &str) -> Option<i64> {
    // `parse` would take a sign as well, and one thing should have one address.
    text.parse().ok().filter(|id| *id > 0 && text.bytes().all(|b| b.is_ascii_digit()))
}

/// What part of a list is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Page {
    pub(super) cursor: Option<String>,
    pub(super) limit: Option<String>,
    pub(super) asset_type: Option<String>,
}

impl Page {
    pub(super) fn limit(&self) -> Result<usize, Problem> {
        let Some(text) = &self.limit else { return Ok(PAGE_LEN_DEFAULT) };
        let limit = text.parse().ok().filter(|limit| (1..=PAGE_LEN_MAX).contains(limit));
        limit.ok_or_else(|| Problem::invalid("limit", format!("it must be from 1 to {PAGE_LEN_MAX}")))
    }

    /// The place that the cursor stands for, if there is a cursor.
    pub(super) fn place(&self, scope: &str) -> Result<Option<String>, Problem> {
        self.cursor.as_deref().map(|text| cursor::read(scope, text)).transpose()
    }

    /// The same for a list whose places are integers.
    pub(super) fn place_id(&self, scope: &str) -> Result<Option<i64>, Problem> {
        let parse = |text: String| text.parse().map_err(|_| Problem::invalid("cursor", "it is not one of this list"));
        self.place(scope)?.map(parse).transpose()
    }
}

/// Reads a query.
pub(super) fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T, Problem> {
    let read = Query::<T>::try_from_uri(uri);
    read.map(|Query(value)| value).map_err(|error| Problem::invalid("query", error.body_text()))
}

/// A JSON body. Unknown fields are refused by the types themselves.
pub(super) struct Json<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<std::sync::Arc<super::App>> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &std::sync::Arc<super::App>) -> Result<Self, Problem> {
        let settings = app.settings();
        let (parts, body) = request.into_parts();
        body::require_type(&parts.headers, "application/json")?;
        let bytes = body::read(body, &parts.headers, settings.body_bytes_max, settings.body_timeout).await?;
        json(&bytes).map(Json)
    }
}

/// Reads JSON; a fault is told with its JSON pointer.
pub(super) fn json<T: DeserializeOwned>(bytes: &Bytes) -> Result<T, Problem> {
    use axum::extract::rejection::JsonRejection as E;
    match axum::Json::<T>::from_bytes(bytes) {
        Ok(axum::Json(value)) => Ok(value),
        Err(E::JsonDataError(error)) => {
            // The source tells the path, then the fault: `bizAssetChanges[0].eventId: missing field`.
            let text = std::error::Error::source(&error).map_or_else(|| error.body_text(), ToString::to_string);
            match text.split_once(": ") {
                Some((path, fault)) if !path.contains(' ') => Err(Problem::invalid(&pointer(path), fault)),
                _ => Err(Problem::invalid("/", text)),
            }
        }
        Err(error) => {
            let text = std::error::Error::source(&error).map_or_else(|| error.body_text(), ToString::to_string);
            Err(Problem::invalid("/", format!("the body is no JSON: {text}")))
        }
    }
}

/// `a[0].b` as the JSON pointer `/a/0/b`.
fn pointer(path: &str) -> String {
    let inner = path.replace('[', "/").replace(']', "").replace('.', "/");
    format!("/{}", inner.trim_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        list: Vec<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        id: Id,
    }

    #[test]
    fn ids_are_read_from_strings_and_numbers_and_written_as_strings() {
        let ids: Vec<Id> = serde_json::from_str(r#"[9223372036854775807, "9223372036854775807", -1]"#).unwrap();
        assert_eq!(ids, [Id(i64::MAX), Id(i64::MAX), Id(-1)]);
        assert_eq!(serde_json::to_string(&Id(i64::MAX)).unwrap(), r#""9223372036854775807""#);
        for bad in ["1.5", "\"\"", "\"1e3\"", "9223372036854775808", "true", "null"] {
            assert!(serde_json::from_str::<Id>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_fault_in_a_body_is_told_with_its_place() {
        let detail =
            |text: &'static str| json::<Outer>(&Bytes::from_static(text.as_bytes())).unwrap_err().detail().to_owned();
        assert!(
            detail(r#"{"list":[{"id":1},{"id":"x"}]}"#).starts_with("`/list/1/id`: the string is no 64-bit integer")
        );
        assert!(
            detail(r#"{"list":[],"more":1}"#).starts_with("`/more`: unknown field"),
            "{}",
            detail(r#"{"list":[],"more":1}"#)
        );
        assert!(detail("{").contains("no JSON"));
        assert!(detail("{}").contains("missing field `list`"));
        assert_eq!(json::<Outer>(&Bytes::from_static(br#"{"list":[{"id":7}]}"#)).unwrap().list[0].id, Id(7));
    }

    #[test]
    fn times_are_in_utc() {
        assert_eq!(time(1_700_000_000_123), "2023-11-14T22:13:20.123Z");
    }

    #[test]
    fn one_room_has_one_address() {
        for bad in ["", "0", "-1", "+1", "1x", "9223372036854775808", " 1"] {
            assert_eq!(room_id(bad).unwrap_err().code(), 10006, "{bad:?}");
        }
        assert_eq!(room_id("7").unwrap(), RoomId(7));
    }
}
