//! Adding up the whole ledger in one snapshot. Runs beside live traffic; while it runs no row version that it may see is cleaned up.
//!
//! Every sum is numeric, so it has no bound.

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Row};

use crate::domain::{Account, Amount, UserId};
use crate::ports::db::{Difference, Error};

use super::ledger::asset_type;
use super::{Postgres, error, ms};

// Of each kind at most this many are listed: with more, the first of them tell enough.
const ASSET_SUMS: &str = "SELECT asset_type, sum(asset_cn)::numeric::text FROM user_asset \
     GROUP BY asset_type HAVING sum(asset_cn) <> 0 ORDER BY asset_type LIMIT 1000";

const EVENT_SUMS: &str = "SELECT asset_type, total::text, coalesce(event_id, '#' || wrong.event), coalesce(payer_id, 0) FROM ( \
         SELECT event, asset_type, sum(delta)::numeric AS total FROM entry GROUP BY event, asset_type \
     ) AS wrong LEFT JOIN event ON event.id = wrong.event \
     WHERE total <> 0 OR event.id IS NULL ORDER BY wrong.event, asset_type LIMIT 1000";

// One sort of everything: a join of the sums with the accounts would have no index to go by.
const ACCOUNT_SUMS: &str = "SELECT asset_type, sum(delta)::numeric::text, user_id, sum(asset_cn)::int8 FROM ( \
         SELECT user_id, asset_type, delta, 0::int8 AS asset_cn FROM entry \
         UNION ALL SELECT user_id, asset_type, 0, asset_cn FROM user_asset \
     ) AS lines GROUP BY user_id, asset_type HAVING sum(delta) <> sum(asset_cn) ORDER BY user_id, asset_type LIMIT 1000";

const BELOW_ZERO: &str = "SELECT asset_type, '', user_id, asset_cn FROM user_asset \
     WHERE asset_cn < 0 AND user_id <> $1 ORDER BY user_id, asset_type LIMIT 1000";

/// Everything that does not add up.
pub(super) async fn all(db: &Postgres) -> Result<Vec<Difference>, Error> {
    let begin = format!(
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL work_mem = '64MB'; SET LOCAL statement_timeout = {}",
        ms(db.settings.scan_timeout)
    );
    let mut snapshot = db.pool().begin_with(AssertSqlSafe(begin)).await.map_err(error::of)?;
    let mut found = Vec::new();
    for row in fetch(&mut snapshot, ASSET_SUMS).await? {
        found.push(Difference::AssetSum { asset_type: asset_type(get(&row, 0)?)?, sum: get(&row, 1)? });
    }
    for row in fetch(&mut snapshot, EVENT_SUMS).await? {
        found.push(Difference::EventSum {
            event_id: get(&row, 2)?,
            payer: UserId(get(&row, 3)?),
            asset_type: asset_type(get(&row, 0)?)?,
            sum: get(&row, 1)?,
        });
    }
    for row in fetch(&mut snapshot, ACCOUNT_SUMS).await? {
        let (account, balance) = account(&row)?;
        found.push(Difference::AccountSum { account, balance, records: get(&row, 1)? });
    }
    let below = sqlx::query(BELOW_ZERO).bind(UserId::MINT.0).fetch_all(&mut *snapshot).await.map_err(error::of)?;
    for row in below {
        let (account, balance) = account(&row)?;
        found.push(Difference::BelowZero { account, balance });
    }
    snapshot.rollback().await.map_err(error::of)?;
    Ok(found)
}

async fn fetch(connection: &mut PgConnection, sql: &'static str) -> Result<Vec<PgRow>, Error> {
    sqlx::query(sql).fetch_all(connection).await.map_err(error::of)
}

fn get<'r, T>(row: &'r PgRow, index: usize) -> Result<T, Error>
where
    T: sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    row.try_get(index).map_err(error::of)
}

fn account(row: &PgRow) -> Result<(Account, Amount), Error> {
    let user_id = UserId(get(row, 2)?);
    Ok((Account { user_id, asset_type: asset_type(get(row, 0)?)? }, Amount(get(row, 3)?)))
}
