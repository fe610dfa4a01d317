//! When an answer may be told. A step gets a number of this process, its position; waiting for a position waits for all steps up to it.
//!
//! For `Cached` there is nothing to wait for, and every position is 0. Else a step is looked for where it must have left something: an
//! outcome, a key of `once`. If that is gone, the bucket has lost the step, and the caller is told so. One wait serves all steps of a
//! group of buckets that were made before it began: of one bucket, or for replicas, which are waited for by node, of all on a node. Steps
//! that nobody waits for are kept until somebody waits for a later one.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures::future::try_join_all;
use parking_lot::{Mutex, RwLock};
use redis::Value;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Settings;
use super::event::entry_id;
use super::keys::Keys;
use super::nodes::buckets_by_node;
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

/// Buckets that are waited for together, one wait at a time.
#[derive(Debug)]
struct Group {
    buckets: Vec<u32>,
    turn: tokio::sync::Mutex<()>,
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
    groups: RwLock<Arc<Vec<Group>>>,
    appended: Vec<Notify>,
}

impl Steps {
    pub(super) async fn open(settings: &Settings, server: &Server, keys: &Arc<Keys>) -> Result<Self, String> {
        // WAIT holds up its connection, so it has one of its own.
        let server = match settings.durability {
            Durability::Replicated { .. } => server.another(settings).await?,
            Durability::Cached | Durability::Queued => server.clone(),
        };
        let steps = Self {
            durability: settings.durability,
            durable_wait: settings.durable_wait,
            queue: settings.queue.clone(),
            server,
            keys: Arc::clone(keys),
            tickets: Mutex::default(),
            groups: RwLock::default(),
            appended: (0..keys.buckets()).map(|_| Notify::new()).collect(),
        };
        steps.regroup().await?;
        Ok(steps)
    }

    async fn regroup(&self) -> Result<(), String> {
        let buckets = match self.durability {
            Durability::Replicated { .. } => buckets_by_node(&self.server, &self.keys).await?,
            Durability::Cached | Durability::Queued => (0..self.keys.buckets()).map(|bucket| vec![bucket]).collect(),
        };
        let group = |buckets| Group { buckets, turn: tokio::sync::Mutex::default() };
        *self.groups.write() = Arc::new(buckets.into_iter().map(group).collect());
        Ok(())
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
        let groups = Arc::clone(&self.groups.read());
        let concerned = groups.iter().filter(|group| group.buckets.iter().any(|bucket| buckets.contains(bucket)));
        try_join_all(concerned.map(|group| self.settle(group, position.0))).await?;
        let tickets = self.tickets.lock();
        if tickets.lost.contains(&position.0) || mine.iter().any(|(ticket, _)| tickets.lost.contains(ticket)) {
            return Err("the bucket has lost the step".into());
        }
        Ok(())
    }

    /// Waits until no step of the group up to this one is open.
    async fn settle(&self, group: &Group, up_to: u64) -> Result<(), String> {
        let deadline = Instant::now() + self.durable_wait;
        loop {
            {
                let _turn = group.turn.lock().await;
                let open = self.open_of(group);
                if open.values().flatten().all(|(ticket, _)| *ticket > up_to) {
                    return Ok(());
                }
                self.look(&open).await?;
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

    /// The oldest open steps of a group, by bucket.
    fn open_of(&self, group: &Group) -> BTreeMap<u32, Vec<(u64, Step)>> {
        let tickets = self.tickets.lock();
        let open = tickets.open.iter().filter(|(_, step)| group.buckets.contains(&step.bucket));
        let mut by_bucket: BTreeMap<u32, Vec<(u64, Step)>> = BTreeMap::new();
        for (ticket, step) in open.take(LOOKED_FOR_MAX) {
            by_bucket.entry(step.bucket).or_default().push((*ticket, step.clone()));
        }
        by_bucket
    }

    /// Looks once for these steps and closes those that are safe or lost.
    async fn look(&self, open: &BTreeMap<u32, Vec<(u64, Step)>>) -> Result<(), String> {
        let looks: Vec<Vec<String>> = open.iter().map(|(bucket, steps)| self.looked_for(*bucket, steps)).collect();
        let answers = match self.durability {
            Durability::Replicated { replicas, timeout } => self.replicated(&looks, replicas, timeout).await?,
            Durability::Cached | Durability::Queued => {
                let look = |names: &Vec<String>| {
                    self.server.run(Call::new(&TRACE, &names.iter().map(String::as_str).collect::<Vec<_>>()))
                };
                try_join_all(looks.iter().map(look)).await?
            }
        };
        for (steps, answer) in open.values().zip(answers) {
            self.close(steps, answer)?;
        }
        Ok(())
    }

    /// The keys of the script that looks for steps of a bucket.
    fn looked_for(&self, bucket: u32, steps: &[(u64, Step)]) -> Vec<String> {
        let keys = self.keys.of_bucket(bucket);
        let traces = steps.iter().filter_map(|(_, step)| step.trace.clone());
        [keys.marker(), keys.outbox()].into_iter().chain(traces).collect()
    }

    /// Closes those of a bucket's steps that are safe or lost, by what the script has found: the first entry that waits, and for each
    /// step with a trace whether that is there.
    fn close(&self, steps: &[(u64, Step)], answer: Value) -> Result<(), String> {
        let mut answer = Reply::new(answer)?;
        let first = answer.text()?;
        let first = if first.is_empty() { None } else { Some(entry_id(&first)?) };
        let mut there = answer.rest().map(|there| there == Value::Int(1));
        let is_taken = |step: &Step| match (&first, &step.entry) {
            (Some(first), Some(entry)) => entry < first,
            _ => true,
        };
        let mut tickets = self.tickets.lock();
        for (ticket, step) in steps {
            let is_lost = match step.trace {
                Some(_) => !there.next().ok_or("an answer is too short")?,
                None => false,
            };
            if is_lost || self.durability != Durability::Queued || is_taken(step) {
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

    /// Looks for steps of buckets that are on one node, and waits for its replicas. The scripts write, so WAIT on the same connection
    /// waits for everything before them, whoever wrote it.
    async fn replicated(&self, looks: &[Vec<String>], replicas: u32, timeout: Duration) -> Result<Vec<Value>, String> {
        let mut pipeline = redis::pipe();
        for names in looks {
            pipeline.cmd("EVAL").arg(TRACE.text).arg(names.len()).arg(names);
        }
        pipeline.cmd("WAIT").arg(replicas).arg(u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX).max(1));
        let key = looks.first().and_then(|names| names.first()).map(String::as_str).unwrap_or_default();
        let limit = timeout + Duration::from_secs(1);
        let answered = self.server.ask_node(pipeline, key, limit).await;
        let is_refused = |answers: &Vec<Value>| answers.iter().any(|answer| matches!(answer, Value::ServerError(_)));
        if answered.as_ref().map_or(true, is_refused) {
            // A bucket may have moved to another node: who asks again finds it there.
            self.regroup().await?;
        }
        let mut answers = answered?;
        match answers.pop() {
            Some(Value::Int(reached)) if reached >= i64::from(replicas) => Ok(answers),
            Some(Value::Int(reached)) => Err(format!("{reached} of {replicas} replicas have it after {timeout:?}")),
            _ => Err("strange answer to WAIT".into()),
        }
    }
}
