//! What the SQL databases share: working out a batch, values as columns hold them, and which tables are a plugin's own. Pure;
//! nothing here talks to a database.

pub(super) mod columns;
pub(super) mod plan;
pub(super) mod plugin_tables;

/// Where the plugins' problem codes begin; the host's own end below.
pub(in crate::adapters) const CODES_BEGIN: i64 = 50_000;
/// How many each plugin's name gets.
pub(in crate::adapters) const CODES_STEP: i64 = 1_000;
