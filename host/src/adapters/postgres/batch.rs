//! The statement that writes the books of a batch, and its parameters.
//!
//! An account's entries of a batch are one row, so a batch of a thousand gifts to one streamer adds one row of the streamer's and not a
//! thousand. They come summed up from here, as if all events were new, which nearly always is so; else the statement sums up those of the
//! new ones itself.

use std::borrow::Cow;
use std::collections::BTreeMap;

use sqlx::Row;
use sqlx::postgres::{PgExecutor, PgRow};

use crate::adapters::sql::columns::{signed, write_outcome};
use crate::domain::{Account, Amount, Part, Posting, UserId};
use crate::ports::cache::Settled;
use crate::ports::db::Error;

use super::error;
use super::ledger::asset_type;
use super::text::storable;

/// Events of a batch are fewer: an event's number is that of its batch and, in the lower 20 bits, its place in it.
pub(super) const BATCH_MAX: usize = 1 << 20;

const POST: &str = "WITH \
    batch AS MATERIALIZED (SELECT nextval('event_batch') << 20 AS base), \
    gate AS ( \
        INSERT INTO event (id, payer_id, biz_type, created_at, voided, event_id, digest, outcome, biz_id, obj_id, event_type, record) \
        SELECT base + place, payer_id, biz_type, created_at, false, event_id, digest, outcome, biz_id, obj_id, event_type, record \
        FROM batch, unnest($1::text[], $2::int8[], $3::int8[], $4::int8[], $5::bytea[], $6::bytea[], $7::text[], $8::text[], \
            $9::text[], $10::text[]) WITH ORDINALITY AS input (event_id, payer_id, biz_type, created_at, digest, outcome, biz_id, \
            obj_id, event_type, record, place) \
        ORDER BY event_id, payer_id \
        ON CONFLICT (event_id, payer_id) DO NOTHING RETURNING id, created_at), \
    new AS MATERIALIZED (SELECT (id - base)::int4 AS place, created_at FROM gate, batch), \
    whole AS MATERIALIZED (SELECT count(*) = cardinality($1) AS is_new FROM new), \
    input AS ( \
        SELECT user_id, asset_type, op_user_type, delta::numeric, touched_at, \
            ($18::int4[])[input.first:input.last] AS places, ($19::int8[])[input.first:input.last] AS deltas \
        FROM unnest($11::int8[], $12::int8[], $13::int2[], $14::text[], $15::int8[], $16::int4[], $17::int4[]) \
            AS input (user_id, asset_type, op_user_type, delta, touched_at, first, last)), \
    line AS MATERIALIZED ( \
        SELECT user_id, asset_type, op_user_type, delta, touched_at, places, deltas FROM input WHERE (SELECT is_new FROM whole) \
        UNION ALL \
        SELECT user_id, asset_type, op_user_type, sum(entry.delta), max(new.created_at), array_agg(place), array_agg(entry.delta) \
        FROM input CROSS JOIN LATERAL unnest(places, deltas) AS entry (place, delta) JOIN new USING (place) \
        WHERE NOT (SELECT is_new FROM whole) GROUP BY user_id, asset_type, op_user_type), \
    account AS ( \
        INSERT INTO user_asset AS stored (user_id, asset_type, asset_cn, version, created_at, updated_at) \
        SELECT user_id, asset_type, sum(delta)::int8, 1, max(touched_at), max(touched_at) FROM line \
        GROUP BY user_id, asset_type ORDER BY user_id < 0, user_id, asset_type \
        ON CONFLICT (user_id, asset_type) DO UPDATE SET asset_cn = stored.asset_cn + excluded.asset_cn, \
            version = stored.version + 1, updated_at = greatest(stored.updated_at, excluded.updated_at) \
        RETURNING user_id, asset_type, asset_cn, version), \
    written AS ( \
        INSERT INTO entries (user_id, asset_type, version, batch, op_user_type, places, deltas) \
        SELECT user_id, asset_type, account.version, base, op_user_type, places, deltas \
        FROM batch, line JOIN account USING (user_id, asset_type)) \
    SELECT (SELECT coalesce(array_agg(place), '{}') FROM new), \
        coalesce(array_agg(user_id), '{}'), coalesce(array_agg(asset_type), '{}'), \
        coalesce(array_agg(asset_cn), '{}'), coalesce(array_agg(version), '{}') FROM account";

/// Why a batch was not written.
pub(super) enum Fault {
    /// A sum does not fit in 64 bits.
    Overflow,
    /// What the server or the driver says.
    Sql(sqlx::Error),
    /// All else.
    Other(Error),
}

impl From<sqlx::Error> for Fault {
    fn from(fault: sqlx::Error) -> Self {
        if error::is_overflow(&fault) { Self::Overflow } else { Self::Sql(fault) }
    }
}

impl From<Error> for Fault {
    fn from(fault: Error) -> Self {
        Self::Other(fault)
    }
}

/// What became of the events that were tried.
pub(super) struct Written {
    /// Whether each was new.
    pub new: Vec<bool>,
    /// The accounts of the new ones.
    pub accounts: BTreeMap<Account, Settled>,
}

/// Writes what is new of different events, fewer than [`BATCH_MAX`].
pub(super) async fn write(db: impl PgExecutor<'_>, postings: &[&Posting]) -> Result<Written, Fault> {
    let (events, lines) = (Events::of(postings)?, Lines::of(postings)?);
    let row = sqlx::query(POST)
        .bind(&events.event_ids)
        .bind(&events.payers)
        .bind(&events.biz_types)
        .bind(&events.times)
        .bind(&events.digests)
        .bind(&events.outcomes)
        .bind(&events.biz_ids)
        .bind(&events.obj_ids)
        .bind(&events.event_types)
        .bind(&events.records)
        .bind(&lines.users)
        .bind(&lines.assets)
        .bind(&lines.parts)
        .bind(&lines.sums)
        .bind(&lines.times)
        .bind(&lines.firsts)
        .bind(&lines.lasts)
        .bind(&lines.places)
        .bind(&lines.deltas)
        .fetch_one(db)
        .await?;
    Ok(read(&row, postings.len())?)
}

/// The events, a column each.
#[derive(Default)]
struct Events<'a> {
    event_ids: Vec<&'a str>,
    payers: Vec<i64>,
    biz_types: Vec<i64>,
    times: Vec<i64>,
    digests: Vec<&'a [u8]>,
    outcomes: Vec<Option<Vec<u8>>>,
    biz_ids: Vec<Cow<'a, str>>,
    obj_ids: Vec<Cow<'a, str>>,
    event_types: Vec<Cow<'a, str>>,
    records: Vec<Cow<'a, str>>,
}

impl<'a> Events<'a> {
    fn of(postings: &[&'a Posting]) -> Result<Self, Error> {
        let mut events = Self::default();
        for posting in postings {
            events.event_ids.push(posting.event_id.as_str());
            events.payers.push(posting.payer.0);
            events.biz_types.push(i64::from(posting.biz_type));
            events.times.push(signed(posting.at_ms)?);
            events.digests.push(posting.digest.0.as_slice());
            events.outcomes.push(posting.outcome.as_ref().map(write_outcome).transpose()?);
            events.biz_ids.push(storable(&posting.biz_id));
            events.obj_ids.push(storable(&posting.obj_id));
            events.event_types.push(storable(&posting.event_type));
            events.records.push(storable(&posting.record_json));
        }
        Ok(events)
    }
}

/// The entries of the batch, a line for each account and part, a column each.
#[derive(Default)]
struct Lines {
    users: Vec<i64>,
    assets: Vec<i64>,
    parts: Vec<i16>,
    /// Numbers that may not fit in 64 bits, though the account's sum does.
    sums: Vec<String>,
    times: Vec<i64>,
    /// Where the line's places and deltas begin, from 1, and end.
    firsts: Vec<i32>,
    lasts: Vec<i32>,
    /// Of all lines, one after the other: the event's place in the batch, from 1, and how much.
    places: Vec<i32>,
    deltas: Vec<i64>,
}

/// One line.
#[derive(Default)]
struct Line {
    entries: Vec<(i32, i64)>,
    touched_at: i64,
}

impl Lines {
    fn of(postings: &[&Posting]) -> Result<Self, Error> {
        let mut lines: BTreeMap<(Account, Part), Line> = BTreeMap::new();
        for (place, posting) in (1_i32..).zip(postings) {
            let at = signed(posting.at_ms)?;
            for entry in &posting.entries {
                let line = lines.entry((entry.account, entry.part)).or_default();
                line.entries.push((place, entry.delta.0));
                line.touched_at = line.touched_at.max(at);
            }
        }
        let mut columns = Self::default();
        for ((account, part), line) in lines {
            columns.push(account, part, &line)?;
        }
        Ok(columns)
    }

    fn push(&mut self, account: Account, part: Part, line: &Line) -> Result<(), Error> {
        self.users.push(account.user_id.0);
        self.assets.push(i64::from(account.asset_type.0));
        self.parts.push(part as i16);
        self.times.push(line.touched_at);
        self.firsts.push(self.end()? + 1);
        self.places.extend(line.entries.iter().map(|(place, _)| place));
        self.deltas.extend(line.entries.iter().map(|(_, delta)| delta));
        self.sums.push(line.entries.iter().map(|(_, delta)| i128::from(*delta)).sum::<i128>().to_string());
        self.lasts.push(self.end()?);
        Ok(())
    }

    fn end(&self) -> Result<i32, Error> {
        i32::try_from(self.places.len()).map_err(|_| Error::Refused("a batch of too many entries".into()))
    }
}

fn read(row: &PgRow, tried: usize) -> Result<Written, sqlx::Error> {
    let places: Vec<i32> = row.try_get(0)?;
    let mut new = vec![false; tried];
    for place in places {
        let index = usize::try_from(place - 1).ok();
        if let Some(new) = index.and_then(|index| new.get_mut(index)) {
            *new = true;
        }
    }
    let (users, assets): (Vec<i64>, Vec<i64>) = (row.try_get(1)?, row.try_get(2)?);
    let (balances, versions): (Vec<i64>, Vec<i64>) = (row.try_get(3)?, row.try_get(4)?);
    let mut accounts = BTreeMap::new();
    for (((user, asset), balance), version) in users.into_iter().zip(assets).zip(balances).zip(versions) {
        let asset_type = asset_type(asset).map_err(|fault| sqlx::Error::Decode(fault.into()))?;
        accounts.insert(Account { user_id: UserId(user), asset_type }, Settled { balance: Amount(balance), version });
    }
    Ok(Written { new, accounts })
}
