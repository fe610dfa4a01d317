//! Reading answers of scripts. What is not as expected is a fault of the server, and said as such.

use std::str::FromStr;

use bytes::Bytes;
use redis::Value;

/// The parts of an answer, from the first on.
#[derive(Debug)]
pub(super) struct Reply {
    parts: std::vec::IntoIter<Value>,
}

fn strange(what: &impl std::fmt::Debug) -> String {
    format!("strange answer: {what:?}")
}

pub(super) fn text(value: Value) -> Result<String, String> {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes).map_err(|error| strange(&error)),
        Value::SimpleString(text) => Ok(text),
        Value::Int(number) => Ok(number.to_string()),
        other => Err(strange(&other)),
    }
}

pub(super) fn parse<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| strange(&text))
}

impl Reply {
    pub(super) fn new(value: Value) -> Result<Self, String> {
        match value {
            Value::Array(parts) => Ok(Self { parts: parts.into_iter() }),
            other => Err(strange(&other)),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.parts.len() == 0
    }

    pub(super) fn value(&mut self) -> Result<Value, String> {
        self.parts.next().ok_or_else(|| "an answer is too short".into())
    }

    pub(super) fn text(&mut self) -> Result<String, String> {
        text(self.value()?)
    }

    pub(super) fn number<T: FromStr>(&mut self) -> Result<T, String> {
        parse(&self.text()?)
    }

    /// Bytes, or none where the key or field is absent.
    pub(super) fn bytes(&mut self) -> Result<Option<Bytes>, String> {
        match self.value()? {
            Value::Nil => Ok(None),
            Value::BulkString(bytes) => Ok(Some(bytes.into())),
            other => Err(strange(&other)),
        }
    }

    pub(super) fn rest(self) -> impl Iterator<Item = Value> {
        self.parts
    }
}
