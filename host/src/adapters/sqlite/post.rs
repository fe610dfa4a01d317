//! Writing the books: a batch of postings, or that an event will never be posted. Step 9 of the way of a gift.
//!
//! A batch reads what it touches, works out the result in [`Plan`], and writes it in a handful of statements, all in one
//! transaction on the only writing connection.

use std::collections::BTreeMap;

use sqlx::{Row, SqliteConnection};

use crate::adapters::sql::columns::{signed, write_outcome};
use crate::adapters::sql::plan::{Key, Plan, State};
use crate::domain::{Account, Amount, AssetType, ContentDigest, Entry, EventId, EventTime, Outcome, Posting, UserId};
use crate::ports::cache::Settled;
use crate::ports::db::{Error, PostResult, Posted};

use super::{Sqlite, bulk, error, gate, ledger};

/// Writes the postings that are new. See the port.
pub(super) async fn post(db: &Sqlite, batch: &[Posting]) -> Result<Posted, Error> {
    let mut tx = db.write().await?;
    let events: Vec<(UserId, &EventId)> = batch.iter().map(|posting| (posting.payer, &posting.event_id)).collect();
    let known = gate::find(&mut tx, &events).await?;
    let accounts = read_accounts(&mut tx, batch).await?;
    let plan = Plan::of(batch, known, accounts);
    if plan.fresh.is_empty() {
        tx.rollback().await;
    } else {
        let first = next_event(&mut tx).await?;
        write_events(&mut tx, first, &plan.fresh).await?;
        write_entries(&mut tx, first, &plan.fresh).await?;
        write_accounts(&mut tx, &plan.accounts).await?;
        tx.commit().await.map_err(error::of)?;
    }
    Ok(Posted { accounts: plan.settled(), results: plan.results })
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
pub(super) async fn void(db: &Sqlite, event: Voided<'_>) -> Result<(PostResult, Option<Settled>), Error> {
    let mut tx = db.write().await?;
    let payer = event.payer.user_id;
    let known = gate::find(&mut tx, &[(payer, event.event_id)]).await?;
    let settled = ledger::account(&mut tx, event.payer).await?;
    if let Some(gate) = known.get(&Key::new(payer, event.event_id.as_str())) {
        tx.rollback().await;
        return Ok((gate.repeated(event.digest), settled));
    }
    let id = next_event(&mut tx).await?;
    sqlx::query("INSERT INTO event VALUES (?, ?, ?, ?, 1, ?, '', 0, '', '', '{}', ?)")
        .bind(id)
        .bind(event.event_id.as_str())
        .bind(payer.0)
        .bind(event.digest.0.to_vec())
        .bind(event.outcome.map(write_outcome).transpose()?)
        .bind(signed(event.at_ms)?)
        .execute(&mut *tx)
        .await
        .map_err(error::of)?;
    tx.commit().await.map_err(error::of)?;
    Ok((PostResult::Posted, settled))
}

async fn read_accounts(
    connection: &mut SqliteConnection,
    batch: &[Posting],
) -> Result<BTreeMap<Account, State>, Error> {
    let mut accounts: Vec<Account> = batch.iter().flat_map(|p| &p.entries).map(|entry| entry.account).collect();
    accounts.sort_unstable();
    accounts.dedup();
    let mut states: BTreeMap<Account, State> = BTreeMap::new();
    for piece in bulk::pieces(&accounts) {
        let mut query = bulk::statement(
            "WITH asked (user_id, asset_type) AS (VALUES ",
            2,
            piece.len(),
            ") SELECT asked.user_id, asked.asset_type, asset_cn, version FROM asked CROSS JOIN user_asset \
             ON user_asset.user_id = asked.user_id AND user_asset.asset_type = asked.asset_type",
        );
        for account in piece {
            query = query.bind(account.user_id.0).bind(account.asset_type.0);
        }
        for row in query.fetch_all(&mut *connection).await.map_err(error::of)? {
            let user_id = UserId(row.try_get(0).map_err(error::of)?);
            let asset_type = AssetType(row.try_get(1).map_err(error::of)?);
            let balance = Amount(row.try_get(2).map_err(error::of)?);
            let settled = Settled { balance, version: row.try_get(3).map_err(error::of)? };
            states.insert(Account { user_id, asset_type }, State { settled, stored: true, touched_at: None });
        }
    }
    for account in accounts {
        states.entry(account).or_default();
    }
    Ok(states)
}

async fn next_event(connection: &mut SqliteConnection) -> Result<i64, Error> {
    sqlx::query_scalar("SELECT coalesce(max(id), 0) + 1 FROM event").fetch_one(connection).await.map_err(error::of)
}

async fn write_events(connection: &mut SqliteConnection, first: i64, fresh: &[&Posting]) -> Result<(), Error> {
    let mut id = first;
    for piece in bulk::pieces(fresh) {
        let mut query = bulk::statement("INSERT OR FAIL INTO event VALUES ", 12, piece.len(), "");
        for posting in piece {
            query = query
                .bind(id)
                .bind(posting.event_id.as_str())
                .bind(posting.payer.0)
                .bind(posting.digest.0.to_vec())
                .bind(false)
                .bind(posting.outcome.as_ref().map(write_outcome).transpose()?)
                .bind(posting.biz_id.as_str())
                .bind(posting.biz_type)
                .bind(posting.obj_id.as_str())
                .bind(posting.event_type.as_str())
                .bind(posting.record_json.as_str())
                .bind(signed(posting.at_ms)?);
            id = id.saturating_add(1);
        }
        query.execute(&mut *connection).await.map_err(error::of)?;
    }
    Ok(())
}

async fn write_entries(connection: &mut SqliteConnection, first: i64, fresh: &[&Posting]) -> Result<(), Error> {
    let entries: Vec<(i64, &Entry)> =
        (first..).zip(fresh).flat_map(|(id, posting)| posting.entries.iter().map(move |entry| (id, entry))).collect();
    for piece in bulk::pieces(&entries) {
        let mut query = bulk::statement("INSERT OR FAIL INTO entry VALUES ", 5, piece.len(), "");
        for (id, entry) in piece {
            query = query
                .bind(*id)
                .bind(entry.part as i16)
                .bind(entry.account.user_id.0)
                .bind(entry.account.asset_type.0)
                .bind(entry.delta.0);
        }
        query.execute(&mut *connection).await.map_err(error::of)?;
    }
    Ok(())
}

async fn write_accounts(connection: &mut SqliteConnection, accounts: &BTreeMap<Account, State>) -> Result<(), Error> {
    let touched: Vec<(&Account, &State, EventTime)> =
        accounts.iter().filter_map(|(account, state)| Some((account, state, state.touched_at?))).collect();
    for piece in bulk::pieces(&touched) {
        let mut query = bulk::statement(
            "INSERT OR FAIL INTO user_asset VALUES ",
            6,
            piece.len(),
            " ON CONFLICT DO UPDATE SET asset_cn = excluded.asset_cn, version = excluded.version, \
             updated_at = excluded.updated_at",
        );
        for (account, state, at_ms) in piece {
            let (after, at) = (state.after(), signed(*at_ms)?);
            query = query.bind(account.user_id.0).bind(account.asset_type.0).bind(after.balance.0);
            query = query.bind(after.version).bind(at).bind(at);
        }
        query.execute(&mut *connection).await.map_err(error::of)?;
    }
    Ok(())
}
