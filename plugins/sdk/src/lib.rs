//! The crate that authors of Greenroom plugins use.
//!
//! A plugin is a library crate of type `cdylib`, a type that implements [`Plugin`], and one line that exports it:
//!
//! ```
//! use greenroom_sdk::{Plugin, Problem, Request, Response};
//!
//! struct Hello;
//!
//! impl Plugin for Hello {
//!     fn api(request: Request) -> Result<Response, Problem> {
//!         Response::json(&format!("hello, user {}", request.caller.user_id))
//!     }
//! }
//!
//! greenroom_sdk::plugin!(Hello: api);
//! ```
//!
//! The host's capabilities are the modules [`ledger`], [`cache`], [`db`], [`mq`], [`room`] and [`timer`]; what they promise is
//! written in the folder `wit/`. Each needs its grant in the manifest. Off `wasm32` there is no host and calling them panics, so
//! keep a plugin's rules in functions of their own and test those natively.

#[doc(hidden)]
pub mod bindings;
mod context;
mod id;
mod money;
mod plugin;
mod problem;
mod request;

pub use bindings::imports::greenroom::{cache::cache, db::db, ledger::ledger, mq::mq, room::room, timer::timer};
pub use bindings::imports::wasi::{clocks, keyvalue, logging::logging, random::random};

pub use bindings::api_export::exports::greenroom::plugin::api::{Caller, Problem, Request, Response, Role};
pub use bindings::consumer_export::exports::greenroom::plugin::consumer::{Held, Message, Verdict};
pub use bindings::lifecycle_export::exports::greenroom::plugin::lifecycle::Occasion;
pub use context::{Context, Contexts};
pub use id::Id;
pub use money::{Amount, Overflow};
pub use plugin::Plugin;
pub use request::read_json;
