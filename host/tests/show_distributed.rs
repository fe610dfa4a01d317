//! A crowd over three hosts, on Redis, Kafka and PostgreSQL: votes, grabs and entries of very many at the same time, over all hosts, with
//! repetitions and races. What is counted is exact, and what is drawn can be computed again.
//!
//! `GREENROOM_TEST_FULL=1`: 100,000 voters, 20,000 who grab and 100,000 entrants, instead of some thousands.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub
)]

#[path = "show/crowd.rs"]
mod crowd;
#[path = "show/hosts.rs"]
mod hosts;
#[path = "e2e/site.rs"]
#[allow(dead_code, reason = "the suite `e2e` needs more of it")]
mod site;
#[path = "e2e/support.rs"]
#[allow(dead_code, reason = "the suite `e2e` needs more of it")]
mod support;
#[path = "show/verified.rs"]
#[allow(dead_code, reason = "the shows of one host need more of it")]
mod verified;
#[path = "show/visitor.rs"]
#[allow(dead_code, reason = "the shows of one host need more of it")]
mod visitor;

use site::Mode;

const MODE: Mode = Mode::Distributed;
