//! When an answer may be told. A step gets a number of this process, its position, in which its bucket is written as well.
//!
//! For `Cached` there is nothing to wait for, and every position is 0. Else a step is looked for where it must have left something: an
//! outcome, a key of `once`. If that is gone, the bucket has lost the step, and the caller is told so. One wait serves all steps of a
//! group of buckets that were made before it began: of one bucket, or for replicas, which are waited for by node, of all on a node; if
//! there are too few replicas, all of them fail together. Steps that nobody waits for are kept until somebody waits for a later one of
//! their group, for a minute or so at most.
//!
//! For `Queued` the relay of this process says which entries the queue has, and nothing has to be looked for; that is done for what
//! the relays of other processes carry, and now and then in case of doubt.

mod look;
mod replicas;
mod waiting;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use self::replicas::Replicas;
use self::waiting::Waiting;
use super::Settings;
use super::appended::Appended;
use super::keys::Keys;
use super::nodes::buckets_by_node;
use super::server::Server;
use crate::breaker::{Breaker, Circuit};
use crate::ports::cache::Position;
use crate::ports::outbox::EntryId;

/// How long to wait before looking for the first time whether the relay of another process has taken an event.
const QUEUED_WAIT: Duration = Duration::from_millis(2);
/// And between later looks.
const QUEUED_WAIT_MAX: Duration = Duration::from_millis(20);
/// The same where the relay of this process will say so.
const OWN_WAIT: Duration = Duration::from_millis(50);
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
    /// So many replicas have it, too: a failover to one of them loses nothing. On disk, as has the master (`WAITAOF`), where every master
    /// is a Redis 7.2 or newer with an append-only file; else in memory (`WAIT`). Cluster elections prefer the replica that is furthest,
    /// but do not promise it.
    Replicated {
        /// How many replicas, 1 or more.
        replicas: u32,
        /// How long to wait for them, and two seconds longer for disks; then the durability of a step is not known.
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
}

/// Buckets whose steps are looked for together.
#[derive(Debug)]
struct Group {
    buckets: Vec<u32>,
    /// Whoever has it looks for all.
    turn: tokio::sync::Mutex<()>,
}

/// The steps of this process that somebody may wait for.
#[derive(Debug)]
pub(super) struct Steps {
    durability: Durability,
    /// Those that are waited for, if the durability is `Replicated`.
    replicas: Option<Replicas>,
    durable_wait: Duration,
    queue: Option<Arc<Breaker>>,
    server: Server,
    keys: Arc<Keys>,
    appended: Arc<Appended>,
    last: AtomicU64,
    buckets: Vec<Bucket>,
    /// The group of each bucket.
    groups: RwLock<Vec<Arc<Group>>>,
}

impl Steps {
    pub(super) async fn open(
        settings: &Settings,
        server: &Server,
        keys: &Arc<Keys>,
        appended: &Arc<Appended>,
    ) -> Result<Self, String> {
        // WAIT holds up its connection, so it has one of its own.
        let (server, replicas) = match settings.durability {
            Durability::Replicated { replicas, timeout } => {
                let replicas = Replicas::open(server, replicas, timeout).await?;
                (server.another(settings).await?, Some(replicas))
            }
            Durability::Cached | Durability::Queued => (server.clone(), None),
        };
        let steps = Self {
            durability: settings.durability,
            replicas,
            durable_wait: settings.durable_wait,
            queue: settings.queue.clone(),
            server,
            keys: Arc::clone(keys),
            appended: Arc::clone(appended),
            last: AtomicU64::new(0),
            buckets: (0..keys.buckets()).map(|_| Bucket::default()).collect(),
            groups: RwLock::default(),
        };
        steps.regroup().await?;
        Ok(steps)
    }

    /// Looks which buckets are on one node, if that matters.
    async fn regroup(&self) -> Result<(), String> {
        let together = match self.durability {
            Durability::Replicated { .. } => buckets_by_node(&self.server, &self.keys).await?,
            Durability::Cached | Durability::Queued => (0..self.keys.buckets()).map(|bucket| vec![bucket]).collect(),
        };
        let mut groups = vec![None; self.buckets.len()];
        for buckets in together {
            let group = Arc::new(Group { buckets, turn: tokio::sync::Mutex::default() });
            for bucket in &group.buckets {
                if let Some(place) = groups.get_mut(*bucket as usize) {
                    *place = Some(Arc::clone(&group));
                }
            }
        }
        let groups: Option<Vec<Arc<Group>>> = groups.into_iter().collect();
        *self.groups.write() = groups.ok_or("a bucket is on no node")?;
        Ok(())
    }

    fn bucket(&self, bucket: u32) -> Option<&Bucket> {
        self.buckets.get(usize::try_from(bucket).ok()?)
    }

    /// This process has appended to the outbox of a bucket.
    pub(super) fn append(&self, bucket: u32) {
        let is_own = self.bucket(bucket).is_some_and(|bucket| bucket.waiting.lock().is_relayed_here());
        if is_own { self.appended.here(bucket) } else { self.appended.elsewhere(bucket) }
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
        if ticket == Position::default().0 {
            return Ok(());
        }
        // The remainder is below a number of 32 bits.
        let number = (ticket % u64::from(BUCKETS_MAX)) as u32;
        let Some(bucket) = self.bucket(number) else { return Ok(()) };
        let deadline = Instant::now() + self.durable_wait;
        loop {
            let closed = bucket.closed.notified();
            if !bucket.waiting.lock().is_open(ticket)? {
                return Ok(());
            }
            let Some(group) = self.groups.read().get(number as usize).cloned() else { return Ok(()) };
            tokio::select! {
                () = closed => {}
                _turn = group.turn.lock() => self.watch(bucket, &group, ticket, deadline).await?,
            }
        }
    }

    /// Looks for the group's steps until this one of the bucket is closed.
    async fn watch(&self, bucket: &Bucket, group: &Group, ticket: u64, deadline: Instant) -> Result<(), String> {
        let mut pause = if bucket.waiting.lock().is_relayed_here() { OWN_WAIT } else { QUEUED_WAIT };
        loop {
            let closed = bucket.closed.notified();
            if !bucket.waiting.lock().is_open(ticket)? {
                return Ok(());
            }
            if self.durability == Durability::Queued {
                if self.queue.as_ref().is_some_and(|queue| queue.circuit() != Circuit::Closed) {
                    return Err("the queue does not answer".into());
                }
                if Instant::now() > deadline {
                    return Err(format!("the relay has not taken the event within {:?}", self.durable_wait));
                }
                tokio::select! {
                    () = closed => continue,
                    () = bucket.hurry.notified() => {}
                    () = sleep(pause) => pause = (pause * 2).min(QUEUED_WAIT_MAX.max(pause)),
                }
            }
            self.look(group).await?;
        }
    }
}
