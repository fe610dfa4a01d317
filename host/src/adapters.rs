//! Implementations of the ports. They hold no business rules; only the composition root names them.

mod event_record;

pub mod embedded;
pub mod kafka;
pub mod redis;
pub mod sqlite;
