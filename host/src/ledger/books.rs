//! Post, void and credit: writing the books, then bringing the cache up to them. Step 9 of the way of a gift.
//!
//! The release that follows a post is idempotent. If a crash comes between the two, the event is delivered again, found to be a
//! duplicate, and released then.

use std::collections::BTreeMap;

use crate::domain::{Account, Amount, ContentDigest, Entry, Event, EventId, Outcome, Overflow, Part, Posting, UserId};
use crate::ports::cache::{Release, Remembered, Settled};
use crate::ports::db::{self, KnownEvent, PostResult};

use super::{Balance, Error, Kind, Ledger};

/// What became of a void.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Voided {
    /// Given back, now or before.
    Voided,
    /// It was posted before.
    AlreadyPosted,
}

/// A paid order that becomes value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credit {
    /// Unique among all recharges.
    pub event_id: EventId,
    /// Who gets it.
    pub account: Account,
    /// 1 or more.
    pub amount: Amount,
    /// Such as `orderApple`.
    pub event_type: String,
    /// The shop's order.
    pub order_id: String,
    /// The payment's transaction.
    pub transaction_id: String,
}

impl Ledger {
    /// The second phase: writes the books of a batch, each event exactly once, and brings the cache up to the database. One result for
    /// each posting. An event whose id is known with other content is not posted, and its hold is given back. Idempotent.
    ///
    /// # Errors
    /// If a posting is unbalanced (nothing is written then), or a backend does not answer (worth a retry with the same batch).
    pub async fn post(&self, batch: &[Posting]) -> Result<Vec<PostResult>, Error> {
        for posting in batch {
            posting.check().map_err(|fault| Error::Invalid(format!("event {}: {fault}", posting.event_id)))?;
        }
        let posted = self.db.post(batch).await?;
        self.tell_settled(batch, &posted.results);
        self.count_receivers(batch, &posted.results);
        let mut settled: BTreeMap<Account, Option<Settled>> =
            posted.accounts.into_iter().map(|(account, settled)| (account, Some(settled))).collect();
        let mut events: BTreeMap<Account, Vec<EventId>> = BTreeMap::new();
        for (posting, result) in batch.iter().zip(&posted.results) {
            // What cannot be posted stays held until an operator decides.
            if *result == PostResult::Overflow {
                continue;
            }
            for account in payer_accounts(posting) {
                events.entry(account).or_default().push(posting.event_id.clone());
                settled.entry(account).or_default();
            }
        }
        let releases = settled.into_iter().map(|(account, settled)| {
            report_overdraft(account, settled);
            Release { account, events: events.remove(&account).unwrap_or_default(), settled }
        });
        // An account that is not released although its cache is there seems poorer than it is until the batch comes again.
        self.cache.release(releases.collect()).await?;
        Ok(posted.results)
    }

    /// Tells those whose answers wait for these books.
    fn tell_settled(&self, batch: &[Posting], results: &[PostResult]) {
        let Some(awaited) = &self.awaited else { return };
        let known = |result: &PostResult, digest| match result {
            PostResult::Posted | PostResult::Duplicate => Some(KnownEvent { digest, voided: false }),
            PostResult::Voided => Some(KnownEvent { digest, voided: true }),
            // With which content the event is known is looked for.
            PostResult::Conflict | PostResult::Overflow => None,
        };
        awaited.tell(batch.iter().zip(results).filter_map(|(posting, result)| {
            Some(((posting.payer, posting.event_id.clone()), known(result, posting.digest)?))
        }));
    }

    fn count_receivers(&self, batch: &[Posting], results: &[PostResult]) {
        let posted = batch.iter().zip(results).filter(|(_, result)| **result == PostResult::Posted);
        let mut events: BTreeMap<UserId, u64> = BTreeMap::new();
        for entry in posted.flat_map(|(posting, _)| &posting.entries) {
            if entry.part == Part::Receiver && !entry.account.user_id.is_system() {
                *events.entry(entry.account.user_id).or_default() += 1;
            }
        }
        let now_ms = self.clock.now_ms();
        events.into_iter().for_each(|(user, events)| self.hot.count(Kind::Receiver, user.0, events, now_ms));
    }

    /// Gives a hold back; the event will never be posted. Idempotent; post and void exclude each other by the event's unique key in
    /// the database.
    ///
    /// # Errors
    /// `Invalid` if nobody knows the event; else only what is worth a retry.
    pub async fn void(&self, payer: Account, event_id: &EventId) -> Result<Voided, Error> {
        let (digest, outcome) = match self.cache.outcome(payer, event_id).await? {
            Remembered::Known(digest, outcome, position) => {
                self.cache.durable(position).await?;
                (digest, Some(outcome))
            }
            Remembered::Unknown | Remembered::Miss => match self.db.event(payer.user_id, event_id).await? {
                Some(event) => (event.digest, event.outcome),
                None => self.set_aside(payer, event_id).await?,
            },
        };
        let now_ms = self.clock.now_ms();
        let (result, settled) = self.db.void(payer, event_id, digest, outcome.as_ref(), now_ms).await?;
        let events = vec![event_id.clone()];
        self.cache.release(vec![Release { account: payer, events, settled }]).await?;
        match result {
            // What is known with other content keeps this one from ever being posted.
            PostResult::Posted | PostResult::Voided | PostResult::Conflict => Ok(Voided::Voided),
            PostResult::Duplicate => Ok(Voided::AlreadyPosted),
            PostResult::Overflow => Err(Error::Unavailable("a void was answered with an overflow".into())),
        }
    }

    /// What an event was answered with that waits for longer than the cache remembers.
    async fn set_aside(&self, payer: Account, event_id: &EventId) -> Result<(ContentDigest, Option<Outcome>), Error> {
        let waiting = self.deliveries.waiting_of(payer).await?;
        let held = waiting.into_iter().find(|event| event.event_id == *event_id).and_then(|event| event.held);
        let held = held.ok_or_else(|| Error::Invalid(format!("event {event_id}: there is no such hold")))?;
        Ok((held.digest, Some(held.outcome)))
    }

    /// Credits a paid order, balanced against the mint. The flag is true if it was done before.
    ///
    /// # Errors
    /// `Invalid` for an amount below 1, `Reused` for an event id with other content; else only what is worth a retry.
    pub async fn credit(&self, credit: &Credit) -> Result<(Balance, bool), Error> {
        if !credit.amount.is_positive() {
            return Err(Error::Invalid(format!("amount: {} must be 1 or more", credit.amount)));
        }
        let results = self.post(&[credit.posting(self.clock.now_ms())?]).await?;
        let replayed = match results.first() {
            Some(PostResult::Posted) => false,
            Some(PostResult::Duplicate) => true,
            Some(PostResult::Overflow) => return Err(Overflow.into()),
            _ => return Err(Error::Reused(credit.event_id.clone())),
        };
        Ok((self.balance(credit.account).await?, replayed))
    }
}

/// Those of the events whose holds are open: the database has neither posted nor voided them. For recovery, and before an account's
/// balance is read: what is settled after this is in the balance, too.
///
/// # Errors
/// If the database does not answer.
pub async fn unsettled(db: &dyn db::Ledger, waiting: Vec<Event>) -> Result<Vec<Event>, db::Error> {
    let (keys, events): (Vec<(UserId, EventId)>, Vec<Event>) =
        waiting.into_iter().filter_map(|event| Some(((event.payer()?, event.event_id.clone()), event))).unzip();
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let known = db.known(&keys).await?;
    Ok(events.into_iter().zip(known).filter(|(_, known)| known.is_none()).map(|(event, _)| event).collect())
}

impl Credit {
    fn posting(&self, now_ms: u64) -> Result<Posting, Error> {
        let mint = Account { user_id: UserId::MINT, asset_type: self.account.asset_type };
        let content =
            serde_json::json!([self.account, self.amount, self.event_type, self.order_id, self.transaction_id,]);
        Ok(Posting {
            event_id: self.event_id.clone(),
            payer: UserId::MINT,
            digest: ContentDigest::of("greenroom.credit", mint, content.to_string().as_bytes()),
            outcome: None,
            entries: vec![
                Entry { account: mint, part: Part::Payer, delta: self.amount.negated()? },
                Entry { account: self.account, part: Part::Receiver, delta: self.amount },
            ],
            biz_id: self.order_id.clone(),
            biz_type: 1,
            obj_id: self.transaction_id.clone(),
            event_type: self.event_type.clone(),
            record_json: "{}".into(),
            at_ms: now_ms,
        })
    }
}

fn payer_accounts(posting: &Posting) -> impl Iterator<Item = Account> {
    posting.entries.iter().filter(|entry| entry.part == Part::Payer).map(|entry| entry.account)
}

/// An acknowledged event is posted even if its payer's balance looks too low by then; that is an incident for people to look into.
fn report_overdraft(account: Account, settled: Option<Settled>) {
    let below = settled.filter(|settled| settled.balance < Amount::ZERO);
    if let Some(settled) = below.filter(|_| account.user_id != UserId::MINT) {
        metrics::counter!("greenroom_ledger_overdrafts_total").increment(1);
        tracing::error!(%account, balance = %settled.balance, "an account is below zero; it cannot spend until it is positive again");
    }
}
