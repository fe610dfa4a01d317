//! What Greenroom needs of the outside, as traits whose docs are contracts: every adapter passes the same tests.
//!
//! `domain` is all that this module may use.

pub mod cache;
pub mod clock;
pub mod db;
pub mod outbox;
pub mod push_bus;
pub mod queue;
pub mod rate_limit;
