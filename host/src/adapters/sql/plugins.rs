//! Installed plugins as both databases store them.

use super::columns::{read_version, unsigned};
use super::row::Columns;
use crate::ports::db::{Error, StoredPlugin};

/// Where the plugins' problem codes begin; the host's own end below.
pub(in crate::adapters) const CODES_BEGIN: i64 = 50_000;

/// Reads name, version, digest, component, time of installation, and where its problem codes begin.
pub(in crate::adapters) fn read_plugin(row: &impl Columns) -> Result<StoredPlugin, Error> {
    Ok(StoredPlugin {
        name: row.text(0)?.into(),
        version: read_version(row.text(1)?)?,
        digest: row.text(2)?.into(),
        wasm: row.bytes(3)?.to_vec(),
        installed_at_ms: unsigned(row.number(4)?)?,
        problem_code_base: row.small(5)?,
    })
}
