//! Which tables are a plugin's own, and which statements a plugin may name.
//!
//! A table belongs to a plugin when its name is the plugin's, or begins with it and `_`. Names of plugins have no `_`, so no
//! plugin's tables can be taken for another's; the host's own tables are excepted by name. The rule is the same in every
//! database, so that a manifest that one accepts, another does not refuse for its names.

const HOST_TABLES: [&str; 14] = [
    "audit",
    "binding",
    "dead_letter",
    "entries",
    "entry",
    "event",
    "plugin",
    "plugin_code_range",
    "plugin_schema",
    "pot",
    "retry",
    "room",
    "user_asset",
    "user_asset_record",
];

/// How a plugin's statement may begin.
pub(in crate::adapters) const VERBS: [&str; 7] = ["delete", "insert", "replace", "select", "update", "values", "with"];

/// How a statement of a plugin's schema may begin, with single spaces and in lower case.
pub(in crate::adapters) const SCHEMA_BEGINNINGS: [&str; 3] =
    ["create table if not exists ", "create index if not exists ", "create unique index if not exists "];

/// Whether the name is that of a plugin's own table.
pub(in crate::adapters) fn owns(plugin: &str, table: &str) -> bool {
    let table = table.to_ascii_lowercase();
    let own = table.strip_prefix(plugin).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'));
    let reserved = table.starts_with("sqlite_") || table.starts_with("_sqlx") || HOST_TABLES.contains(&table.as_str());
    own && !reserved
}

/// Whether the statement begins as a plugin's statement may.
pub(in crate::adapters) fn begins_as_statement(sql: &str) -> Result<(), String> {
    let verb = sql.split_ascii_whitespace().next().unwrap_or_default().to_ascii_lowercase();
    if VERBS.contains(&verb.as_str()) {
        return Ok(());
    }
    Err(format!("a statement begins with one of {}", VERBS.join(", ")))
}

/// Whether the statement begins as one of a plugin's schema may.
pub(in crate::adapters) fn begins_as_schema(sql: &str) -> Result<(), String> {
    let words = sql.split_ascii_whitespace().collect::<Vec<_>>().join(" ").to_ascii_lowercase();
    if SCHEMA_BEGINNINGS.iter().any(|beginning| words.starts_with(beginning)) {
        return Ok(());
    }
    Err("it must be CREATE TABLE IF NOT EXISTS or CREATE INDEX IF NOT EXISTS".into())
}
