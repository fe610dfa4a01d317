//! The port of pots.

use async_trait::async_trait;

use crate::adapters::sql::columns::corrupt;
use crate::domain::UserId;
use crate::ports::db::{Error, Pots};

use super::{Sqlite, error};

const POT: &str = "SELECT pot_id FROM pot WHERE plugin = ? AND name = ?";

#[async_trait]
impl Pots for Sqlite {
    async fn pot(&self, plugin: &str, name: &str) -> Result<Option<UserId>, Error> {
        let number: Option<i64> = sqlx::query_scalar(POT)
            .bind(plugin)
            .bind(name)
            .fetch_optional(&mut *self.read().await?)
            .await
            .map_err(error::of)?;
        number.map(account).transpose()
    }

    async fn make_pot(&self, plugin: &str, name: &str) -> Result<UserId, Error> {
        let mut tx = self.write().await?;
        sqlx::query("INSERT INTO pot (plugin, name) VALUES (?, ?) ON CONFLICT DO NOTHING")
            .bind(plugin)
            .bind(name)
            .execute(&mut *tx)
            .await
            .map_err(error::of)?;
        let number: i64 =
            sqlx::query_scalar(POT).bind(plugin).bind(name).fetch_one(&mut *tx).await.map_err(error::of)?;
        tx.commit().await.map_err(error::of)?;
        account(number)
    }

    async fn owner_of(&self, account: UserId) -> Result<Option<String>, Error> {
        let Some(number) = account.pot() else { return Ok(None) };
        sqlx::query_scalar("SELECT plugin FROM pot WHERE pot_id = ?")
            .bind(number)
            .fetch_optional(&mut *self.read().await?)
            .await
            .map_err(error::of)
    }
}

fn account(number: i64) -> Result<UserId, Error> {
    UserId::of_pot(number).ok_or_else(|| corrupt(format_args!("pot {number}")))
}
