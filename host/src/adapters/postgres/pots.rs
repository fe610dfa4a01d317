//! The port of pots.

use async_trait::async_trait;

use crate::adapters::sql::columns::corrupt;
use crate::domain::UserId;
use crate::ports::db::{Error, Pots};

use super::{Postgres, error};

const POT: &str = "SELECT pot_id FROM pot WHERE plugin = $1 AND name = $2";

#[async_trait]
impl Pots for Postgres {
    async fn pot(&self, plugin: &str, name: &str) -> Result<Option<UserId>, Error> {
        self.within(self.settings.call_timeout, async move {
            let number: Option<i64> = sqlx::query_scalar(POT)
                .bind(plugin)
                .bind(name)
                .fetch_optional(&self.pool())
                .await
                .map_err(error::of)?;
            number.map(account).transpose()
        })
        .await
    }

    async fn make_pot(&self, plugin: &str, name: &str) -> Result<UserId, Error> {
        self.within(self.settings.call_timeout, async move {
            // Two statements that each commit: who loses the race sees what the winner has made.
            sqlx::query("INSERT INTO pot (plugin, name) VALUES ($1, $2) ON CONFLICT DO NOTHING")
                .bind(plugin)
                .bind(name)
                .execute(&self.pool())
                .await
                .map_err(error::of)?;
            let number: i64 =
                sqlx::query_scalar(POT).bind(plugin).bind(name).fetch_one(&self.pool()).await.map_err(error::of)?;
            account(number)
        })
        .await
    }

    async fn owner_of(&self, account: UserId) -> Result<Option<String>, Error> {
        let Some(number) = account.pot() else { return Ok(None) };
        self.within(self.settings.call_timeout, async move {
            sqlx::query_scalar("SELECT plugin FROM pot WHERE pot_id = $1")
                .bind(number)
                .fetch_optional(&self.pool())
                .await
                .map_err(error::of)
        })
        .await
    }
}

fn account(number: i64) -> Result<UserId, Error> {
    UserId::of_pot(number).ok_or_else(|| corrupt(format_args!("pot {number}")))
}
