//! Tests of plugins in a whole room: the built components in a real embedded host in this process, viewers over HTTP and Server-Sent
//! Events, and a clock that the test owns.
//!
//! ```no_run
//! # use std::time::Duration;
//! # use greenroom_testkit::House;
//! # use serde_json::json;
//! # async fn show() {
//! let house = House::open(&["hello"]).await;
//! let room = house.room(json!([{ "name": "hello", "config": { "greeting": "Welcome" } }])).await;
//! let (anna, bert) = (room.viewer(1001), room.viewer(1002));
//! let mut seen = bert.watch().await;
//! let said = anna.post("hello", json!({})).await.ok();
//! assert_eq!(said["text"], "Welcome, 1001!");
//! assert_eq!(seen.next("hello.said").await, said);
//! house.clock.advance(Duration::from_secs(60));
//! house.close().await;
//! # }
//! ```
//!
//! Rules need nothing of this: they are functions. What the plugins are built from has to be built first: `cargo xtask plugins`.
//! A test that goes wrong panics with what was asked and answered.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a crate for tests"
)]

mod answer;
mod clock;
mod house;
mod room;
mod watch;

pub use answer::Answer;
pub use clock::TestClock;
pub use greenroom_manifest::Role;
pub use house::House;
pub use room::{Room, Visitor};
pub use watch::Watch;

/// Gold coins, the currency of [`House::give`].
pub const GOLD: u32 = 1;

/// A new event id of the recommended kind. Its time is the system's, not the test's clock's.
#[must_use]
pub fn event_id() -> String {
    uuid::Uuid::now_v7().to_string()
}

/// How long a condition is waited for.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);
/// How often it is looked at.
const LOOK_EVERY: std::time::Duration = std::time::Duration::from_millis(20);
