//! When an answer may be told. A step gets a number of this process, its position, in which its bucket is written as well.
//!
//! For `Cached` there is nothing to wait for, and every position is 0. Else a step is looked for where it must have left something: an
//! outcome, a key of `once`. If that is gone, the bucket has lost the step, and the caller is told so. One wait serves all steps of a
//! bucket that were made before it began, and no bucket waits for another. Steps that nobody waits for are kept until somebody waits
//! for a later one of their bucket.
//!
//! For `Queued` the relay of this process says which entries the queue has, and nothing has to be looked for; that is done for what
//! the relays of other processes carry, and now and then in case of doubt.

mod waiting;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use redis::Value;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use self::waiting::Waiting;
use super::Settings;
use super::event::entry_id;
use super::keys::{BucketKeys, Keys};
use super::reply::Reply;
use super::scripts::{Call, TRACE};
use super::server::Server;
use crate::ports::cache::Position;
use crate::ports::outbox::EntryId;

/// Steps that one script looks for.
const LOOKED_FOR_MAX: usize = 500;
/// How long to wait before looking for the first time whether the relay of another process has taken an event.
const QUEUED_WAIT: Duration = Duration::from_millis(2);
/// And between later looks.
const QUEUED_WAIT_MAX: Duration = Duration::from_millis(20);
/// The same where the relay of this process will say so.
const OWN_WAIT: Duration = Duration::from_millis(50);
/// A relay that has not looked into a bucket's outbox for so long does not carry it.
const READ_EVERY_MAX: Duration = Duration::from_secs(1);
/// The lower bits of a ticket: the bucket.
const BUCKET_BITS: u32 = 16;
/// As many as tickets can tell apart.
pub(super) const BUCKETS_MAX: u32 = 1 << BUCKET_BITS;

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

/// One bucket as those see it who wait.
#[derive(Debug, Default)]
struct Bucket {
    waiting: Mutex<Waiting>,
    /// Told whenever steps were closed.
    closed: Notify,
    /// Told when a step has to be looked for that nobody will acknowledge any more.
    hurry: Notify,
    /// Whoever has it looks for all.
    turn: tokio::sync::Mutex<()>,
    /// Told whenever this process has appended to the outbox.
    appended: Notify,
}

/// The steps of this process that somebody may wait for.
#[derive(Debug)]
pub(super) struct Steps {
    durability: Durability,
    durable_wait: Duration,
    server: Server,
    keys: Arc<Keys>,
    last: AtomicU64,
    buckets: Vec<Bucket>,
}

impl Steps {
    pub(super) async fn open(settings: &Settings, server: &Server, keys: &Arc<Keys>) -> Result<Self, String> {
        // WAIT holds up its connection, so it has one of its own.
        let server = match settings.durability {
            Durability::Replicated { .. } => Server::open(settings).await?,
            Durability::Cached | Durability::Queued => server.clone(),
        };
        Ok(Self {
            durability: settings.durability,
            durable_wait: settings.durable_wait,
            server,
            keys: Arc::clone(keys),
            last: AtomicU64::new(0),
            buckets: (0..keys.buckets()).map(|_| Bucket::default()).collect(),
        })
    }

    fn bucket(&self, bucket: u32) -> Option<&Bucket> {
        self.buckets.get(usize::try_from(bucket).ok()?)
    }

    /// Told whenever this process has appended to the outbox of a bucket.
    pub(super) fn appended(&self, bucket: u32) -> Option<&Notify> {
        self.bucket(bucket).map(|bucket| &bucket.appended)
    }

    /// The relay of this process looks into the outbox of a bucket.
    pub(super) fn read(&self, bucket: u32) {
        if let Some(bucket) = self.bucket(bucket) {
            bucket.waiting.lock().read_at = Some(Instant::now());
        }
    }

    /// The queue has these entries of a bucket.
    pub(super) fn acknowledged(&self, bucket: u32, entries: &[EntryId]) {
        if let Some(bucket) = self.bucket(bucket).filter(|_| self.durability == Durability::Queued) {
            bucket.waiting.lock().acknowledge(entries);
            bucket.closed.notify_waiters();
        }
    }

    /// The position of a step that was made now, or of one that is repeated.
    pub(super) fn position(&self, step: Step) -> Position {
        let is_waited_for = match self.durability {
            Durability::Cached => false,
            Durability::Replicated { .. } => true,
            Durability::Queued => step.entry.is_some(),
        };
        let Some(bucket) = self.bucket(step.bucket).filter(|_| is_waited_for) else { return Position::default() };
        let mut waiting = bucket.waiting.lock();
        if let Some(ticket) = waiting.ticket_of(&step) {
            return Position(ticket);
        }
        let number = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let ticket = number << BUCKET_BITS | u64::from(step.bucket);
        if waiting.open(ticket, step) {
            bucket.hurry.notify_one();
        }
        Position(ticket)
    }

    /// See [`crate::ports::cache::Cache::durable`].
    pub(super) async fn durable(&self, Position(ticket): Position) -> Result<(), String> {
        // The remainder is below a number of 32 bits.
        let number = (ticket % u64::from(BUCKETS_MAX)) as u32;
        let Some(bucket) = self.bucket(number) else { return Ok(()) };
        let deadline = Instant::now() + self.durable_wait;
        loop {
            let closed = bucket.closed.notified();
            if !bucket.waiting.lock().is_open(ticket)? {
                return Ok(());
            }
            tokio::select! {
                () = closed => {}
                _turn = bucket.turn.lock() => self.watch(bucket, &self.keys.of_bucket(number), ticket, deadline).await?,
            }
        }
    }

    /// Looks for the bucket's steps until this one is closed.
    async fn watch(&self, bucket: &Bucket, keys: &BucketKeys, ticket: u64, deadline: Instant) -> Result<(), String> {
        let is_own = bucket.waiting.lock().read_at.is_some_and(|at| at.elapsed() < READ_EVERY_MAX);
        let mut pause = if is_own { OWN_WAIT } else { QUEUED_WAIT };
        loop {
            let closed = bucket.closed.notified();
            if !bucket.waiting.lock().is_open(ticket)? {
                return Ok(());
            }
            if self.durability == Durability::Queued {
                if Instant::now() > deadline {
                    return Err(format!("the relay has not taken the event within {:?}", self.durable_wait));
                }
                tokio::select! {
                    () = closed => continue,
                    () = bucket.hurry.notified() => {}
                    () = sleep(pause) => pause = (pause * 2).min(QUEUED_WAIT_MAX.max(pause)),
                }
            }
            let open = bucket.waiting.lock().first(LOOKED_FOR_MAX);
            self.look(bucket, keys, &open).await?;
        }
    }

    /// Looks once for these steps and closes those that are safe or lost.
    async fn look(&self, bucket: &Bucket, keys: &BucketKeys, open: &[(u64, Step)]) -> Result<(), String> {
        let traces: Vec<&str> = open.iter().filter_map(|(_, step)| step.trace.as_deref()).collect();
        let (there, first) = self.traces(keys, &traces).await?;
        let is_taken = |step: &Step| match (&first, &step.entry) {
            (Some(first), Some(entry)) => entry < first,
            _ => true,
        };
        let mut there = there.into_iter();
        let mut waiting = bucket.waiting.lock();
        for (ticket, step) in open {
            let is_lost = step.trace.is_some() && there.next() == Some(false);
            if is_lost || self.durability != Durability::Queued || is_taken(step) {
                waiting.close(*ticket, is_lost);
            }
        }
        drop(waiting);
        bucket.closed.notify_waiters();
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
