//! What the SQL databases share: working out a batch, values as columns hold them, and which tables are a plugin's own. Pure;
//! nothing here talks to a database.

pub(super) mod columns;
pub(super) mod plan;
pub(super) mod plugin_tables;
