//! The ledger's protocol over the embedded backends, step by step and in every disorder. These tests reach into the backends, in ways that
//! others do not have (a cache without its recovery, a queue that fails on demand); the contracts say that the others behave alike.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub
)]

#[path = "ledger/disorder.rs"]
mod disorder;
#[path = "ledger/house.rs"]
mod house;
#[path = "ledger/rooms.rs"]
mod rooms;
#[path = "ledger/settled.rs"]
mod settled;
#[path = "ledger/settling.rs"]
mod settling;
#[path = "ledger/steps.rs"]
mod steps;
#[path = "ledger/timers.rs"]
mod timers;
