//! The port of the settled ledger: reading accounts and events here, the rest in the modules beside.

use async_trait::async_trait;
use sqlx::Row;
use sqlx::postgres::{PgExecutor, PgRow};

use crate::adapters::sql::plan::Key;
use crate::domain::{Account, Amount, AssetType, ContentDigest, EventId, EventTime, Outcome, Posting, UserId};
use crate::ports::cache::Settled;
use crate::ports::db::{Difference, Error, Ledger, PostResult, Posted, PostedEvent, Record, RecordCursor};

use super::post::{self, Voided};
use super::{Postgres, differences, error, gate, records};

#[async_trait]
impl Ledger for Postgres {
    async fn account(&self, account: Account) -> Result<Option<Settled>, Error> {
        let row: Option<(i64, i64)> =
            sqlx::query_as("SELECT asset_cn, version FROM user_asset WHERE user_id = $1 AND asset_type = $2")
                .bind(account.user_id.0)
                .bind(i64::from(account.asset_type.0))
                .fetch_optional(&self.pool)
                .await
                .map_err(error::of)?;
        Ok(row.map(|(balance, version)| Settled { balance: Amount(balance), version }))
    }

    async fn accounts_of(&self, user: UserId) -> Result<Vec<(AssetType, Settled)>, Error> {
        let rows = sqlx::query(
            "SELECT user_id, asset_type, asset_cn, version FROM user_asset WHERE user_id = $1 ORDER BY asset_type",
        )
        .bind(user.0)
        .fetch_all(&self.pool)
        .await
        .map_err(error::of)?;
        rows.iter().map(|row| read_account(row).map(|(account, settled)| (account.asset_type, settled))).collect()
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
        gate::event(&self.pool, payer, event_id).await
    }

    async fn known(&self, events: &[(UserId, EventId)]) -> Result<Vec<bool>, Error> {
        let asked: Vec<(UserId, &EventId)> = events.iter().map(|(payer, event_id)| (*payer, event_id)).collect();
        let known = gate::find(&self.pool, &asked).await?;
        Ok(asked.iter().map(|(payer, event_id)| known.contains_key(&Key::new(*payer, event_id.as_str()))).collect())
    }

    async fn records(
        &self,
        user: UserId,
        asset: Option<AssetType>,
        after: Option<&RecordCursor>,
        limit: usize,
    ) -> Result<(Vec<Record>, Option<RecordCursor>), Error> {
        records::page(&self.pool, user, asset, after, limit).await
    }

    async fn differences(&self) -> Result<Vec<Difference>, Error> {
        differences::all(self).await
    }
}

/// Those of the accounts that exist, each by one look into the index. `lock` takes them in the order of a batch.
pub(super) async fn accounts(
    db: impl PgExecutor<'_>,
    accounts: &[Account],
    lock: bool,
) -> Result<Vec<(Account, Settled)>, sqlx::Error> {
    let users: Vec<i64> = accounts.iter().map(|account| account.user_id.0).collect();
    let assets: Vec<i64> = accounts.iter().map(|account| i64::from(account.asset_type.0)).collect();
    let sql = if lock {
        "SELECT user_id, asset_type, asset_cn, version FROM user_asset \
         JOIN unnest($1::int8[], $2::int8[]) AS asked (user_id, asset_type) USING (user_id, asset_type) \
         ORDER BY user_id < 0, user_id, asset_type FOR NO KEY UPDATE OF user_asset"
    } else {
        "SELECT user_id, asset_type, asset_cn, version FROM user_asset \
         JOIN unnest($1::int8[], $2::int8[]) AS asked (user_id, asset_type) USING (user_id, asset_type)"
    };
    let rows = sqlx::query(sql).bind(users).bind(assets).fetch_all(db).await?;
    rows.iter().map(|row| read_account(row).map_err(|fault| sqlx::Error::Decode(fault.into()))).collect()
}

fn read_account(row: &PgRow) -> Result<(Account, Settled), Error> {
    let user_id = UserId(row.try_get(0).map_err(error::of)?);
    let balance = Amount(row.try_get(2).map_err(error::of)?);
    let settled = Settled { balance, version: row.try_get(3).map_err(error::of)? };
    Ok((Account { user_id, asset_type: asset_type(row.try_get(1).map_err(error::of)?)? }, settled))
}

/// An asset as it was stored.
pub(super) fn asset_type(number: i64) -> Result<AssetType, Error> {
    let number = u32::try_from(number)
        .map_err(|_| crate::adapters::sql::columns::corrupt(format_args!("asset type {number}")))?;
    Ok(AssetType(number))
}
