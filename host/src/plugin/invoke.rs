//! One call of one plugin, from the circuit to the answer. Steps 3 and 6 of the way of a gift.
//!
//! The instance is given back before the call's effects are durable; the pushes are published and the answer given only after.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::try_join;
use wasmtime::Trap;

use crate::domain::PushMessage;
use crate::ledger::Ledger;
use crate::plugin::bindings::exports::greenroom::plugin::consumer;
use crate::plugin::instance::{Input, Output, Warm};
use crate::plugin::pool::{Line, Refused};
use crate::plugin::state::{Breach, Call, Kind, Told};
use crate::plugin::{Context, Error, Plugin, host};
use crate::ports::cache::{Cache, Position};
use crate::ports::push_bus::PushBus;

/// What calls need besides the plugin.
pub(crate) struct Caller<'a> {
    pub(crate) cache: &'a dyn Cache,
    pub(crate) ledger: &'a Ledger,
    pub(crate) push_bus: &'a dyn PushBus,
    /// How long the events of a batch that failed may be tried alone.
    pub(crate) alone_max: Duration,
}

/// What a call left behind.
struct Left {
    positions: BTreeSet<Position>,
    told: Vec<Told>,
    pushes: Vec<PushMessage>,
}

impl Caller<'_> {
    /// Makes the call and returns once its effects are durable and its pushes are with the bus. If the caller stops waiting, a hold
    /// that was made stands.
    ///
    /// # Errors
    /// If the call gave no answer, or one that may not be told yet.
    pub(crate) async fn call(
        &self,
        plugin: &Plugin,
        kind: Kind,
        context: Option<&Arc<Context>>,
        input: Input<'_>,
    ) -> Result<Output, Error> {
        let began = Instant::now();
        let timeout = match kind {
            Kind::Consume(_) => plugin.limits.batch_timeout,
            _ => plugin.limits.timeout,
        };
        let left = || timeout.saturating_sub(began.elapsed());
        let is_batch = matches!(kind, Kind::Consume(_));
        let call = Call::new(kind, context.cloned(), &plugin.limits);
        let (ran, is_outage) = host::watched(run(plugin, call, input, timeout, left)).await;
        if is_batch && is_outage && !has_dealt(&ran) {
            return Err(Error::Unavailable("a backend did not answer".into()));
        }
        let (output, effects) = ran?;
        // Together, so that whoever settles may tell of the books while durability is still waited for.
        let tellable = try_join(self.durable(effects.positions), self.settled(effects.told));
        match within(left, pin!(tellable)).await {
            Some(tellable) => drop(tellable?),
            None => return Err(Error::NotDurable(format!("not within {timeout:?}"))),
        }
        if !effects.pushes.is_empty() {
            self.publish(plugin, effects.pushes, left).await;
        }
        Ok(output)
    }

    async fn durable(&self, positions: BTreeSet<Position>) -> Result<(), Error> {
        // From the last: where positions are of one journal, the others are durable then.
        for position in positions.into_iter().rev() {
            self.cache.durable(position).await.map_err(|error| Error::NotDurable(error.to_string()))?;
        }
        Ok(())
    }

    async fn settled(&self, told: Vec<Told>) -> Result<(), Error> {
        for Told { payer, event_id, digest } in told {
            self.ledger.tellable(payer, &event_id, digest).await?;
        }
        Ok(())
    }

    /// Pushes are at most once: one that the bus does not take is lost, and the answer stands.
    async fn publish(&self, plugin: &Plugin, pushes: Vec<PushMessage>, left: impl Fn() -> Duration) {
        match within(left, pin!(self.push_bus.publish(pushes))).await {
            Some(Ok(())) => {}
            Some(Err(error)) => tracing::warn!(plugin = plugin.manifest.name, "pushes are lost: {error}"),
            None => tracing::warn!(plugin = plugin.manifest.name, "pushes are lost: the bus did not take them in time"),
        }
    }
}

/// Whether a batch needs no other try.
fn has_dealt(ran: &Result<(Output, Left), Error>) -> bool {
    match ran {
        Ok((Output::Verdicts(verdicts), _)) => {
            !verdicts.iter().any(|verdict| matches!(verdict, consumer::Verdict::RetryAfter(_)))
        }
        Ok(_) => true,
        Err(_) => false,
    }
}

async fn run(
    plugin: &Plugin,
    call: Call,
    input: Input<'_>,
    timeout: Duration,
    left: impl Fn() -> Duration,
) -> Result<(Output, Left), Error> {
    let export = input.export();
    let batch = matches!(call.kind, Kind::Consume(_));
    let line = if matches!(input, Input::On(_) | Input::Fire(..)) { Line::Reserve } else { Line::Common };
    let mut taken = plugin.pool.take(line, left()).await.map_err(|refused| no_instance(plugin, refused))?;
    let called = within(left, pin!(taken.warm.call(call, input))).await;
    let Some(called) = called else { return Err(timed_out(plugin, timeout)) };
    match called {
        Ok(Output::NoExport) => {
            taken.give_back();
            Err(Error::NoExport { plugin: plugin.manifest.name.clone(), export })
        }
        Ok(output) => {
            let effects = take_effects(&mut taken.warm);
            taken.give_back();
            Ok((output, effects))
        }
        Err(error) => {
            host::finish_log(taken.warm.store.data());
            let deadline = if batch { plugin.limits.batch_deadline } else { plugin.limits.deadline };
            Err(failure(plugin, &taken.warm, &error, deadline))
        }
    }
}

fn take_effects(warm: &mut Warm) -> Left {
    let state = warm.store.data_mut();
    host::finish_log(state);
    // Nothing of a call outlives it in the instance.
    state.call.context = None;
    state.call.kind = Kind::Told;
    state.call.by_id = None;
    state.call.known.clear();
    state.call.rooms.clear();
    Left {
        positions: std::mem::take(&mut state.call.positions),
        told: std::mem::take(&mut state.call.told),
        pushes: std::mem::take(&mut state.call.pushes),
    }
}

fn no_instance(plugin: &Plugin, refused: Refused) -> Error {
    let name = plugin.manifest.name.clone();
    match refused {
        Refused::Overloaded => Error::Overloaded { plugin: name },
        Refused::Failed(error) => {
            tracing::warn!(plugin = name, "cannot be instantiated: {error:?}");
            Error::Failed { plugin: name, reason: format!("cannot be instantiated: {}", error.root_cause()) }
        }
    }
}

fn timed_out(plugin: &Plugin, limit: Duration) -> Error {
    Error::Timeout { plugin: plugin.manifest.name.clone(), limit }
}

fn failure(plugin: &Plugin, warm: &Warm, error: &wasmtime::Error, deadline: Duration) -> Error {
    let state = warm.store.data();
    let reason = match &state.call.breach {
        Some(Breach::Deadline) => return timed_out(plugin, deadline),
        Some(Breach::Limit(what)) => what.clone(),
        None => {
            let words = match error.downcast_ref::<Trap>() {
                Some(trap) => trap.to_string(),
                None => error.root_cause().to_string(),
            };
            let memory = &state.memory;
            if memory.refused {
                format!("{words} (it was refused more than {} bytes of memory)", memory.limit)
            } else {
                words
            }
        }
    };
    // The caller sees the reason; the backtrace is for the plugin's author.
    tracing::warn!(plugin = plugin.manifest.name, version = %plugin.manifest.version, "{error:?}");
    Error::Failed { plugin: plugin.manifest.name.clone(), reason }
}

/// Awaits a future for as long as is left; none if that was not enough. A future that is ready at once costs no timer.
async fn within<F: Future>(left: impl Fn() -> Duration, mut future: Pin<&mut F>) -> Option<F::Output> {
    if let std::task::Poll::Ready(output) = futures::poll!(future.as_mut()) {
        return Some(output);
    }
    tokio::time::timeout(left(), future).await.ok()
}
