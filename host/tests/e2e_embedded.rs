//! The suite of `e2e` over the embedded backends, with nothing else installed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub
)]

/// Kills that bring the journal to its limits; in the distributed mode there is none, and its own faults have tests of their own.
#[path = "e2e/crash.rs"]
mod crash;
#[path = "e2e/suite.rs"]
mod e2e;

use e2e::site::Mode;
use e2e::support;

const MODE: Mode = Mode::Embedded;
