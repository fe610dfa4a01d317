//! Lists in pages: the client gets an opaque cursor with each page, and brings it for the next one.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Where a page begins, of a type that is [`stored`](crate::stored), such as the last key of the page before. Clients cannot read it, but
/// they can make one up: check what it says like everything that they send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor<T>(pub T);

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", bound = "T: Serialize, C: Serialize")]
#[schemars(bound = "T: JsonSchema")]
pub struct Page<T, C> {
    /// In order.
    pub items: Vec<T>,
    /// For the next page; not there on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<Cursor<C>>,
}

/// The JSON in hexadecimal: letters and digits alone, so it fits into a query as it is.
impl<T: Serialize> Serialize for Cursor<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let json = serde_json::to_vec(&self.0).map_err(serde::ser::Error::custom)?;
        serializer.serialize_str(&json.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Cursor<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let fault = || de::Error::custom("this cursor did not come from here");
        let digits: Option<Vec<u32>> = text.chars().map(|digit| digit.to_digit(16)).collect();
        let bytes: Vec<u8> = digits
            .ok_or_else(fault)?
            .chunks(2)
            .map(|pair| pair.iter().fold(0_u32, |value, digit| value * 16 + digit))
            .filter_map(|value| u8::try_from(value).ok())
            .collect();
        serde_json::from_slice(&bytes).map(Cursor).map_err(|_| fault())
    }
}

impl<T> JsonSchema for Cursor<T> {
    fn schema_name() -> Cow<'static, str> {
        "Cursor".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9a-f]*$", "maxLength": 1024 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Id;

    #[test]
    fn a_cursor_comes_back_as_it_was_and_others_are_refused() {
        let page = Page { items: vec!["a"], next_cursor: Some(Cursor((Id::new(7), "x".to_owned()))) };
        let text = serde_json::to_value(&page).unwrap();
        let cursor = text["nextCursor"].clone();
        assert!(cursor.as_str().unwrap().bytes().all(|b| b.is_ascii_hexdigit()));
        let read: Cursor<(Option<Id>, String)> = serde_json::from_value(cursor).unwrap();
        assert_eq!(Some(read), page.next_cursor);
        for bad in ["zz", "7", "5b", "ff"] {
            assert!(serde_json::from_value::<Cursor<Id>>(bad.into()).is_err(), "{bad}");
        }
        let last: Page<&str, Id> = Page { items: vec![], next_cursor: None };
        assert_eq!(serde_json::to_string(&last).unwrap(), r#"{"items":[]}"#);
    }
}
