//! The port of the settled ledger: reading accounts and events here, the rest in the modules beside.

use async_trait::async_trait;
use sqlx::{Row, SqliteConnection};

use crate::adapters::sql::plan::Key;
use crate::domain::{Account, Amount, AssetType, ContentDigest, EventId, EventTime, Outcome, Posting, UserId};
use crate::ports::cache::Settled;
use crate::ports::db::{Difference, Error, KnownEvent, Ledger, PostResult, Posted, PostedEvent, Record, RecordCursor};

use super::post::{self, Voided};
use super::{Sqlite, differences, error, gate, records};

#[async_trait]
impl Ledger for Sqlite {
    async fn account(&self, account: Account) -> Result<Option<Settled>, Error> {
        self::account(&mut *self.read().await?, account).await
    }

    async fn accounts_of(&self, user: UserId) -> Result<Vec<(AssetType, Settled)>, Error> {
        let rows =
            sqlx::query("SELECT asset_type, asset_cn, version FROM user_asset WHERE user_id = ? ORDER BY asset_type")
                .bind(user.0)
                .fetch_all(&mut *self.read().await?)
                .await
                .map_err(error::of)?;
        rows.iter()
            .map(|row| {
                let balance = Amount(row.try_get(1).map_err(error::of)?);
                let settled = Settled { balance, version: row.try_get(2).map_err(error::of)? };
                Ok((AssetType(row.try_get(0).map_err(error::of)?), settled))
            })
            .collect()
    }

    async fn post(&self, batch: &[Posting]) -> Result<Posted, Error> {
        post::post(self, batch).await
    }

    async fn void(
        &self,
        payer: Account,
        event_id: &EventId,
        digest: ContentDigest,
        outcome: Option<&Outcome>,
        at_ms: EventTime,
    ) -> Result<(PostResult, Option<Settled>), Error> {
        post::void(self, Voided { payer, event_id, digest, outcome, at_ms }).await
    }

    async fn event(&self, payer: UserId, event_id: &EventId) -> Result<Option<PostedEvent>, Error> {
        gate::event(&mut *self.read().await?, payer, event_id).await
    }

    async fn known(&self, events: &[(UserId, EventId)]) -> Result<Vec<Option<KnownEvent>>, Error> {
        let asked: Vec<(UserId, &EventId)> = events.iter().map(|(payer, event_id)| (*payer, event_id)).collect();
        let known = gate::find(&mut *self.read().await?, &asked).await?;
        Ok(asked.iter().map(|(payer, event_id)| known.get(&Key::new(*payer, event_id.as_str())).copied()).collect())
    }

    async fn records(
        &self,
        user: UserId,
        asset: Option<AssetType>,
        after: Option<&RecordCursor>,
        limit: usize,
    ) -> Result<(Vec<Record>, Option<RecordCursor>), Error> {
        records::page(&mut *self.read().await?, user, asset, after, limit).await
    }

    async fn differences(&self) -> Result<Vec<Difference>, Error> {
        differences::all(self).await
    }
}

/// One balance.
pub(super) async fn account(connection: &mut SqliteConnection, account: Account) -> Result<Option<Settled>, Error> {
    let row: Option<(i64, i64)> =
        sqlx::query_as("SELECT asset_cn, version FROM user_asset WHERE user_id = ? AND asset_type = ?")
            .bind(account.user_id.0)
            .bind(account.asset_type.0)
            .fetch_optional(connection)
            .await
            .map_err(error::of)?;
    Ok(row.map(|(balance, version)| Settled { balance: Amount(balance), version }))
}
