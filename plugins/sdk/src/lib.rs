//! The crate that authors of Greenroom plugins use. An author writes rules; this does the glue.
//!
//! A plugin is a `main.rs` with functions that are a [`route`], types that are a [`config`], a [`request`](macro@request) or an [`answer`], and one
//! [`plugin!`] that names them:
//!
//! ```
//! use greenroom_sdk::{Body, Caller, Problem, Room, answer, config, request, route};
//!
//! #[config]
//! struct Settings {
//!     /// How everybody is greeted.
//!     #[default("Hello".into())]
//!     greeting: String,
//! }
//!
//! #[request]
//! struct Name {
//!     name: String,
//! }
//!
//! #[answer]
//! struct Greeting {
//!     text: String,
//! }
//!
//! /// Greets the caller.
//! #[route(POST "greetings", roles(viewer))]
//! fn greet(caller: Caller, room: Room<Settings>, Body(body): Body<Name>) -> Result<Greeting, Problem> {
//!     Ok(Greeting { text: format!("{}, {} ({})!", room.config.greeting, body.name, caller.user_id) })
//! }
//!
//! greenroom_sdk::plugin! { config: Settings, routes: [greet] }
//! ```
//!
//! The host's capabilities are the modules [`ledger`], [`cache`], [`db`], [`mq`], [`room`] and [`timer`]; what they promise is
//! written in the folder `wit/`. Each needs its grant in the manifest. Off `wasm32` there is no host and calling them panics, so
//! keep a plugin's rules in functions of their own and test those natively.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

// What the macros write says `greenroom_sdk`, in this crate's own tests too.
extern crate self as greenroom_sdk;

#[doc(hidden)]
pub mod bindings;
mod context;
#[cfg(not(target_arch = "wasm32"))]
#[doc(hidden)]
pub mod describe;
mod document;
mod event_id;
pub mod fair;
mod id;
mod money;
mod page;
mod plugin;
mod pot;
mod problem;
mod query;
pub mod record;
mod refusal;
mod request;
pub mod routing;
mod schema;
mod shards;
mod step;
mod tally;
mod timers;
mod transfer;

pub use bindings::imports::greenroom::{cache::cache, db::db, ledger::ledger, mq::mq, room::room, timer::timer};
pub use bindings::imports::wasi::{clocks, keyvalue, logging::logging, random::random};
#[doc(hidden)]
pub use {schemars, serde, serde_json};

pub use bindings::api_export::exports::greenroom::plugin::api::{Caller, Problem, Request, Response, Role};
pub use bindings::consumer_export::exports::greenroom::plugin::consumer::{Held, Message, Verdict};
pub use bindings::lifecycle_export::exports::greenroom::plugin::lifecycle::Occasion;
pub use context::{Config, Context, Contexts};
pub use document::Document;
pub use event_id::EventId;
pub use id::Id;
pub use money::{Amount, Overflow};
pub use page::{Cursor, Page};
pub use pot::{Payment, Pot, RECEIVERS_MAX, write_receipts};
pub use refusal::{Case, Refusal};
pub use request::read_json;
pub use routing::{Body, Now, Path, Query, Room};
pub use schema::positive_amount;
pub use shards::Shards;
pub use step::{Made, Once, Step, Stopped};
pub use tally::{tell_every, too_soon};
pub use timers::Timer;
#[doc(hidden)]
pub use timers::fired;
pub use transfer::{Transfer, settle};

/// What a client writes: a type in camelCase that refuses unknown fields, and in a
/// [`Body`] its schema is checked by the host first.
///
/// Derives `Debug`, `Clone`, `PartialEq`, `Deserialize` and `JsonSchema`. Bounds are written as `#[schemars(range(min = 1, max = 9))]`
/// or `#[schemars(length(max = 64))]`, what may be left out as an `Option` or with `#[serde(default)]`; documentation goes along.
pub use greenroom_sdk_macros::request;

/// What a client reads: a type in camelCase. Derives `Debug`, `Clone`, `PartialEq`, `Serialize` and `JsonSchema`.
pub use greenroom_sdk_macros::answer;

/// What the plugin writes for itself, such as keys of the cache, payloads of events and timers. Derives `Debug`, `Clone`, `PartialEq`,
/// `Serialize`, `Deserialize` and `JsonSchema`, so that it can be answered, too. Unknown fields are ignored: an older version may read it.
pub use greenroom_sdk_macros::stored;

/// A plugin's configuration in a room: fields with documentation, a default in `#[default(…)]` (else the type's), and bounds as in a
/// [`request`](macro@request). The host refuses what its schema does not allow, and fills in the defaults.
pub use greenroom_sdk_macros::config;

/// Makes a route of a function: `#[route(POST "polls/{pollId}/votes", roles(viewer, streamer), live)]`.
///
/// The path is under `/v1/rooms/{room}/`, or with `global` under `/v1/`. Without `roles` everybody may call it; with `live` the room
/// must have a stream. The first paragraph of the function's documentation is the route's summary. What it may take and return
/// is said in [`routing`].
pub use greenroom_sdk_macros::route;

/// Gives each variant of an enum its code, status, slug and text: `#[refusal(1, 409, "poll-closed", "poll {poll_id} is closed")]`.
///
/// Codes 0 to 999 are the plugin's own: the client sees them in the range that the plugin was given at installation. The fields, which
/// have names, are told to programs as `extra`; one that is called `retry_after_ms` tells them when to come back.
pub use greenroom_sdk_macros::Refusal;

/// Gives each variant of an enum its key as a timer: `#[timer("close/{poll_id}")]`.
pub use greenroom_sdk_macros::Timer;
