//! Implementations of the ports. They hold no business rules; only the composition root names them.

mod event_record;
mod stable_hash;

pub mod embedded;
pub mod kafka;
pub mod sqlite;
