//! A user's records, newest first, page by page.
//!
//! The order is that of settling, not of acceptance: an event that settles late would otherwise slip into a page that was
//! already read. New records get greater numbers, so what lies behind a cursor never changes.

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use crate::adapters::sql::columns::{read_event_id, read_part, unsigned};
use crate::domain::{Account, Amount, AssetType, UserId};
use crate::ports::db::{Error, Record, RecordCursor};

use super::error;

const LIMIT_MAX: usize = 1_000;

const PAGE: &str = "SELECT entry.event, entry.op_user_type, entry.asset_type, entry.delta, event.event_id, event.payer_id, \
     event.biz_id, event.biz_type, event.obj_id, event.event_type, event.record, event.created_at \
     FROM entry INDEXED BY entry_by_user JOIN event ON event.id = entry.event \
     WHERE entry.user_id = ?1 AND (entry.event, entry.op_user_type, entry.asset_type) < (?2, ?3, ?4) \
     AND (?5 IS NULL OR entry.asset_type = ?5) \
     ORDER BY entry.event DESC, entry.op_user_type DESC, entry.asset_type DESC LIMIT ?6";

/// Where a page ended: the last record's place in the index.
#[derive(Clone, Copy)]
struct Place {
    event: i64,
    part: i64,
    asset_type: i64,
}

/// One page, and where the next one begins if there is more.
pub(super) async fn page(
    connection: &mut SqliteConnection,
    user: UserId,
    asset: Option<AssetType>,
    after: Option<&RecordCursor>,
    limit: usize,
) -> Result<(Vec<Record>, Option<RecordCursor>), Error> {
    let limit = limit.clamp(1, LIMIT_MAX);
    let start = after.map_or(Ok(Place::NEWEST), Place::of)?;
    let one_more = i64::try_from(limit.saturating_add(1)).unwrap_or(i64::MAX);
    let rows = sqlx::query(PAGE)
        .bind(user.0)
        .bind(start.event)
        .bind(start.part)
        .bind(start.asset_type)
        .bind(asset.map(|asset| asset.0))
        .bind(one_more)
        .fetch_all(connection)
        .await
        .map_err(error::of)?;
    let shown = rows.get(..limit).unwrap_or(&rows);
    let records = shown.iter().map(|row| read(user, row)).collect::<Result<_, _>>()?;
    let next = match shown.last() {
        Some(last) if rows.len() > limit => Some(Place::at(last)?.cursor()),
        _ => None,
    };
    Ok((records, next))
}

impl Place {
    const NEWEST: Place = Place { event: i64::MAX, part: i64::MAX, asset_type: i64::MAX };

    fn of(cursor: &RecordCursor) -> Result<Self, Error> {
        let numbers: Option<Vec<i64>> = cursor.0.split('.').map(|number| number.parse().ok()).collect();
        match numbers.as_deref() {
            Some(&[event, part, asset_type]) => Ok(Self { event, part, asset_type }),
            _ => Err(Error::Refused(format!("`{}` is no cursor of this database", cursor.0))),
        }
    }

    fn at(row: &SqliteRow) -> Result<Self, Error> {
        Ok(Self {
            event: row.try_get(0).map_err(error::of)?,
            part: row.try_get(1).map_err(error::of)?,
            asset_type: row.try_get(2).map_err(error::of)?,
        })
    }

    fn cursor(self) -> RecordCursor {
        RecordCursor(format!("{}.{}.{}", self.event, self.part, self.asset_type))
    }
}

fn read(user: UserId, row: &SqliteRow) -> Result<Record, Error> {
    let event_id: &str = row.try_get(4).map_err(error::of)?;
    Ok(Record {
        event_id: read_event_id(event_id)?,
        payer: UserId(row.try_get(5).map_err(error::of)?),
        part: read_part(row.try_get(1).map_err(error::of)?)?,
        account: Account { user_id: user, asset_type: AssetType(row.try_get(2).map_err(error::of)?) },
        delta: Amount(row.try_get(3).map_err(error::of)?),
        biz_id: row.try_get(6).map_err(error::of)?,
        biz_type: row.try_get(7).map_err(error::of)?,
        obj_id: row.try_get(8).map_err(error::of)?,
        event_type: row.try_get(9).map_err(error::of)?,
        record_json: row.try_get(10).map_err(error::of)?,
        at_ms: unsigned(row.try_get(11).map_err(error::of)?)?,
    })
}
