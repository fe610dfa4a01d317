//! When an answer may be told. A step gets a number of this process, its position; waiting for a position waits for all steps up to it.
//!
//! For `Cached` there is nothing to wait for, and every position is 0. Else a step is looked for where it must have left something: an
//! outcome, a key of `once`. If that is gone, the bucket has lost the step, and the caller is told so. One wait serves all steps of a
//! bucket that were made before it began. Steps that nobody waits for are kept until somebody waits for a later one.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures::future::try_join_all;
use parking_lot::Mutex;
use redis::Value;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Settings;
use super::event::entry_id;
use super::keys::{BucketKeys, Keys};
use super::reply::Reply;
use super::scripts::{Call, TRACE};
use super::server::Server;
use crate::breaker::{Breaker, Circuit};
use crate::ports::cache::Position;
use crate::ports::outbox::EntryId;

/// Steps that one script looks for.
const LOOKED_FOR_MAX: usize = 500;
/// Lost steps that are remembered for those who still wait for them.
const LOST_MAX: usize = 65_536;
/// How long to wait before looking again whether the relay has taken an event.
const QUEUED_WAIT: Duration = Duration::from_millis(2);

/// What has to be before an answer is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Redis has it. With `appendfsync everysec` a crash of the server loses up to about a second of acknowledged steps, a failover to a
    /// replica those that it had not received yet; with `appendfsync always` a crash loses none.
    Cached,
    /// So many replicas have received it, too (`WAIT`): a failover to one of them loses nothing. Cluster elections prefer the replica that
    /// is furthest, but do not promise it.
    Replicated {
        /// How many replicas, 1 or more.
        replicas: u32,
        /// How long to wait for them; then the durability of a step is not known.
        timeout: Duration,
    },
    /// The relay has removed its event from the outbox, so the queue has it. Steps without an event are as with `Cached`.
    Queued,
}

/// What a step has left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) bucket: u32,
    /// A key that is there as long as the step is not lost.
    pub(super) trace: Option<String>,
    /// Its event; the last one.
    pub(super) entry: Option<EntryId>,
}

#[derive(Debug, Default)]
struct Tickets {
    last: u64,
    open: BTreeMap<u64, Step>,
    /// So that a repetition has the position of the first time, as long as that is worth something.
    by_trace: HashMap<String, u64>,
    lost: BTreeSet<u64>,
}

/// The steps of this process that somebody may wait for.
#[derive(Debug)]
pub(super) struct Steps {
    durability: Durability,
    durable_wait: Duration,
    queue: Option<Arc<Breaker>>,
    server: Server,
    keys: Arc<Keys>,
    tickets: Mutex<Tickets>,
    /// One wait at a time for each bucket.
    turns: Vec<tokio::sync::Mutex<()>>,
    appended: Vec<Notify>,
}

impl Steps {
    pub(super) async fn open(settings: &Settings, server: &Server, keys: &Arc<Keys>) -> Result<Self, String> {
        // WAIT holds up its connection, so it has one of its own.
        let server = match settings.durability {
            Durability::Replicated { .. } => server.another(settings).await?,
            Durability::Cached | Durability::Queued => server.clone(),
        };
        Ok(Self {
            durability: settings.durability,
            durable_wait: settings.durable_wait,
            queue: settings.queue.clone(),
            server,
            keys: Arc::clone(keys),
            tickets: Mutex::default(),
            turns: (0..keys.buckets()).map(|_| tokio::sync::Mutex::default()).collect(),
            appended: (0..keys.buckets()).map(|_| Notify::new()).collect(),
        })
    }

    /// Told whenever this process has appended to the outbox of a bucket.
    pub(super) fn appended(&self, bucket: u32) -> Option<&Notify> {
        self.appended.get(bucket as usize)
    }

    /// The position of a step that was made now, or of one that is repeated.
    pub(super) fn position(&self, step: Step) -> Position {
        let is_waited_for = match self.durability {
            Durability::Cached => false,
            Durability::Replicated { .. } => true,
            Durability::Queued => step.entry.is_some(),
        };
        if !is_waited_for {
            return Position::default();
        }
        let mut tickets = self.tickets.lock();
        if let Some(ticket) = step.trace.as_ref().and_then(|trace| tickets.by_trace.get(trace)) {
            return Position(*ticket);
        }
        tickets.last += 1;
        let ticket = tickets.last;
        if let Some(trace) = &step.trace {
            tickets.by_trace.insert(trace.clone(), ticket);
        }
        tickets.open.insert(ticket, step);
        Position(ticket)
    }

    /// See [`crate::ports::cache::Cache::durable`].
    pub(super) async fn durable(&self, position: Position) -> Result<(), String> {
        let mine: Vec<(u64, u32)> = {
            let tickets = self.tickets.lock();
            tickets.open.range(..=position.0).map(|(ticket, step)| (*ticket, step.bucket)).collect()
        };
        let buckets: BTreeSet<u32> = mine.iter().map(|(_, bucket)| *bucket).collect();
        try_join_all(buckets.into_iter().map(|bucket| self.settle(bucket, position.0))).await?;
        let tickets = self.tickets.lock();
        if tickets.lost.contains(&position.0) || mine.iter().any(|(ticket, _)| tickets.lost.contains(ticket)) {
            return Err("the bucket has lost the step".into());
        }
        Ok(())
    }

    /// Waits until no step of the bucket up to this one is open.
    async fn settle(&self, bucket: u32, up_to: u64) -> Result<(), String> {
        let deadline = Instant::now() + self.durable_wait;
        let Some(turn) = self.turns.get(bucket as usize) else { return Ok(()) };
        loop {
            {
                let _turn = turn.lock().await;
                let open: Vec<(u64, Step)> = {
                    let tickets = self.tickets.lock();
                    let open = tickets.open.iter().filter(|(_, step)| step.bucket == bucket);
                    open.take(LOOKED_FOR_MAX).map(|(ticket, step)| (*ticket, step.clone())).collect()
                };
                if open.first().is_none_or(|(ticket, _)| *ticket > up_to) {
                    return Ok(());
                }
                self.look(&self.keys.of_bucket(bucket), &open).await?;
            }
            if self.durability == Durability::Queued {
                if self.queue.as_ref().is_some_and(|queue| queue.circuit() != Circuit::Closed) {
                    return Err("the queue does not answer".into());
                }
                if Instant::now() > deadline {
                    return Err(format!("the relay has not taken the event within {:?}", self.durable_wait));
                }
                tokio::time::sleep(QUEUED_WAIT).await;
            }
        }
    }

    /// Looks once for these steps and closes those that are safe or lost.
    async fn look(&self, keys: &BucketKeys, open: &[(u64, Step)]) -> Result<(), String> {
        let traced: Vec<&(u64, Step)> = open.iter().filter(|(_, step)| step.trace.is_some()).collect();
        let traces: Vec<&str> = traced.iter().filter_map(|(_, step)| step.trace.as_deref()).collect();
        let (there, first) = self.traces(keys, &traces).await?;
        let is_taken = |step: &Step| match (&first, &step.entry) {
            (Some(first), Some(entry)) => entry < first,
            _ => true,
        };
        let is_safe = |step: &Step| self.durability != Durability::Queued || is_taken(step);
        let mut tickets = self.tickets.lock();
        for (ticket, step) in open {
            let place = traced.iter().position(|(traced, _)| traced == ticket);
            let is_lost = place.is_some_and(|place| there.get(place) == Some(&false));
            if is_lost || is_safe(step) {
                tickets.open.remove(ticket);
                if let Some(trace) = &step.trace {
                    tickets.by_trace.remove(trace);
                }
            }
            if is_lost {
                tickets.lost.insert(*ticket);
                if tickets.lost.len() > LOST_MAX {
                    tickets.lost.pop_first();
                }
            }
        }
        Ok(())
    }

    /// Which traces are there, once the replicas have what was there if that is asked for; and the first entry that waits.
    async fn traces(&self, keys: &BucketKeys, traces: &[&str]) -> Result<(Vec<bool>, Option<EntryId>), String> {
        let (marker, outbox) = (keys.marker(), keys.outbox());
        let mut names = vec![marker.as_str(), outbox.as_str()];
        names.extend(traces);
        let answer = match self.durability {
            Durability::Replicated { replicas, timeout } => self.replicated(&names, replicas, timeout).await?,
            Durability::Cached | Durability::Queued => self.server.run(Call::new(&TRACE, &names)).await?,
        };
        let mut answer = Reply::new(answer)?;
        let first = answer.text()?;
        let first = if first.is_empty() { None } else { Some(entry_id(&first)?) };
        Ok((answer.rest().map(|there| there == Value::Int(1)).collect(), first))
    }

    /// The script writes, so WAIT on the same connection waits for everything before it, whoever wrote it.
    async fn replicated(&self, names: &[&str], replicas: u32, timeout: Duration) -> Result<Value, String> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("EVAL").arg(TRACE.text).arg(names.len()).arg(names);
        pipeline.cmd("WAIT").arg(replicas).arg(u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX).max(1));
        let key = names.first().copied().unwrap_or_default();
        let limit = timeout + Duration::from_secs(1);
        let mut answers = self.server.ask_node(pipeline, key, limit).await?.into_iter();
        let (Some(traces), Some(Value::Int(reached))) = (answers.next(), answers.next()) else {
            return Err("strange answer to WAIT".into());
        };
        if reached < i64::from(replicas) {
            return Err(format!("{reached} of {replicas} replicas have it after {timeout:?}"));
        }
        Ok(traces)
    }
}
