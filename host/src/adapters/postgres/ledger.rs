//! The port of the settled ledger: reading accounts and events here, the rest in the modules beside.

use async_trait::async_trait;
use sqlx::Row;
use sqlx::postgres::{PgExecutor, PgRow};

use crate::adapters::sql::plan::Key;
use crate::domain::{Account, Amount, AssetType, ContentDigest, EventId, EventTime, Outcome, Posting, UserId};
use crate::ports::cache::Settled;
use crate::ports::db::{Difference, Error, KnownEvent, Ledger, PostResult, Posted, PostedEvent, Record, RecordCursor};

use super::post::{self, Voided};
use super::{Postgres, differences, error, gate, records};

#[async_trait]
impl Ledger for Postgres {
    async fn account(&self, account: Account) -> Result<Option<Settled>, Error> {
        self.within(self.settings.call_timeout, async move {
            let row: Option<(i64, i64)> =
                sqlx::query_as("SELECT asset_cn, version FROM user_asset WHERE user_id = $1 AND asset_type = $2")
                    .bind(account.user_id.0)
                    .bind(i64::from(account.asset_type.0))
                    .fetch_optional(&self.pool())
                    .await
                    .map_err(error::of)?;
            Ok(row.map(|(balance, version)| Settled { balance: Amount(balance), version }))
        })
        .await
    }

    async fn accounts_of(&self, user: UserId) -> Result<Vec<(AssetType, Settled)>, Error> {
        self.within(self.settings.call_timeout, async move {
            let rows = sqlx::query(
                "SELECT user_id, asset_type, asset_cn, version FROM user_asset WHERE user_id = $1 ORDER BY asset_type",
            )
            .bind(user.0)
            .fetch_all(&self.pool())
            .await
            .map_err(error::of)?;
            rows.iter().map(|row| read_account(row).map(|(account, settled)| (account.asset_type, settled))).collect()
        })
        .await
    }

    async fn post(&self, batch: &[Posting]) -> Result<Posted, Error> {
        self.within(self.settings.batch_timeout, async move { post::post(self, batch).await }).await
    }

    async fn void(
        &self,
        payer: Account,
        event_id: &EventId,
        digest: ContentDigest,
        outcome: Option<&Outcome>,
        at_ms: EventTime,
    ) -> Result<(PostResult, Option<Settled>), Error> {
        self.within(self.settings.call_timeout, async move {
            post::void(self, Voided { payer, event_id, digest, outcome, at_ms }).await
        })
        .await
    }

    async fn event(&self, payer: UserId, event_id: &EventId) -> Result<Option<PostedEvent>, Error> {
        self.within(self.settings.call_timeout, async move { gate::event(&self.pool(), payer, event_id).await }).await
    }

    async fn known(&self, events: &[(UserId, EventId)]) -> Result<Vec<Option<KnownEvent>>, Error> {
        self.within(self.settings.call_timeout, async move {
            let asked: Vec<(UserId, &EventId)> = events.iter().map(|(payer, event_id)| (*payer, event_id)).collect();
            let known = gate::find(&self.pool(), &asked).await?;
            Ok(asked.iter().map(|(payer, event_id)| known.get(&Key::new(*payer, event_id.as_str())).copied()).collect())
        })
        .await
    }

    async fn records(
        &self,
        user: UserId,
        asset: Option<AssetType>,
        after: Option<&RecordCursor>,
        limit: usize,
    ) -> Result<(Vec<Record>, Option<RecordCursor>), Error> {
        self.within(
            self.settings.call_timeout,
            async move { records::page(&self.pool(), user, asset, after, limit).await },
        )
        .await
    }

    async fn differences(&self) -> Result<Vec<Difference>, Error> {
        self.within(self.settings.scan_timeout, async move { differences::all(self).await }).await
    }
}

// One look into the index for each: `OFFSET 0` keeps the planner from joining the whole table instead, which it takes to be cheaper
// because it does not see that each look needs one partition only.
const ACCOUNTS: &str = "SELECT stored.* FROM unnest($1::int8[], $2::int8[]) AS asked (user_id, asset_type) \
     CROSS JOIN LATERAL (SELECT user_id, asset_type, asset_cn, version FROM user_asset \
         WHERE user_id = asked.user_id AND asset_type = asked.asset_type OFFSET 0) AS stored";
const ACCOUNTS_LOCKED: &str = "SELECT stored.* FROM unnest($1::int8[], $2::int8[]) AS asked (user_id, asset_type) \
     CROSS JOIN LATERAL (SELECT user_id, asset_type, asset_cn, version FROM user_asset \
         WHERE user_id = asked.user_id AND asset_type = asked.asset_type OFFSET 0 FOR NO KEY UPDATE) AS stored";

/// Those of the accounts that exist.
pub(super) async fn accounts(
    db: impl PgExecutor<'_>,
    accounts: &[Account],
) -> Result<Vec<(Account, Settled)>, sqlx::Error> {
    fetch(db, ACCOUNTS, accounts.iter()).await
}

/// Those of the accounts that exist, locked in the order of a batch.
pub(super) async fn locked(
    db: impl PgExecutor<'_>,
    accounts: &[Account],
) -> Result<Vec<(Account, Settled)>, sqlx::Error> {
    let mut ordered: Vec<&Account> = accounts.iter().collect();
    ordered.sort_unstable_by_key(|account| (account.user_id.is_system(), **account));
    fetch(db, ACCOUNTS_LOCKED, ordered.into_iter()).await
}

async fn fetch(
    db: impl PgExecutor<'_>,
    sql: &'static str,
    accounts: impl Iterator<Item = &Account>,
) -> Result<Vec<(Account, Settled)>, sqlx::Error> {
    let (users, assets): (Vec<i64>, Vec<i64>) =
        accounts.map(|account| (account.user_id.0, i64::from(account.asset_type.0))).unzip();
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
