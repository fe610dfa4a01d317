//! The ports, kept: embedded and distributed. No business rules.

pub mod sqlite;
