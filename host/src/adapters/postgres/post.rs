//! Writing the books: a batch of postings, or that an event will never be posted. Step 9 of the way of a gift.
//!
//! A batch is one [statement](super::batch), so one round trip (beside the pool's look at the connection) and one transaction: it lets in
//! the events that are new, in the order of their ids; adds up the entries of just those; changes each account once, in ascending
//! order; and writes the entries with the versions that the accounts got. Every poster takes its locks in that order, gates and then
//! accounts, so posters wait for each other but never in a circle. The system's accounts come after everybody's: every batch touches
//! them, so they are held the shortest.
//!
//! Deltas are added by the database, so a batch needs no balance before it. If a sum does not fit in 64 bits the statement fails as a
//! whole, and the batch is posted [`exactly`]: its accounts are read and locked first, the events at fault are left out. That is a
//! rare way, and the only one that takes accounts before gates; a deadlock there is noticed by the server and begun again.

use std::collections::{BTreeMap, HashMap};

use futures::future::BoxFuture;

use crate::adapters::sql::columns::{signed, write_outcome};
use crate::adapters::sql::plan::{Key, Plan, State, decide};
use crate::domain::{Account, ContentDigest, EventId, EventTime, Outcome, Posting, UserId};
use crate::ports::cache::Settled;
use crate::ports::db::{Error, PostResult, Posted};

use super::batch::{BATCH_MAX, Fault, Written, write};
use super::ledger::{accounts, locked};
use super::{Postgres, error, gate};

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
    let mut attempts = db.attempts();
    let written = loop {
        match write(&db.pool(), &tried).await {
            Ok(written) => break written,
            Err(Fault::Overflow) => return exactly(db, batch).await,
            Err(Fault::Sql(fault)) if attempts.again(&fault).await => {}
            Err(Fault::Sql(fault)) => return Err(error::of(fault)),
            Err(Fault::Other(fault)) => return Err(fault),
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
            Ok(posted) => return Ok(posted),
            // A sum of deltas may be too great although the balance after it is not; and another host may have been faster.
            Err(Fault::Overflow) => return halves(db, batch).await,
            Err(Fault::Sql(fault)) if attempts.again(&fault).await => {}
            Err(Fault::Sql(fault)) => return Err(error::of(fault)),
            Err(Fault::Other(fault)) => return Err(fault),
        }
    }
}

async fn try_exactly(db: &Postgres, batch: &[Posting]) -> Result<Posted, Fault> {
    let mut tx = db.pool().begin().await?;
    let all = accounts_of(batch);
    let mut states: BTreeMap<Account, State> = all.iter().map(|account| (*account, State::default())).collect();
    for (account, settled) in locked(&mut *tx, &all).await? {
        states.insert(account, State { settled, stored: true, touched_at: None });
    }
    let events: Vec<(UserId, &EventId)> = batch.iter().map(|posting| (posting.payer, &posting.event_id)).collect();
    let known = gate::find(&mut *tx, &events).await?;
    let plan = Plan::of(batch, known, states);
    let mut all: BTreeMap<Account, Settled> = plan.settled().into_iter().collect();
    if !plan.fresh.is_empty() {
        let written = match write(&mut *tx, &plan.fresh).await {
            Ok(written) => written,
            Err(fault) => {
                // With a connection that is lost it is rolled back as well.
                let _ = tx.rollback().await;
                return Err(fault);
            }
        };
        if written.new.contains(&false) {
            tx.rollback().await?;
            return Err(Error::Unavailable("another host posts the same events".into()).into());
        }
        all.extend(written.accounts);
    }
    tx.commit().await?;
    Ok(Posted { accounts: all.into_iter().collect(), results: plan.results })
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
