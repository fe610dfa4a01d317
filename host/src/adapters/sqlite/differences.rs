//! Adding up the whole ledger in one snapshot. Runs beside live traffic; while it runs the write-ahead log cannot be emptied.
//!
//! SQLite's sums are 64-bit and fail when they overflow, so each sum is made of two: of the upper halves and of the lower
//! halves of the numbers, put together in 128 bits here.

use sqlx::sqlite::SqliteRow;
use sqlx::{Connection, Row, SqliteConnection};

use crate::domain::{Account, Amount, AssetType, UserId};
use crate::ports::db::{Difference, Error};

use super::{Sqlite, error};

// Of each kind at most this many are listed: with more, the first of them tell enough.
const ASSET_SUMS: &str = "SELECT asset_type, sum(asset_cn >> 32) AS high, sum(asset_cn & 4294967295) AS low \
     FROM user_asset GROUP BY asset_type \
     HAVING low & 4294967295 <> 0 OR high + (low >> 32) <> 0 ORDER BY asset_type LIMIT 1000";

const EVENT_SUMS: &str = "SELECT asset_type, high, low, coalesce(event_id, '#' || wrong.event), coalesce(payer_id, 0) FROM ( \
         SELECT event, asset_type, sum(delta >> 32) AS high, sum(delta & 4294967295) AS low \
         FROM entry GROUP BY event, asset_type \
         HAVING low & 4294967295 <> 0 OR high + (low >> 32) <> 0 OR event NOT IN (SELECT id FROM event) \
         ORDER BY event, asset_type LIMIT 1000 \
     ) AS wrong LEFT JOIN event ON event.id = wrong.event ORDER BY wrong.event, asset_type";

const ACCOUNT_SUMS: &str = "SELECT asset_type, coalesce(high, 0), coalesce(low, 0), user_id, coalesce(asset_cn, 0) \
     FROM user_asset FULL JOIN ( \
         SELECT user_id, asset_type, sum(delta >> 32) AS high, sum(delta & 4294967295) AS low \
         FROM entry GROUP BY user_id, asset_type \
     ) USING (user_id, asset_type) \
     WHERE coalesce(low, 0) & 4294967295 <> coalesce(asset_cn, 0) & 4294967295 \
        OR coalesce(high, 0) + (coalesce(low, 0) >> 32) <> coalesce(asset_cn, 0) >> 32 \
     ORDER BY user_id, asset_type LIMIT 1000";

const BELOW_ZERO: &str = "SELECT asset_type, 0, 0, user_id, asset_cn FROM user_asset \
     WHERE asset_cn < 0 AND user_id <> ? ORDER BY user_id, asset_type LIMIT 1000";

/// Everything that does not add up.
pub(super) async fn all(db: &Sqlite) -> Result<Vec<Difference>, Error> {
    let mut connection = db.read().await?;
    let mut snapshot = connection.begin().await.map_err(error::of)?;
    let mut found = Vec::new();
    for row in fetch(&mut snapshot, ASSET_SUMS).await? {
        found.push(Difference::AssetSum { asset_type: asset_type(&row)?, sum: sum(&row)?.to_string() });
    }
    for row in fetch(&mut snapshot, EVENT_SUMS).await? {
        found.push(Difference::EventSum {
            event_id: row.try_get(3).map_err(error::of)?,
            payer: UserId(row.try_get(4).map_err(error::of)?),
            asset_type: asset_type(&row)?,
            sum: sum(&row)?.to_string(),
        });
    }
    for row in fetch(&mut snapshot, ACCOUNT_SUMS).await? {
        let (account, balance) = account(&row)?;
        found.push(Difference::AccountSum { account, balance, records: sum(&row)?.to_string() });
    }
    let below = sqlx::query(BELOW_ZERO).bind(UserId::MINT.0).fetch_all(&mut *snapshot).await.map_err(error::of)?;
    for row in below {
        let (account, balance) = account(&row)?;
        found.push(Difference::BelowZero { account, balance });
    }
    Ok(found)
}

async fn fetch(connection: &mut SqliteConnection, sql: &'static str) -> Result<Vec<SqliteRow>, Error> {
    sqlx::query(sql).fetch_all(connection).await.map_err(error::of)
}

fn asset_type(row: &SqliteRow) -> Result<AssetType, Error> {
    Ok(AssetType(row.try_get(0).map_err(error::of)?))
}

fn sum(row: &SqliteRow) -> Result<i128, Error> {
    let high: i64 = row.try_get(1).map_err(error::of)?;
    let low: i64 = row.try_get(2).map_err(error::of)?;
    Ok((i128::from(high) << 32) + i128::from(low))
}

fn account(row: &SqliteRow) -> Result<(Account, Amount), Error> {
    let user_id = UserId(row.try_get(3).map_err(error::of)?);
    let balance = Amount(row.try_get(4).map_err(error::of)?);
    Ok((Account { user_id, asset_type: asset_type(row)? }, balance))
}
