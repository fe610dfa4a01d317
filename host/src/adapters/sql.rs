//! What the SQL databases share: working out a batch, rows and their values, and which tables are a plugin's own. Pure; nothing here
//! talks to a database.

pub(super) mod columns;
pub(super) mod deliveries;
pub(super) mod plan;
pub(super) mod plugin_tables;
pub(super) mod plugins;
pub(super) mod rooms;
pub(super) mod row;
