//! Reconcile: adding everything up, beside live traffic.
//!
//! The database is added up in one snapshot of its own. Cache, queue and database cannot be read at one moment, so an account is compared
//! only if the cache had it unchanged before and after the others were read; what moved is looked at again, and what never stood still is
//! counted as busy rather than called right or wrong.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::Error;
use crate::domain::{Account, Amount, Event, EventId, UserId};
use crate::ports::cache::{Cache, CachedAccount};
use crate::ports::db::{self, Difference};
use crate::ports::outbox::Outbox;
use crate::ports::queue::Queue;

/// How often accounts that moved are looked at again.
const ROUNDS_MAX: usize = 40;
/// How long they are given to come to rest.
const ROUND_WAIT: Duration = Duration::from_millis(50);

/// Events that the database is asked for at once; a decision.
const KNOWN_MAX: usize = 5_000;

/// What was added up, and what did not add up.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reconciliation {
    /// Cached accounts that were compared.
    pub accounts_checked: usize,
    /// Cached accounts that moved whenever they were looked at.
    pub accounts_busy: usize,
    /// Events that are accepted and not settled yet, those set aside included.
    pub events_on_their_way: usize,
    /// Empty if everything adds up.
    pub differences: Vec<Difference>,
}

/// Reads everything that has a part in the ledger.
pub struct Reconciler {
    /// Balances and holds.
    pub cache: Arc<dyn Cache>,
    /// The books.
    pub ledger: Arc<dyn db::Ledger>,
    /// Events that wait for another try or for an operator.
    pub deliveries: Arc<dyn db::Deliveries>,
    /// Events on their way to the queue; none if the cache's log is the queue's.
    pub outbox: Option<Arc<dyn Outbox>>,
    /// Events on their way from there.
    pub queue: Arc<dyn Queue>,
}

type Accounts = BTreeMap<Account, CachedAccount>;

impl Reconciler {
    /// Checks that every sum of the database is what it must be, and that what can be spent by the cache is what the database says less
    /// the events on their way. Changes nothing.
    ///
    /// # Errors
    /// If a backend does not answer.
    pub async fn reconcile(&self) -> Result<Reconciliation, Error> {
        let mut report = Reconciliation {
            accounts_checked: 0,
            accounts_busy: 0,
            events_on_their_way: 0,
            differences: self.ledger.differences().await?,
        };
        let mut open: Option<Vec<Account>> = None;
        let mut differing = Vec::new();
        for round in 0..ROUNDS_MAX {
            if round > 0 {
                tokio::time::sleep(ROUND_WAIT).await;
            }
            let before = self.cached(open.as_deref()).await?;
            let on_their_way = self.on_their_way().await?;
            report.events_on_their_way = on_their_way.events;
            let mut again = Vec::new();
            differing.clear();
            for (&account, &cached) in &before {
                match self.compare(account, cached, &on_their_way).await? {
                    Comparison::Equal => report.accounts_checked += 1,
                    Comparison::Moving => again.push(account),
                    Comparison::Differs(difference) => {
                        again.push(account);
                        differing.push(difference);
                    }
                }
            }
            report.accounts_busy = again.len().saturating_sub(differing.len());
            if again.is_empty() {
                break;
            }
            open = Some(again);
        }
        report.accounts_checked += differing.len();
        report.differences.append(&mut differing);
        Ok(report)
    }

    async fn cached(&self, only: Option<&[Account]>) -> Result<Accounts, Error> {
        let Some(only) = only else { return Ok(self.cache.accounts().await?.into_iter().collect()) };
        let mut accounts = Accounts::new();
        for &account in only {
            if let Some(cached) = self.cache.account(account).await? {
                accounts.insert(account, cached);
            }
        }
        Ok(accounts)
    }

    /// Events whose hold must be open: accepted, not known to the database.
    async fn on_their_way(&self) -> Result<OnTheirWay, Error> {
        // In the order in which events go on, so that none is missed between two looks.
        let relayed = match &self.outbox {
            Some(outbox) => outbox.pending().await.map_err(|e| Error::Unavailable(e.to_string()))?,
            None => Vec::new(),
        };
        let queued = self.queue.pending().await.map_err(|e| Error::Unavailable(e.to_string()))?;
        let waiting = self.deliveries.waiting().await?.into_iter().map(Arc::new);
        let mut held: HashMap<(UserId, EventId), Arc<Event>> = HashMap::new();
        for event in relayed.into_iter().chain(queued).chain(waiting) {
            if let Some(payer) = event.payer() {
                held.insert((payer, event.event_id.clone()), event);
            }
        }
        let (keys, events): (Vec<_>, Vec<_>) = held.into_iter().unzip();
        let mut known = Vec::with_capacity(keys.len());
        for some in keys.chunks(KNOWN_MAX) {
            known.extend(self.ledger.known(some).await?);
        }
        let mut amounts: HashMap<Account, i128> = HashMap::new();
        let mut count = 0;
        for (event, _) in events.iter().zip(known).filter(|(_, known)| known.is_none()) {
            let Some(held) = &event.held else { continue };
            *amounts.entry(held.payer).or_default() += i128::from(held.outcome.amount.0);
            count += 1;
        }
        Ok(OnTheirWay { events: count, amounts })
    }

    async fn compare(
        &self,
        account: Account,
        before: CachedAccount,
        on_their_way: &OnTheirWay,
    ) -> Result<Comparison, Error> {
        let settled = self.ledger.account(account).await?;
        let after = self.cache.account(account).await?;
        let Some(settled) = settled.filter(|settled| settled.version == before.settled.version) else {
            return Ok(Comparison::Moving);
        };
        if after != Some(before) {
            return Ok(Comparison::Moving);
        }
        let expected = i128::from(settled.balance.0) - on_their_way.amounts.get(&account).copied().unwrap_or_default();
        let spendable = i128::from(before.settled.balance.0) - i128::from(before.held.0);
        if spendable == expected {
            return Ok(Comparison::Equal);
        }
        let cache = Amount(i64::try_from(spendable).unwrap_or(i64::MIN));
        Ok(Comparison::Differs(Difference::Spendable { account, cache, database: expected.to_string() }))
    }
}

struct OnTheirWay {
    events: usize,
    amounts: HashMap<Account, i128>,
}

enum Comparison {
    Equal,
    Moving,
    Differs(Difference),
}
