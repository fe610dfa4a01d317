//! Implementations of the ports. They hold no business rules; only the composition root names them.

pub mod embedded;
pub mod postgres;
mod sql;
pub mod sqlite;
