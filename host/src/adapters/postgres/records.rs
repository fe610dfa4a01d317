//! A user's records, the last settled first, page by page.
//!
//! An account's versions follow each other in the order of their commits, because a transaction that makes one holds the account's
//! row until it ends. So a cursor is a place in each of the user's accounts, by version: what lies behind it is written for good,
//! however many hosts settle. Between accounts the page takes the entry of the newer event first.

use std::collections::{BTreeMap, VecDeque};

use sqlx::postgres::PgRow;
use sqlx::{PgPool, Row};

use crate::adapters::sql::columns::{at_most, read_event_id, read_part, unsigned};
use crate::domain::{Account, Amount, AssetType, UserId};
use crate::ports::db::{Error, Record, RecordCursor};

use super::error;
use super::ledger::asset_type;

const LIMIT_MAX: usize = 1_000;

// The version is compared alone, too: the event is not in the index.
const PAGE: &str = "SELECT line.version, line.event, line.op_user_type, place.asset_type, line.delta, event.event_id, event.payer_id, \
     event.biz_id, event.biz_type, event.obj_id, event.event_type, event.record, event.created_at \
     FROM unnest($2::int8[], $3::int8[], $4::int8[], $5::int2[]) AS place (asset_type, version, event, op_user_type) \
     CROSS JOIN LATERAL (SELECT version, event, op_user_type, delta FROM entry \
         WHERE entry.user_id = $1 AND entry.asset_type = place.asset_type \
         AND entry.version <= place.version \
         AND (entry.version, entry.event, entry.op_user_type) < (place.version, place.event, place.op_user_type) \
         ORDER BY version DESC, event DESC, op_user_type DESC LIMIT $6) AS line \
     JOIN event ON event.id = line.event \
     ORDER BY place.asset_type, line.version DESC, line.event DESC, line.op_user_type DESC";

/// A place in an account's records: everything less is behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    version: i64,
    event: i64,
    part: i16,
}

/// A place in each account, by asset.
type Places = BTreeMap<AssetType, Place>;

/// One page, and where the next one begins if there is more.
pub(super) async fn page(
    pool: &PgPool,
    user: UserId,
    asset: Option<AssetType>,
    after: Option<&RecordCursor>,
    limit: usize,
) -> Result<(Vec<Record>, Option<RecordCursor>), Error> {
    let limit = limit.clamp(1, LIMIT_MAX);
    let mut places = match after {
        Some(cursor) => read_places(cursor)?,
        None => newest(pool, user).await?,
    };
    places.retain(|of, _| asset.is_none_or(|asset| asset == *of));
    let mut lines = lines(pool, user, &places, limit.saturating_add(1)).await?;
    let mut records = Vec::with_capacity(limit);
    while records.len() < limit
        && let Some((place, record)) = take_newest(&mut lines)
    {
        places.insert(record.account.asset_type, place);
        records.push(record);
    }
    // An account of which all was shown has nothing behind its place.
    places.retain(|asset, _| lines.get(asset).is_some_and(|lines| !lines.is_empty()));
    Ok((records, (!places.is_empty()).then(|| write_places(&places))))
}

async fn newest(pool: &PgPool, user: UserId) -> Result<Places, Error> {
    let rows: Vec<(i64, i64)> = sqlx::query_as("SELECT asset_type, version FROM user_asset WHERE user_id = $1")
        .bind(user.0)
        .fetch_all(pool)
        .await
        .map_err(error::of)?;
    let place = |version: i64| Place { version: version.saturating_add(1), event: 0, part: 0 };
    rows.into_iter().map(|(asset, version)| Ok((asset_type(asset)?, place(version)))).collect()
}

type Lines = BTreeMap<AssetType, VecDeque<(Place, Record)>>;

async fn lines(pool: &PgPool, user: UserId, places: &Places, limit: usize) -> Result<Lines, Error> {
    let assets: Vec<i64> = places.keys().map(|asset| i64::from(asset.0)).collect();
    let versions: Vec<i64> = places.values().map(|place| place.version).collect();
    let events: Vec<i64> = places.values().map(|place| place.event).collect();
    let parts: Vec<i16> = places.values().map(|place| place.part).collect();
    let rows = sqlx::query(PAGE)
        .bind(user.0)
        .bind(assets)
        .bind(versions)
        .bind(events)
        .bind(parts)
        .bind(at_most(limit))
        .fetch_all(pool)
        .await
        .map_err(error::of)?;
    let mut lines = Lines::new();
    for row in &rows {
        let (place, record) = read(user, row)?;
        lines.entry(record.account.asset_type).or_default().push_back((place, record));
    }
    Ok(lines)
}

fn take_newest(lines: &mut Lines) -> Option<(Place, Record)> {
    let heads = lines.values_mut().filter(|lines| !lines.is_empty());
    heads.max_by_key(|lines| lines.front().map(|(place, _)| (place.event, place.part)))?.pop_front()
}

fn read_places(cursor: &RecordCursor) -> Result<Places, Error> {
    let place = |text: &str| {
        let (asset, place) = text.split_once(':')?;
        let mut numbers = place.splitn(3, '.');
        let version = numbers.next()?.parse().ok()?;
        let event = numbers.next()?.parse().ok()?;
        let part = numbers.next()?.parse().ok()?;
        Some((AssetType(asset.parse().ok()?), Place { version, event, part }))
    };
    let places: Option<Places> = cursor.0.split(',').map(place).collect();
    places.ok_or_else(|| Error::Refused(format!("`{}` is no cursor of this database", cursor.0)))
}

fn write_places(places: &Places) -> RecordCursor {
    let place =
        |(asset, place): (&AssetType, &Place)| format!("{asset}:{}.{}.{}", place.version, place.event, place.part);
    RecordCursor(places.iter().map(place).collect::<Vec<_>>().join(","))
}

fn read(user: UserId, row: &PgRow) -> Result<(Place, Record), Error> {
    let place = Place {
        version: row.try_get(0).map_err(error::of)?,
        event: row.try_get(1).map_err(error::of)?,
        part: row.try_get(2).map_err(error::of)?,
    };
    let biz_type: i64 = row.try_get(8).map_err(error::of)?;
    let record = Record {
        event_id: read_event_id(row.try_get(5).map_err(error::of)?)?,
        payer: UserId(row.try_get(6).map_err(error::of)?),
        part: read_part(i64::from(place.part))?,
        account: Account { user_id: user, asset_type: asset_type(row.try_get(3).map_err(error::of)?)? },
        delta: Amount(row.try_get(4).map_err(error::of)?),
        biz_id: row.try_get(7).map_err(error::of)?,
        biz_type: u32::try_from(biz_type)
            .map_err(|_| crate::adapters::sql::columns::corrupt(format_args!("biz_type {biz_type}")))?,
        obj_id: row.try_get(9).map_err(error::of)?,
        event_type: row.try_get(10).map_err(error::of)?,
        record_json: row.try_get(11).map_err(error::of)?,
        at_ms: unsigned(row.try_get(12).map_err(error::of)?)?,
    };
    Ok((place, record))
}
