//! What a visitor is answered.

use serde_json::{Value, json};

/// An answer; the test says what it expects of it.
#[derive(Debug, Clone)]
#[must_use = "say what is expected: ok() or refused()"]
pub struct Answer {
    pub(crate) asked: String,
    /// HTTP status.
    pub status: u16,
    /// JSON; null for no content.
    pub body: Value,
}

impl Answer {
    /// The JSON of a success.
    #[track_caller]
    pub fn ok(self) -> Value {
        assert!((200..300).contains(&self.status), "{}: {} {}", self.asked, self.status, self.body);
        self.body
    }

    /// The problem of a refusal with this status and slug.
    #[track_caller]
    pub fn refused(self, status: u16, slug: &str) -> Value {
        let kind = json!(format!("/problems/{slug}"));
        assert_eq!((self.status, &self.body["type"]), (status, &kind), "{}: {}", self.asked, self.body);
        self.body
    }
}
