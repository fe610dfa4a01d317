//! The ledger's protocol over the embedded backends, step by step and in every disorder.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod disorder;
mod house;
mod rooms;
mod settling;
mod steps;
mod timers;
