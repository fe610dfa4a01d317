//! One bucket: everything that belongs to some users and some shards, behind one lock, changed in atomic steps.
//!
//! A step looks, decides, changes the key space with an undo list, appends to the journal, and then changes accounts and outcomes,
//! which cannot fail. The append happens while the bucket is locked, so the journal has a bucket's steps in the order they were made.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::journal::{Journal, Refused};
use super::super::key_space::{KeyCopy, Made, Refusal, ShardKeys, expiry};
use super::super::queue::log::{Change, Log};
use super::super::record::{self, Effect, EventRecord, Record};
use super::accounts::{Accounts, Lifetimes, Lookup};
use super::outcomes::Outcomes;
use crate::domain::{Account, Amount, Event, Held, Outcome};
use crate::ports::cache::{Commit, CommitResult, Error, Hold, HoldResult, Lease, Position, Settled, Shard, Write};

/// How long a key of `once` is remembered: a day, as the port promises.
const ONCE_MS: u32 = 86_400_000;

/// See the module's text.
#[derive(Debug)]
pub(super) struct Bucket {
    pub(super) accounts: Accounts,
    pub(super) outcomes: Outcomes,
    pub(super) shards: HashMap<Shard, ShardKeys>,
    /// The latest time that a step has told; what the sweep goes by.
    pub(super) now_ms: u64,
}

/// What a step needs of the outside.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outside<'a> {
    pub(super) journal: &'a Journal,
    pub(super) log: &'a Log,
}

/// What has changed in one shard since the last checkpoint.
#[derive(Debug)]
pub(in super::super) struct ShardCopy {
    pub(in super::super) shard: Shard,
    pub(in super::super) keys: Vec<KeyCopy>,
    pub(in super::super) once: Vec<(Arc<str>, u64)>,
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Full(what) => Error::Full(what),
            Refused::Unavailable(reason) => Error::Unavailable(reason),
        }
    }
}

impl Outside<'_> {
    /// Appends a step with its events, or gives their room in the queue back.
    fn append(self, record: &Record<'_>, events: impl ExactSizeIterator<Item = Arc<Event>>) -> Result<Position, Error> {
        let count = events.len() as u64;
        if !self.log.reserve(count) {
            return Err(Error::Full("the outbox"));
        }
        let appended = record::with_frame(record, |frame| self.journal.append(frame, events.map(Change::Event)));
        let appended = match appended {
            Ok(appended) => appended.map_err(Error::from),
            Err(error) => Err(Error::Unavailable(format!("the step cannot be encoded: {error}"))),
        };
        if appended.is_err() {
            self.log.release(count);
        }
        appended
    }
}

/// The shard of a payer's counters.
pub(super) fn payer_shard(plugin: &Arc<str>, payer: Account) -> Shard {
    Shard { plugin: Arc::clone(plugin), name: format!("user/{}", payer.user_id).into() }
}

impl Bucket {
    pub(super) fn new(accounts_max: usize, outcomes_max: usize, lifetimes: Lifetimes) -> Self {
        Self {
            accounts: Accounts::new(accounts_max, lifetimes),
            outcomes: Outcomes::new(outcomes_max),
            shards: HashMap::new(),
            now_ms: 0,
        }
    }

    /// See [`crate::ports::cache::Cache::hold`]. The second value is the time of an outcome that had to go.
    pub(super) fn hold(&mut self, hold: Hold, outside: Outside<'_>) -> Result<(HoldResult, Option<u64>), Error> {
        if let Some(known) = self.outcomes.get(hold.payer.user_id, &hold.event_id) {
            let is_same = known.digest == hold.digest && known.asset_type == hold.payer.asset_type;
            let replayed = || HoldResult::Replayed(known.outcome.clone(), known.position);
            return Ok((if is_same { replayed() } else { HoldResult::Reused }, None));
        }
        let spendable = match self.accounts.look(hold.payer) {
            Lookup::Unknown => return Ok((HoldResult::Miss, None)),
            Lookup::DoesNotExist => return Ok((HoldResult::NoAccount, None)),
            // Both are 64 bits and the holds are not negative; a difference below 64 bits is as good as nothing to spend.
            Lookup::Cached(cached) => cached.settled.balance.minus(cached.held).unwrap_or(Amount(i64::MIN)),
        };
        if hold.counters.is_empty() {
            return self.reserve(&hold, spendable, (Vec::new(), Vec::new()), outside);
        }
        let shard = payer_shard(&hold.plugin, hold.payer);
        let mut made = Made::default();
        let counted = self.count(&shard, &hold, &mut made);
        let Made { effects, undo } = made;
        let result = match counted {
            Ok(Ok(values)) => self.reserve(&hold, spendable, (values, effects), outside),
            Ok(Err(refused)) => Ok((refused, None)),
            Err(error) => Err(error),
        };
        if !matches!(result, Ok((HoldResult::Held(..), _)))
            && let Some(keys) = self.shards.get_mut(&shard)
        {
            keys.undo(undo);
        }
        result
    }

    /// Changes the counters of a hold; the values, or the first that stands in the way.
    fn count<'a>(
        &mut self,
        shard: &Shard,
        hold: &'a Hold,
        made: &mut Made<'a>,
    ) -> Result<Result<Vec<i64>, HoldResult>, Error> {
        let keys = self.shards.entry(shard.clone()).or_default();
        let mut values = Vec::with_capacity(hold.counters.len());
        for (index, add) in hold.counters.iter().enumerate() {
            let expires_ms = expiry(hold.now_ms, Some(add.ttl_ms));
            match keys.count(&add.key, add.delta, add.max, expires_ms, hold.now_ms, made) {
                Ok(value) => values.push(value),
                Err(Refusal::Limit) => return Ok(Err(HoldResult::LimitReached(index))),
                Err(Refusal::WrongKind(key)) => return Err(Error::WrongKind(key.to_string())),
            }
        }
        Ok(Ok(values))
    }

    /// Checks the balance, appends the event, and reserves the amount.
    fn reserve(
        &mut self,
        hold: &Hold,
        spendable: Amount,
        (counters, effects): (Vec<i64>, Vec<Effect<'_>>),
        outside: Outside<'_>,
    ) -> Result<(HoldResult, Option<u64>), Error> {
        let left = spendable.minus(hold.amount).ok().filter(|left| left.0 >= 0 && hold.amount.is_positive());
        let Some(balance) = left else { return Ok((HoldResult::Insufficient(spendable), None)) };
        let outcome = Outcome { amount: hold.amount, balance, counters };
        let event = Arc::new(Event {
            event_id: hold.event_id.clone(),
            topic: Arc::clone(&hold.topic),
            key: hold.payer.user_id.to_string().into(),
            room_id: hold.room_id,
            at_ms: hold.now_ms,
            held: Some(Held { payer: hold.payer, digest: hold.digest, outcome: outcome.clone() }),
            payload: hold.payload.clone(),
        });
        let record = Record::Hold { event: EventRecord::of(&event), plugin: &hold.plugin, effects };
        let position = outside.append(&record, std::iter::once(Arc::clone(&event)))?;
        self.now_ms = self.now_ms.max(hold.now_ms);
        self.accounts.open(hold.payer, hold.event_id.clone(), hold.amount);
        let gone = self.remember(&event, position);
        Ok((HoldResult::Held(outcome, position), gone))
    }

    /// Remembers the outcome of an event that holds. Returns the time of one that had to go.
    pub(super) fn remember(&mut self, event: &Event, position: Position) -> Option<u64> {
        let Self { accounts, outcomes, .. } = self;
        outcomes.remember(event, position, |user_id, asset_type, event_id| {
            accounts.is_open(Account { user_id, asset_type }, event_id)
        })
    }

    /// See [`crate::ports::cache::Cache::fill`]. The second value is the time of an outcome that had to go.
    pub(super) fn fill(
        &mut self,
        account: Account,
        lease: Lease,
        settled: Option<Settled>,
        waiting: &[Event],
    ) -> (bool, Option<u64>) {
        if !self.accounts.fill(account, lease, settled) {
            return (false, None);
        }
        if settled.is_none() {
            return (true, None);
        }
        // Outcomes of open holds are never let go, so every hold comes first.
        for event in waiting {
            if let Some(held) = &event.held {
                self.accounts.open(account, event.event_id.clone(), held.outcome.amount);
            }
        }
        // They were durable before they were set aside.
        let gone = waiting.iter().filter_map(|event| self.remember(event, Position(0)));
        (true, gone.max())
    }

    /// See [`crate::ports::cache::Cache::commit`].
    pub(super) fn commit(&mut self, commit: Commit, outside: Outside<'_>) -> Result<CommitResult, Error> {
        let keys = self.shards.entry(commit.shard.clone()).or_default();
        if let Some(position) = commit.once.as_deref().and_then(|once| keys.once(once, commit.now_ms)) {
            return Ok(CommitResult::Repeated(position));
        }
        for (index, check) in commit.checks.iter().enumerate() {
            if keys.bytes(&check.key, commit.now_ms)? != check.expected {
                return Ok(CommitResult::CheckFailed(index));
            }
        }
        let mut made = Made::default();
        let numbers = match write_all(keys, &commit.writes, commit.now_ms, &mut made) {
            Ok(numbers) => numbers,
            Err((index, refusal)) => {
                keys.undo(made.undo);
                return match refusal {
                    Refusal::Limit => Ok(CommitResult::LimitReached(index)),
                    Refusal::WrongKind(key) => Err(Error::WrongKind(key.to_string())),
                };
            }
        };
        let once = commit.once.as_ref().map(|once| (once, expiry(commit.now_ms, Some(ONCE_MS))));
        let events: Vec<Arc<Event>> = commit.events.into_iter().map(Arc::new).collect();
        if once.is_none() && made.effects.is_empty() && events.is_empty() {
            // Only a look, but whoever relies on what it saw waits until that is durable.
            return Ok(CommitResult::Applied(numbers, outside.journal.position()));
        }
        let record = Record::Commit {
            plugin: &commit.shard.plugin,
            shard: &commit.shard.name,
            once: once.map(|(once, expires_ms)| (&**once, expires_ms)),
            effects: made.effects,
            events: events.iter().map(|event| EventRecord::of(event)).collect(),
        };
        let position = match outside.append(&record, events.iter().cloned()) {
            Ok(position) => position,
            Err(error) => {
                keys.undo(made.undo);
                return Err(error);
            }
        };
        if let Some((once, expires_ms)) = once {
            keys.set_once(once, expires_ms, position);
        }
        self.now_ms = self.now_ms.max(commit.now_ms);
        Ok(CommitResult::Applied(numbers, position))
    }

    /// Copies what has changed since the last call.
    pub(super) fn take_dirty(&mut self, copies: &mut Vec<ShardCopy>) {
        for (shard, keys) in &mut self.shards {
            let (keys, once) = keys.take_dirty();
            if !keys.is_empty() || !once.is_empty() {
                copies.push(ShardCopy { shard: shard.clone(), keys, once });
            }
        }
    }

    /// Removes what has expired and counts the entries of the key space that are left.
    pub(super) fn sweep(&mut self) -> u64 {
        self.accounts.sweep();
        let now_ms = self.now_ms;
        let entries = self.shards.values_mut().map(|keys| keys.sweep(now_ms)).sum();
        self.shards.retain(|_, keys| !keys.is_idle());
        entries
    }
}

/// Whether a commit may need more room than it gives back.
pub(super) fn grows(commit: &Commit) -> bool {
    let removes =
        |write: &Write| matches!(write, Write::Delete { .. } | Write::SetRemove { .. } | Write::RankRemove { .. });
    commit.once.is_some() || !commit.writes.iter().all(removes)
}

fn write_all<'a>(
    keys: &mut ShardKeys,
    writes: &'a [Write],
    now_ms: u64,
    made: &mut Made<'a>,
) -> Result<Vec<i64>, (usize, Refusal)> {
    let number = |(index, write)| keys.write(write, now_ms, made).map_err(|refusal| (index, refusal));
    writes.iter().enumerate().map(number).collect()
}
