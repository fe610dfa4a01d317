//! The whole of Greenroom as its users meet it: the real program, real components, over HTTP. Two test binaries run these same tests,
//! one over the embedded backends and one over Redis, Kafka and PostgreSQL; which one it is says `crate::MODE`.

mod concurrency;
mod errors;
mod events;
mod faults;
mod gift;
mod hostile;
mod push;
mod show;
pub mod site;
pub mod support;
mod swap;
