//! The tables that a plugin brings: in a schema of its own, owned by a role that may touch nothing else and cannot log in.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Executor};

use crate::ports::db::Error;

use super::{Postgres, error, rules};

/// Schema and role of a plugin, quoted. A plugin's name has only `a-z 0-9 -`, at most 32 of them.
pub(super) struct Home {
    pub schema: String,
    pub role: String,
}

impl Home {
    /// Of a plugin of this database. Roles belong to the server, so a role's name has the database's number.
    pub(super) fn of(db: &Postgres, plugin: &str) -> Result<Self, Error> {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if plugin.is_empty() || plugin.len() > 32 || !plugin.chars().all(fits) {
            return Err(Error::Refused(format!("`{plugin}` is no plugin's name")));
        }
        Ok(Self { schema: format!("plugin_{plugin}"), role: format!("greenroom_{}_{plugin}", db.database) })
    }

    /// What makes a transaction the plugin's own, after its `BEGIN`.
    pub(super) fn enter(&self) -> String {
        format!("SET LOCAL ROLE \"{}\"; SET LOCAL search_path TO \"{}\"", self.role, self.schema)
    }
}

/// Runs the schema statements that were not run before, all or none. See the port.
pub(super) async fn migrate(db: &Postgres, plugin: &str, schema: &[String]) -> Result<(), Error> {
    let home = Home::of(db, plugin)?;
    let mut attempts = db.attempts();
    loop {
        match try_migrate(db, &home, plugin, schema).await {
            Ok(answer) => return answer,
            Err(fault) if attempts.again(&fault).await => {}
            Err(fault) => return Err(error::of(fault)),
        }
    }
}

async fn try_migrate(
    db: &Postgres,
    home: &Home,
    plugin: &str,
    schema: &[String],
) -> Result<Result<(), Error>, sqlx::Error> {
    let mut tx = db.pool().begin().await?;
    // One at a time: hosts that start together bring the same plugins.
    tx.execute("LOCK TABLE plugin_schema IN SHARE ROW EXCLUSIVE MODE").await?;
    make_home(&mut tx, home).await?;
    for sql in schema {
        let new = sqlx::query(
            "INSERT INTO plugin_schema (plugin, text) VALUES ($1, $2) ON CONFLICT (plugin, md5(text)) DO NOTHING",
        )
        .bind(plugin)
        .bind(sql.as_str())
        .execute(&mut *tx)
        .await?;
        if new.rows_affected() == 0 {
            continue;
        }
        let checked = match rules::schema(plugin, sql) {
            Ok(seen) => forbidden(&mut tx, &seen.called).await?,
            Err(words) => Some(words),
        };
        if let Some(words) = checked {
            return Ok(Err(about(sql, Error::Refused(words))));
        }
        if let Err(fault) = create(&mut tx, home, sql).await {
            return Ok(Err(about(sql, error::of(fault))));
        }
    }
    tx.commit().await?;
    Ok(Ok(()))
}

async fn make_home(connection: &mut PgConnection, Home { schema, role }: &Home) -> Result<(), sqlx::Error> {
    let (has_role, has_schema): (bool, bool) = sqlx::query_as(
        "SELECT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = $1), EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = $2)",
    )
    .bind(role)
    .bind(schema)
    .fetch_one(&mut *connection)
    .await?;
    if !has_role {
        let sql = format!("CREATE ROLE \"{role}\" NOLOGIN NOINHERIT");
        connection.execute(AssertSqlSafe(sql)).await?;
        let sql = format!("GRANT \"{role}\" TO CURRENT_USER");
        connection.execute(AssertSqlSafe(sql)).await?;
    }
    if !has_schema {
        let sql = format!("CREATE SCHEMA \"{schema}\" AUTHORIZATION \"{role}\"");
        connection.execute(AssertSqlSafe(sql)).await?;
    }
    Ok(())
}

async fn create(connection: &mut PgConnection, home: &Home, sql: &str) -> Result<(), sqlx::Error> {
    connection.execute(AssertSqlSafe(home.enter())).await?;
    // Prepared, so that it is one statement.
    sqlx::query(AssertSqlSafe(sql)).persistent(false).execute(&mut *connection).await?;
    let leave = format!("RESET ROLE; SET LOCAL search_path TO {}", super::SCHEMA);
    connection.execute(AssertSqlSafe(leave)).await?;
    Ok(())
}

/// The words about a function outside the list, if there is one of these names.
pub(super) async fn forbidden(connection: &mut PgConnection, called: &[String]) -> Result<Option<String>, sqlx::Error> {
    if called.is_empty() {
        return Ok(None);
    }
    let found: Option<String> =
        sqlx::query_scalar("SELECT proname::text FROM pg_catalog.pg_proc WHERE proname = ANY($1::text[]) LIMIT 1")
            .bind(called)
            .fetch_optional(connection)
            .await?;
    Ok(found.map(|name| format!("the function `{name}` has no place in a plugin's statement")))
}

fn about(sql: &str, fault: Error) -> Error {
    match fault {
        Error::Refused(words) => Error::Refused(format!("{words}, in: {sql}")),
        other => other,
    }
}
