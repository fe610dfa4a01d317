//! The statements that plugins name in their manifests.

use async_trait::async_trait;

use super::Error;

/// A parameter or a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// No value.
    Null,
    /// A 64-bit integer; true is 1.
    Integer(i64),
    /// Text.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

/// One statement of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// SQL with numbered parameters (`$1`, `$2`, …).
    pub sql: String,
    /// Their values.
    pub params: Vec<Value>,
    /// How many rows it must touch.
    pub expected_rows: Option<u64>,
}

/// Why a statement was not run.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TransactError {
    /// A constraint stands in the way.
    #[error("a constraint stands in the way: {0}")]
    Conflict(String),
    /// The number or kind of the parameters is wrong, or too many rows came back.
    #[error("{0}")]
    Invalid(String),
    /// The index of the step that touched another number of rows; nothing was written.
    #[error("step {0} touched another number of rows than expected")]
    UnexpectedRows(usize),
    /// The database itself.
    #[error(transparent)]
    Db(#[from] Error),
}

/// Plugins' statements.
#[async_trait]
pub trait Statements: Send + Sync {
    /// Creates what the plugin's schema statement says, once for each (plugin, schema text); statements are `CREATE TABLE IF NOT
    /// EXISTS` and `CREATE INDEX IF NOT EXISTS` on tables whose names begin with `<plugin>_` or equal the plugin's name.
    async fn migrate(&self, plugin: &str, schema: &[String]) -> Result<(), Error>;

    /// Prepares a statement against the real schema: one `SELECT`, `INSERT`, `UPDATE`, `DELETE`, `REPLACE`, `VALUES` or `WITH`
    /// on the plugin's own tables, with parameters `$1`, `$2`, …
    ///
    /// # Errors
    /// `Refused` with the database's own words if it cannot be prepared or touches anything else; nothing is run.
    async fn prepare(&self, plugin: &str, sql: &str) -> Result<(), Error>;

    /// Runs a reading statement; at most `rows_max` rows.
    async fn query(
        &self,
        plugin: &str,
        sql: &str,
        params: Vec<Value>,
        rows_max: usize,
    ) -> Result<Vec<Vec<Value>>, TransactError>;

    /// Runs writing statements in one transaction and returns the rows that each touched.
    async fn transact(&self, plugin: &str, steps: Vec<Step>) -> Result<Vec<u64>, TransactError>;
}
