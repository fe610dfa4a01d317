//! Implementations of the ports. They hold no business rules; only the composition root names them.

pub mod embedded;
mod sql;
pub mod sqlite;
