//! Writing the books: a batch of postings, or that an event will never be posted. Step 9 of the way of a gift.
//!
//! A batch is one statement, so one round trip (beside the pool's look at the connection) and one transaction: it lets in the events that are new, in the order of their
//! ids; sums the entries of just those by account; changes each account once, in ascending order; and writes the entries with the
//! versions that the accounts got. Every poster takes its locks in that order, gates and then accounts, so posters wait for each
//! other but never in a circle. The system's accounts come after everybody's: every batch touches them, so they are held the
//! shortest.
//!
//! Deltas are added by the database, so a batch needs no balance before it. If a sum does not fit in 64 bits the statement fails as a
//! whole, and the batch is posted [`exactly`]: its accounts are read and locked first, the events at fault are left out. That is a
//! rare way, and the only one that takes accounts before gates; a deadlock there is noticed by the server and begun again.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use futures::future::BoxFuture;
use sqlx::Row;
use sqlx::postgres::{PgExecutor, PgRow};

use crate::adapters::sql::columns::{signed, write_outcome};
use crate::adapters::sql::plan::{Key, Plan, State, decide};
use crate::domain::{Account, Amount, ContentDigest, EventId, EventTime, Outcome, Posting, UserId};
use crate::ports::cache::Settled;
use crate::ports::db::{Error, PostResult, Posted};

use super::ledger::{accounts, asset_type, locked};
use super::text::storable;
use super::{Postgres, error, gate};

// An event's number is that of its batch and, in the lower 20 bits, its place in it.
const BATCH_MAX: usize = 1 << 20;

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
    line AS MATERIALIZED ( \
        SELECT gate.id, gate.created_at, input.* FROM batch CROSS JOIN gate \
        JOIN unnest($11::int8[], $12::int8[], $13::int8[], $14::int8[], $15::int2[]) \
            AS input (place, user_id, asset_type, delta, op_user_type) ON input.place = gate.id - batch.base), \
    account AS ( \
        INSERT INTO user_asset AS stored (user_id, asset_type, asset_cn, version, created_at, updated_at) \
        SELECT user_id, asset_type, sum(delta)::int8, 1, max(created_at), max(created_at) FROM line \
        GROUP BY user_id, asset_type ORDER BY user_id < 0, user_id, asset_type \
        ON CONFLICT (user_id, asset_type) DO UPDATE SET asset_cn = stored.asset_cn + excluded.asset_cn, \
            version = stored.version + 1, updated_at = greatest(stored.updated_at, excluded.updated_at) \
        RETURNING user_id, asset_type, asset_cn, version), \
    written AS ( \
        INSERT INTO entry (user_id, asset_type, version, event, delta, op_user_type) \
        SELECT user_id, asset_type, account.version, line.id, line.delta, line.op_user_type \
        FROM line JOIN account USING (user_id, asset_type)) \
    SELECT (SELECT coalesce(array_agg(gate.id - batch.base), '{}') FROM gate, batch), \
        coalesce(array_agg(user_id), '{}'), coalesce(array_agg(asset_type), '{}'), \
        coalesce(array_agg(asset_cn), '{}'), coalesce(array_agg(version), '{}') FROM account";

/// What became of the events that were tried.
struct Written {
    /// Whether each was new.
    new: Vec<bool>,
    /// The accounts of the new ones.
    accounts: BTreeMap<Account, Settled>,
}

/// Writes the postings that are new. See the port.
pub(super) async fn post(db: &Postgres, batch: &[Posting]) -> Result<Posted, Error> {
    if batch.len() >= BATCH_MAX {
        return Err(Error::Refused(format!("a batch of {} events", batch.len())));
    }
    let mut tried = Vec::with_capacity(batch.len());
    let first = decide(batch, HashMap::new(), |posting| {
        tried.push(posting);
        PostResult::Posted
    });
    if tried.is_empty() {
        return Ok(Posted { results: first, accounts: Vec::new() });
    }
    let input = Input::of(&tried)?;
    let mut attempts = db.attempts();
    let written = loop {
        match write(&db.pool(), &input).await {
            Ok(written) => break written,
            Err(fault) if error::is_overflow(&fault) => return exactly(db, batch).await,
            Err(fault) if attempts.again(&fault).await => {}
            Err(fault) => return Err(error::of(fault)),
        }
    };
    if written.new.iter().all(|new| *new) {
        return Ok(Posted { results: first, accounts: written.accounts.into_iter().collect() });
    }
    repeated(db, batch, &tried, written).await
}

/// The answer for a batch with events that the database knew: what it knows of them, and their accounts.
async fn repeated(db: &Postgres, batch: &[Posting], tried: &[&Posting], written: Written) -> Result<Posted, Error> {
    let old = tried.iter().zip(&written.new).filter(|(_, new)| !**new).map(|(posting, _)| *posting);
    let events: Vec<(UserId, &EventId)> = old.map(|posting| (posting.payer, &posting.event_id)).collect();
    // The gate was closed by a transaction that has ended, so this statement sees it.
    let known = gate::find(&db.pool(), &events).await?;
    if known.len() != events.len() {
        return Err(Error::Unavailable("an event is gone that was there".into()));
    }
    let results = decide(batch, known, |_| PostResult::Posted);
    let mut all = written.accounts;
    let others: Vec<Account> = accounts_of(batch).into_iter().filter(|account| !all.contains_key(account)).collect();
    all.extend(accounts(&db.pool(), &others).await.map_err(error::of)?);
    Ok(Posted { results, accounts: all.into_iter().collect() })
}

/// Posts a batch with a balance that does not fit in 64 bits: all but the events at fault.
async fn exactly(db: &Postgres, batch: &[Posting]) -> Result<Posted, Error> {
    let mut attempts = db.attempts();
    loop {
        match try_exactly(db, batch).await {
            Ok(posted) => return posted,
            // A sum of deltas may be too great although the balance after it is not; and another host may have been faster.
            Err(fault) if error::is_overflow(&fault) => return halves(db, batch).await,
            Err(fault) if attempts.again(&fault).await => {}
            Err(fault) => return Err(error::of(fault)),
        }
    }
}

async fn try_exactly(db: &Postgres, batch: &[Posting]) -> Result<Result<Posted, Error>, sqlx::Error> {
    let mut tx = db.pool().begin().await?;
    let all = accounts_of(batch);
    let mut states: BTreeMap<Account, State> = all.iter().map(|account| (*account, State::default())).collect();
    for (account, settled) in locked(&mut *tx, &all).await? {
        states.insert(account, State { settled, stored: true, touched_at: None });
    }
    let events: Vec<(UserId, &EventId)> = batch.iter().map(|posting| (posting.payer, &posting.event_id)).collect();
    let known = match gate::find(&mut *tx, &events).await {
        Ok(known) => known,
        Err(fault) => return Ok(Err(fault)),
    };
    let plan = Plan::of(batch, known, states);
    let mut all: BTreeMap<Account, Settled> = plan.settled().into_iter().collect();
    if !plan.fresh.is_empty() {
        let input = match Input::of(&plan.fresh) {
            Ok(input) => input,
            Err(fault) => return Ok(Err(fault)),
        };
        let written = write(&mut *tx, &input).await?;
        if written.new.contains(&false) {
            tx.rollback().await?;
            return Ok(Err(Error::Unavailable("another host posts the same events".into())));
        }
        all.extend(written.accounts);
    }
    tx.commit().await?;
    Ok(Ok(Posted { accounts: all.into_iter().collect(), results: plan.results }))
}

/// Posts one half after the other; an event alone that does not fit is refused.
fn halves<'a>(db: &'a Postgres, batch: &'a [Posting]) -> BoxFuture<'a, Result<Posted, Error>> {
    Box::pin(async move {
        let (one, other) = batch.split_at(batch.len() / 2);
        if one.is_empty() {
            let known = accounts(&db.pool(), &accounts_of(batch)).await.map_err(error::of)?;
            return Ok(Posted { results: vec![PostResult::Overflow], accounts: known });
        }
        let (one, other) = (post(db, one).await?, post(db, other).await?);
        let mut all: BTreeMap<Account, Settled> = one.accounts.into_iter().collect();
        all.extend(other.accounts);
        Ok(Posted { results: [one.results, other.results].concat(), accounts: all.into_iter().collect() })
    })
}

/// An event that is not to be posted.
pub(super) struct Voided<'a> {
    pub payer: Account,
    pub event_id: &'a EventId,
    pub digest: ContentDigest,
    pub outcome: Option<&'a Outcome>,
    pub at_ms: EventTime,
}

/// Closes the gate of an event that was not posted. See the port.
pub(super) async fn void(db: &Postgres, event: Voided<'_>) -> Result<(PostResult, Option<Settled>), Error> {
    let payer = event.payer.user_id;
    let outcome = event.outcome.map(write_outcome).transpose()?;
    let mut attempts = db.attempts();
    let made = loop {
        let made = sqlx::query(
            "INSERT INTO event (id, payer_id, biz_type, created_at, voided, event_id, digest, outcome, biz_id, obj_id, event_type, \
             record) VALUES (nextval('event_batch') << 20, $1, 0, $2, true, $3, $4, $5, '', '', '', '{}') \
             ON CONFLICT (event_id, payer_id) DO NOTHING",
        )
        .bind(payer.0)
        .bind(signed(event.at_ms)?)
        .bind(event.event_id.as_str())
        .bind(event.digest.0.as_slice())
        .bind(outcome.as_deref())
        .execute(&db.pool())
        .await;
        match made {
            Ok(made) => break made.rows_affected() > 0,
            Err(fault) if attempts.again(&fault).await => {}
            Err(fault) => return Err(error::of(fault)),
        }
    };
    let result = if made {
        PostResult::Posted
    } else {
        let known = gate::find(&db.pool(), &[(payer, event.event_id)]).await?;
        let gate = known.get(&Key::new(payer, event.event_id.as_str()));
        gate.ok_or_else(|| Error::Unavailable("an event is gone that was there".into()))?.repeated(event.digest)
    };
    let settled = accounts(&db.pool(), &[event.payer]).await.map_err(error::of)?;
    Ok((result, settled.first().map(|(_, settled)| *settled)))
}

/// Each account of the batch once, in ascending order.
fn accounts_of(batch: &[Posting]) -> Vec<Account> {
    let mut accounts: Vec<Account> = batch.iter().flat_map(|p| &p.entries).map(|entry| entry.account).collect();
    accounts.sort_unstable();
    accounts.dedup();
    accounts
}

/// The parameters of [`POST`]: a column each.
#[derive(Default)]
struct Input<'a> {
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
    places: Vec<i64>,
    users: Vec<i64>,
    assets: Vec<i64>,
    deltas: Vec<i64>,
    parts: Vec<i16>,
}

impl<'a> Input<'a> {
    fn of(postings: &[&'a Posting]) -> Result<Self, Error> {
        let mut input = Self::default();
        for (place, posting) in (1_i64..).zip(postings) {
            input.event_ids.push(posting.event_id.as_str());
            input.payers.push(posting.payer.0);
            input.biz_types.push(i64::from(posting.biz_type));
            input.times.push(signed(posting.at_ms)?);
            input.digests.push(posting.digest.0.as_slice());
            input.outcomes.push(posting.outcome.as_ref().map(write_outcome).transpose()?);
            input.biz_ids.push(storable(&posting.biz_id));
            input.obj_ids.push(storable(&posting.obj_id));
            input.event_types.push(storable(&posting.event_type));
            input.records.push(storable(&posting.record_json));
            for entry in &posting.entries {
                input.places.push(place);
                input.users.push(entry.account.user_id.0);
                input.assets.push(i64::from(entry.account.asset_type.0));
                input.deltas.push(entry.delta.0);
                input.parts.push(entry.part as i16);
            }
        }
        Ok(input)
    }
}

async fn write(db: impl PgExecutor<'_>, input: &Input<'_>) -> Result<Written, sqlx::Error> {
    let row = sqlx::query(POST)
        .bind(&input.event_ids)
        .bind(&input.payers)
        .bind(&input.biz_types)
        .bind(&input.times)
        .bind(&input.digests)
        .bind(&input.outcomes)
        .bind(&input.biz_ids)
        .bind(&input.obj_ids)
        .bind(&input.event_types)
        .bind(&input.records)
        .bind(&input.places)
        .bind(&input.users)
        .bind(&input.assets)
        .bind(&input.deltas)
        .bind(&input.parts)
        .fetch_one(db)
        .await?;
    read(&row, input.event_ids.len())
}

fn read(row: &PgRow, tried: usize) -> Result<Written, sqlx::Error> {
    let places: Vec<i64> = row.try_get(0)?;
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
