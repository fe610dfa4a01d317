//! The port of installed plugins.

use async_trait::async_trait;
use greenroom_manifest::PROBLEM_CODES;
use semver::Version;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Executor};

use crate::adapters::sql::columns::{corrupt, read_version, signed};
use crate::adapters::sql::plugins::{CODES_BEGIN, read_plugin};
use crate::adapters::sql::row::Columns;
use crate::ports::db::{Error, Plugins, StoredPlugin};

use super::{Postgres, error};

const PLUGIN: &str =
    "SELECT name, version, digest, wasm, installed_at, base FROM plugin JOIN plugin_code_range USING (name)";

#[async_trait]
impl Plugins for Postgres {
    async fn install(&self, plugin: &StoredPlugin) -> Result<Option<u32>, Error> {
        self.within(self.settings.call_timeout, async move {
            let mut tx = self.pool().begin().await.map_err(error::of)?;
            let version = plugin.version.to_string();
            let made =
                sqlx::query("INSERT INTO plugin VALUES ($1, $2, $3, $4, $5) ON CONFLICT (name, version) DO NOTHING")
                    .bind(plugin.name.as_str())
                    .bind(version.as_str())
                    .bind(plugin.digest.as_str())
                    .bind(plugin.wasm.as_slice())
                    .bind(signed(plugin.installed_at_ms)?)
                    .execute(&mut *tx)
                    .await
                    .map_err(error::of)?;
            if made.rows_affected() == 0 {
                let digest: Option<String> =
                    sqlx::query_scalar("SELECT digest FROM plugin WHERE name = $1 AND version = $2")
                        .bind(plugin.name.as_str())
                        .bind(version.as_str())
                        .fetch_optional(&mut *tx)
                        .await
                        .map_err(error::of)?;
                if digest.as_ref() != Some(&plugin.digest) {
                    tx.rollback().await.map_err(error::of)?;
                    return Ok(None);
                }
            }
            let base = code_range(&mut tx, &plugin.name).await?;
            tx.commit().await.map_err(error::of)?;
            Ok(Some(base))
        })
        .await
    }

    async fn installed(&self) -> Result<Vec<StoredPlugin>, Error> {
        self.within(self.settings.call_timeout, async move {
            let rows = sqlx::query(PLUGIN).fetch_all(&self.pool()).await.map_err(error::of)?;
            let mut plugins: Vec<StoredPlugin> = rows.iter().map(read_plugin).collect::<Result<_, _>>()?;
            plugins.sort_by(|a, b| a.name.cmp(&b.name).then_with(|| a.version.cmp(&b.version)));
            Ok(plugins)
        })
        .await
    }

    async fn remove(&self, name: &str, version: &Version) -> Result<bool, Error> {
        self.within(self.settings.call_timeout, async move {
            let removed = sqlx::query("DELETE FROM plugin WHERE name = $1 AND version = $2")
                .bind(name)
                .bind(version.to_string())
                .execute(&self.pool())
                .await
                .map_err(error::of)?;
            Ok(removed.rows_affected() > 0)
        })
        .await
    }

    async fn versions(&self) -> Result<Vec<(String, Version)>, Error> {
        self.within(self.settings.call_timeout, async move {
            let rows = sqlx::query("SELECT name, version FROM plugin").fetch_all(&self.pool()).await;
            let read = |row: &PgRow| Ok((row.text(0)?.into(), read_version(row.text(1)?)?));
            rows.map_err(error::of)?.iter().map(read).collect()
        })
        .await
    }

    async fn version(&self, name: &str, version: &Version) -> Result<Option<StoredPlugin>, Error> {
        self.within(self.settings.call_timeout, async move {
            let found = sqlx::query(AssertSqlSafe(format!("{PLUGIN} WHERE name = $1 AND version = $2")))
                .bind(name)
                .bind(version.to_string())
                .fetch_optional(&self.pool())
                .await
                .map_err(error::of)?;
            found.as_ref().map(read_plugin).transpose()
        })
        .await
    }
}

/// One installation at a time gets a range: two at once would take the same.
async fn code_range(connection: &mut PgConnection, name: &str) -> Result<u32, Error> {
    connection.execute("LOCK TABLE plugin_code_range IN SHARE ROW EXCLUSIVE MODE").await.map_err(error::of)?;
    sqlx::query(
        "INSERT INTO plugin_code_range SELECT $1, coalesce(max(base) + $3, $2) FROM plugin_code_range \
         ON CONFLICT (name) DO NOTHING",
    )
    .bind(name)
    .bind(CODES_BEGIN)
    .bind(i64::from(PROBLEM_CODES))
    .execute(&mut *connection)
    .await
    .map_err(error::of)?;
    let base: i64 = sqlx::query_scalar("SELECT base FROM plugin_code_range WHERE name = $1")
        .bind(name)
        .fetch_one(connection)
        .await
        .map_err(error::of)?;
    u32::try_from(base).map_err(|_| corrupt(format_args!("problem codes from {base}")))
}
