//! HTTP, Server-Sent Events and WebSockets. Step 1 of the way of a gift: authenticate, limit, parse, find the binding.
//!
//! A request for a plugin's route takes a short way past the router (`plugin_routes`); everything else goes through it. Every
//! refusal and fault leaves as an RFC 9457 problem, made in one place ([`problem`]). Connections, bodies, times, rates and requests
//! in flight are bounded by [`Settings`]. There are no business rules here: what money may do is the ledger's and the plugins' to say.

mod app;
mod asset_changes;
mod assets;
pub mod auth;
mod bindings;
mod body;
pub mod cursor;
mod dead_letters;
mod events;
mod limits;
mod observe;
mod openapi;
mod operations;
mod plugin_actions;
mod plugin_routes;
mod plugins;
pub mod problem;
mod recharges;
mod reconciliation;
mod rooms;
mod serve;
mod settings;
mod wire;
mod ws;

pub use app::{App, Readiness, State};
pub use auth::Identity;
pub use serve::serve;
pub use settings::{Rate, Settings};
