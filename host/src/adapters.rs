//! Implementations of the ports. They hold no business rules; only the composition root names them.

mod event_record;
pub mod guard;
mod sql;

pub mod embedded;
pub mod kafka;
pub mod postgres;
pub mod redis;
pub mod sqlite;
