//! The whole of Greenroom as its users meet it: the real program, real components, over HTTP.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod concurrency;
mod crash;
mod distributed;
mod errors;
mod events;
mod faults;
mod gift;
mod hostile;
mod push;
mod show;
mod support;
mod swap;
