//! The port of installed plugins.

use async_trait::async_trait;
use greenroom_manifest::PROBLEM_CODES;
use semver::Version;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use crate::adapters::sql::columns::{read_version, signed};
use crate::adapters::sql::plugins::{CODES_BEGIN, read_plugin};
use crate::adapters::sql::row::Columns;
use crate::ports::db::{Error, Plugins, StoredPlugin};

use super::{Sqlite, error};

const PLUGIN: &str =
    "SELECT name, version, digest, wasm, installed_at, base FROM plugin JOIN plugin_code_range USING (name)";

#[async_trait]
impl Plugins for Sqlite {
    async fn install(&self, plugin: &StoredPlugin) -> Result<Option<u32>, Error> {
        let mut tx = self.write().await?;
        let version = plugin.version.to_string();
        let installed: Option<String> = sqlx::query_scalar("SELECT digest FROM plugin WHERE name = ? AND version = ?")
            .bind(plugin.name.as_str())
            .bind(version.as_str())
            .fetch_optional(&mut *tx)
            .await
            .map_err(error::of)?;
        if installed.as_ref().is_some_and(|digest| *digest != plugin.digest) {
            tx.rollback().await;
            return Ok(None);
        }
        let base = code_range(&mut tx, &plugin.name).await?;
        if installed.is_none() {
            sqlx::query("INSERT INTO plugin VALUES (?, ?, ?, ?, ?)")
                .bind(plugin.name.as_str())
                .bind(version)
                .bind(plugin.digest.as_str())
                .bind(plugin.wasm.as_slice())
                .bind(signed(plugin.installed_at_ms)?)
                .execute(&mut *tx)
                .await
                .map_err(error::of)?;
        }
        tx.commit().await.map_err(error::of)?;
        Ok(Some(base))
    }

    async fn installed(&self) -> Result<Vec<StoredPlugin>, Error> {
        let rows =
            sqlx::query(sqlx::AssertSqlSafe(PLUGIN)).fetch_all(&mut *self.read().await?).await.map_err(error::of)?;
        let mut plugins: Vec<StoredPlugin> = rows.iter().map(read_plugin).collect::<Result<_, _>>()?;
        plugins.sort_by(|a, b| a.name.cmp(&b.name).then_with(|| a.version.cmp(&b.version)));
        Ok(plugins)
    }

    async fn remove(&self, name: &str, version: &Version) -> Result<bool, Error> {
        let mut tx = self.write().await?;
        let removed = sqlx::query("DELETE FROM plugin WHERE name = ? AND version = ?")
            .bind(name)
            .bind(version.to_string())
            .execute(&mut *tx)
            .await
            .map_err(error::of)?;
        tx.commit().await.map_err(error::of)?;
        Ok(removed.rows_affected() > 0)
    }

    async fn versions(&self) -> Result<Vec<(String, Version)>, Error> {
        let rows = sqlx::query("SELECT name, version FROM plugin").fetch_all(&mut *self.read().await?).await;
        let read = |row: &SqliteRow| Ok((row.text(0)?.into(), read_version(row.text(1)?)?));
        rows.map_err(error::of)?.iter().map(read).collect()
    }

    async fn version(&self, name: &str, version: &Version) -> Result<Option<StoredPlugin>, Error> {
        let found = sqlx::query(sqlx::AssertSqlSafe(format!("{PLUGIN} WHERE name = ? AND version = ?")))
            .bind(name)
            .bind(version.to_string())
            .fetch_optional(&mut *self.read().await?)
            .await
            .map_err(error::of)?;
        found.as_ref().map(read_plugin).transpose()
    }
}

async fn code_range(connection: &mut SqliteConnection, name: &str) -> Result<u32, Error> {
    sqlx::query(
        "INSERT INTO plugin_code_range SELECT ?1, coalesce(max(base) + ?3, ?2) FROM plugin_code_range WHERE true \
         ON CONFLICT (name) DO NOTHING",
    )
    .bind(name)
    .bind(CODES_BEGIN)
    .bind(i64::from(PROBLEM_CODES))
    .execute(&mut *connection)
    .await
    .map_err(error::of)?;
    sqlx::query_scalar("SELECT base FROM plugin_code_range WHERE name = ?")
        .bind(name)
        .fetch_one(connection)
        .await
        .map_err(error::of)
}
