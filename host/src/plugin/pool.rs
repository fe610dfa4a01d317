//! The warm instances of one plugin: how many calls run at once, how many may wait, and which instance answers next.
//!
//! The instance that was used last is used first, so that the others' memory can grow cold. An instance that is not given back
//! (a trap, a deadline, a call that was dropped) is gone.
//!
//! One instance beyond the concurrency is in reserve for what operators and timers do: viewers who queue for a plugin must not
//! keep it from being disabled or replaced. The bound on the instances of all plugins together holds for the reserve too.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use greenroom_manifest::Isolation;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::plugin::instance::{Template, Warm};
use crate::plugin::state::{Ports, Profile, State};

/// Why there is no instance for a call.
#[derive(Debug)]
pub(crate) enum Refused {
    /// The queue is full, the wait was too long, or all plugins together have too many instances.
    Overloaded,
    /// The component cannot be instantiated.
    Failed(wasmtime::Error),
}

/// For whom a call is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    /// Viewers, or the queue of events.
    Common,
    /// Operators and timers: the reserve as well, with a line of its own before it.
    Reserve,
}

/// See the module's text.
pub(crate) struct Pool {
    template: Template,
    ports: Arc<Ports>,
    profile: Arc<Profile>,
    isolation: Isolation,
    common: Places,
    reserve: Places,
    calls_max: u32,
    idle: Mutex<Vec<Warm>>,
}

impl Pool {
    pub(crate) fn new(
        template: Template,
        ports: Arc<Ports>,
        profile: Arc<Profile>,
        isolation: Isolation,
        waiting_max: usize,
        calls_max: u32,
    ) -> Self {
        let common = Places::new(profile.limits.concurrency as usize, waiting_max);
        let reserve = Places::new(1, waiting_max);
        let idle = Mutex::new(Vec::new());
        Self { template, ports, profile, isolation, common, reserve, calls_max, idle }
    }

    pub(crate) fn template(&self) -> &Template {
        &self.template
    }

    /// An instance for one call, waiting for at most `wait`. Safe to cancel.
    ///
    /// # Errors
    /// See [`Refused`].
    pub(crate) async fn take(&self, line: Line, wait: Duration) -> Result<Taken<'_>, Refused> {
        let permit = match (self.common.free.try_acquire(), line) {
            (Ok(permit), _) => permit,
            (Err(_), Line::Common) => self.common.wait_for(wait).await?,
            (Err(_), Line::Reserve) => self.reserve.wait_for(wait).await?,
        };
        let idle = self.idle.lock().pop();
        let warm = match idle {
            Some(warm) => warm,
            None => self.instantiate().await?,
        };
        Ok(Taken { warm, pool: self, _permit: permit })
    }

    /// Makes an instance and leaves it for the first call.
    ///
    /// # Errors
    /// See [`Refused`].
    pub(crate) async fn warm_up(&self) -> Result<(), Refused> {
        let warm = self.instantiate().await?;
        self.put(warm);
        Ok(())
    }

    /// Lets go of every idle instance and says how many there were.
    pub(crate) fn trim(&self) -> usize {
        std::mem::take(&mut *self.idle.lock()).len()
    }

    /// Instances that wait for a call.
    pub(crate) fn idle(&self) -> usize {
        self.idle.lock().len()
    }

    async fn instantiate(&self) -> Result<Warm, Refused> {
        let state = State::new(Arc::clone(&self.ports), Arc::clone(&self.profile));
        self.template.instantiate(state).await.map_err(|error| {
            if error.is::<wasmtime::PoolConcurrencyLimitError>() { Refused::Overloaded } else { Refused::Failed(error) }
        })
    }

    fn put(&self, warm: Warm) {
        if self.isolation == Isolation::Warm && !warm.worn(self.calls_max) {
            self.idle.lock().push(warm);
        }
    }
}

/// Instances that may answer at the same time, and a bounded line of calls before them.
struct Places {
    free: Semaphore,
    waiting: AtomicUsize,
    waiting_max: usize,
}

impl Places {
    fn new(count: usize, waiting_max: usize) -> Self {
        Self { free: Semaphore::new(count), waiting: AtomicUsize::new(0), waiting_max }
    }

    async fn wait_for(&self, wait: Duration) -> Result<SemaphorePermit<'_>, Refused> {
        if let Ok(permit) = self.free.try_acquire() {
            return Ok(permit);
        }
        let place = Place(&self.waiting);
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= self.waiting_max {
            return Err(Refused::Overloaded);
        }
        let permit = tokio::time::timeout(wait, self.free.acquire()).await;
        drop(place);
        permit.ok().and_then(Result::ok).ok_or(Refused::Overloaded)
    }
}

/// A place in a line, given up when dropped.
struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An instance that is out of the pool for one call.
pub(crate) struct Taken<'a> {
    pub(crate) warm: Warm,
    pool: &'a Pool,
    _permit: SemaphorePermit<'a>,
}

impl Taken<'_> {
    /// Gives the instance back for the next call.
    pub(crate) fn give_back(self) {
        self.pool.put(self.warm);
    }
}
