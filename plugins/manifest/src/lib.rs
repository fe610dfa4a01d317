//! A plugin's manifest: what it is, what it needs, and how it travels inside the component.
//!
//! An author writes `plugin.toml` beside the source; [`Manifest::from_toml`] reads it, [`Manifest::described`] adds what the code says of
//! itself, and [`embed`] adds it to the built component as the custom section [`SECTION`], so that one `.wasm` file is all. The host reads it back with [`extract`].

mod check;
mod section;
mod source;

use std::collections::BTreeMap;

use semver::Version;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use check::Fault;
pub use section::{SECTION, embed, extract};
pub use source::Error;

/// What a plugin says of itself. As JSON in the component; as TOML beside the source, where a schema may be the path of a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Manifest {
    /// 1 to 32 characters of `a-z 0-9 -`, beginning with a letter.
    pub name: String,
    /// Semantic version.
    pub version: Version,
    /// One sentence.
    pub description: String,
    /// Names, with or without addresses.
    #[serde(default)]
    pub authors: Vec<String>,
    /// What it answers.
    #[serde(default)]
    pub routes: Vec<Route>,
    /// What it refuses in words of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<ProblemKind>,
    /// JSON Schema of its configuration in a room; `default` keywords fill in what an operator leaves out.
    #[serde(default = "any_object")]
    pub config: Value,
    /// The capabilities it asks for.
    #[serde(default)]
    pub grants: Vec<Grant>,
    /// `CREATE TABLE IF NOT EXISTS` and `CREATE INDEX IF NOT EXISTS`, run once at installation; names begin with the plugin's.
    #[serde(default)]
    pub schema: Vec<String>,
    /// SQL by name, with parameters `$1`, `$2`, …
    #[serde(default)]
    pub statements: BTreeMap<String, String>,
    /// Reading statements without parameters whose rows a host keeps in memory for at most 900 ms: until the plugin writes, on any host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remembered: Vec<String>,
    /// The topics it publishes, each `<plugin>.<word>`.
    #[serde(default)]
    pub publishes: Vec<String>,
    /// The topics it consumes: its own, or another plugin's.
    #[serde(default)]
    pub consumes: Vec<String>,
    /// What bounds it; left out, the host's defaults hold.
    #[serde(default)]
    pub limits: Limits,
    /// Whether its instances are used again.
    #[serde(default)]
    pub isolation: Isolation,
    /// What the room does while its circuit is open.
    #[serde(default)]
    pub when_open: WhenOpen,
}

fn any_object() -> Value {
    serde_json::json!({ "type": "object", "additionalProperties": false })
}

/// One thing it answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Route {
    /// In capitals.
    pub method: Method,
    /// Under `/v1/rooms/{room}/`, or under `/v1/` for a global route; segments, some of them `{parameter}`. No slash at either end.
    pub path: String,
    /// Whether the route is about a room.
    #[serde(default)]
    pub scope: Scope,
    /// Whether it needs a live stream; others are answered in any enabled room.
    #[serde(default)]
    pub live: bool,
    /// The roles that may call it; empty for all.
    #[serde(default)]
    pub roles: Vec<Role>,
    /// One sentence for the interface's description.
    #[serde(default)]
    pub summary: String,
    /// JSON Schema of the query's parameters as an object; the host refuses others before the plugin is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<Value>,
    /// JSON Schema of the body; the host refuses others before the plugin is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Value>,
    /// JSON Schema of the answer, for the interface's description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<Value>,
}

impl Route {
    /// Whether it is for those who run rooms alone, and not for viewers.
    #[must_use]
    pub fn is_privileged(&self) -> bool {
        !self.roles.is_empty() && !self.roles.contains(&Role::Viewer)
    }

    /// Whether those who run rooms change something by it, which belongs into the room's audit.
    #[must_use]
    pub fn is_action(&self) -> bool {
        self.is_privileged() && self.method != Method::Get
    }
}

/// How many problem codes a plugin's name is given at its first installation: a code below this is one of them, counted from the first.
pub const PROBLEM_CODES: u32 = 1_000;

/// A refusal of the plugin's own, for the interface's description.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ProblemKind {
    /// Below [`PROBLEM_CODES`] within the range that the plugin is given at installation, or one of the host's codes.
    pub code: u32,
    /// HTTP status.
    pub status: u16,
    /// The client sees `/problems/<slug>`.
    pub slug: String,
    /// What it says, with the names of what is filled in as `{fields}`.
    pub detail: String,
}

/// An HTTP method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// Reads.
    Get,
    /// Makes or does.
    Post,
    /// Replaces.
    Put,
    /// Removes.
    Delete,
}

impl Method {
    /// In capitals.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
        }
    }
}

/// What a route is about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// A room in which the plugin is enabled.
    #[default]
    Room,
    /// The plugin as a whole; answered by its newest version.
    Global,
}

/// A caller's role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Watches, and pays.
    Viewer,
    /// Runs the room.
    Streamer,
    /// Operates the platform.
    Operator,
    /// Another program of the platform.
    Service,
}

/// A capability. Importing the interface without it is refused at installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grant {
    /// `greenroom:ledger`.
    Ledger,
    /// `greenroom:cache` and `wasi:keyvalue`.
    Cache,
    /// `greenroom:db`.
    Db,
    /// `greenroom:mq`.
    Mq,
    /// `greenroom:room` `broadcast`, `send`, `broadcast-in`, `send-in`; reading needs no grant.
    Push,
    /// `greenroom:timer`.
    Timer,
    /// `greenroom:ledger` `pot`: accounts of the plugin's own, from which it pays.
    Pots,
    /// Topics of other plugins among those it consumes: it sees who sent what in any room, and what is held for it.
    Topics,
}

/// What bounds a plugin. A value above the host's own bound is refused at installation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Limits {
    /// Linear memory of one instance.
    pub memory_bytes_max: Option<u64>,
    /// Time on a processor for one call.
    pub deadline_ms: Option<u32>,
    /// Time on the wall for one call, waiting included.
    pub timeout_ms: Option<u32>,
    /// Calls at the same time in one process.
    pub concurrency_max: Option<u32>,
    /// Host calls in one call.
    pub host_calls_max: Option<u32>,
    /// Bytes of one answer.
    pub response_bytes_max: Option<u32>,
    /// Pushes in one call.
    pub pushes_max: Option<u32>,
}

/// Whether instances are used again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// One call at a time, many calls one after another.
    #[default]
    Warm,
    /// A new instance for each call.
    Fresh,
}

/// What the room does while the plugin's circuit is open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WhenOpen {
    /// Refuses: for money.
    #[default]
    Closed,
    /// Answers 204 as if nothing had been asked: for decoration.
    Open,
}
