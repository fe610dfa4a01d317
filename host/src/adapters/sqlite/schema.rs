//! The tables that a plugin brings.

use sqlx::{AssertSqlSafe, SqliteConnection};

use crate::adapters::sql::plugin_tables::{begins_as_schema, owns};
use crate::ports::db::Error;

use super::authorizer::{self, Purpose};
use super::{Sqlite, error};

/// Runs the schema statements that were not run before, all or none. See the port.
pub(super) async fn migrate(db: &Sqlite, plugin: &str, schema: &[String]) -> Result<(), Error> {
    let mut tx = db.write().await?;
    for sql in schema {
        let new = sqlx::query("INSERT INTO plugin_schema (plugin, text) VALUES (?, ?) ON CONFLICT DO NOTHING")
            .bind(plugin)
            .bind(sql.as_str())
            .execute(&mut *tx)
            .await
            .map_err(error::of)?;
        if new.rows_affected() > 0 {
            create(&mut tx, plugin, sql).await.map_err(|fault| about(sql, fault))?;
        }
    }
    check_references(&mut tx, plugin).await?;
    tx.commit().await.map_err(error::of)
}

async fn create(connection: &mut SqliteConnection, plugin: &str, sql: &str) -> Result<(), Error> {
    begins_as_schema(sql).map_err(Error::Refused)?;
    let mut handle = connection.lock_handle().await.map_err(error::of)?;
    let checked = authorizer::check(&mut handle, plugin, sql, Purpose::Schema);
    drop(handle);
    checked.map_err(Error::Refused)?;
    sqlx::query(AssertSqlSafe(sql)).persistent(false).execute(connection).await.map_err(error::of)?;
    Ok(())
}

/// A foreign key to a stranger's table would let a plugin stand in the way of the stranger's deletes.
async fn check_references(connection: &mut SqliteConnection, plugin: &str) -> Result<(), Error> {
    let references: Vec<(String, String)> = sqlx::query_as(
        "SELECT s.name, k.\"table\" FROM sqlite_schema AS s JOIN pragma_foreign_key_list(s.name) AS k WHERE s.type = 'table'",
    )
    .fetch_all(connection)
    .await
    .map_err(error::of)?;
    match references.into_iter().find(|(table, parent)| owns(plugin, table) && !owns(plugin, parent)) {
        Some((table, parent)) => {
            Err(Error::Refused(format!("`{table}` refers to `{parent}`, which is not `{plugin}`'s")))
        }
        None => Ok(()),
    }
}

fn about(sql: &str, fault: Error) -> Error {
    match fault {
        Error::Refused(words) => Error::Refused(format!("{words}, in: {sql}")),
        other => other,
    }
}
