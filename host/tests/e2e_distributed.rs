//! The suite of `e2e` over Redis, Kafka and PostgreSQL, and what only several hosts can show.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub
)]

#[path = "e2e/changes.rs"]
mod changes;
#[path = "e2e/dead_letters.rs"]
mod dead_letters;
#[path = "e2e/suite.rs"]
mod e2e;
#[path = "e2e/hosts.rs"]
mod hosts;
#[path = "e2e/settled.rs"]
mod settled;

use e2e::site::{self, Mode};
use e2e::support;

const MODE: Mode = Mode::Distributed;
