//! The functions that components import, each interface once, over the ports. Step 4 of the way of a gift.
//!
//! Every call is counted and its grant looked at again; every argument is checked, and `invalid` names the field. Nothing here
//! waits for durability: positions and pushes are left in the call.

mod cache;
mod clocks;
mod config;
mod db;
pub(crate) mod keyvalue;
mod ledger;
mod logging;
mod mq;
mod pots;
mod random;
mod room;
mod rows;
#[cfg(test)]
mod tests;
mod timer;

use std::cell::Cell;
use std::num::NonZeroU32;
use std::sync::LazyLock;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use wasmtime::component::{HasSelf, Linker};

use crate::plugin::bindings::{greenroom, wasi};
use crate::plugin::state::State;

pub(crate) use pots::Pots;
pub(crate) use rows::RememberedRows;

/// Everything that this host offers.
///
/// # Errors
/// If a name is defined twice: a fault of this program.
pub(crate) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    greenroom::ledger::ledger::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    greenroom::cache::cache::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    greenroom::db::db::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    greenroom::mq::mq::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    greenroom::room::room::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    greenroom::timer::timer::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    wasi::config::store::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    wasi::logging::logging::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    wasi::clocks::wall_clock::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    wasi::clocks::monotonic_clock::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    wasi::random::random::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    wasi::keyvalue::store::add_to_linker::<_, HasSelf<State>>(linker, |state| state)
}

/// The greatest payload of an event, in bytes.
const PAYLOAD_BYTES_MAX: usize = 16 * 1024;

/// One line a second tells of backends that do not answer.
static TOLD: LazyLock<DefaultDirectRateLimiter> =
    LazyLock::new(|| RateLimiter::direct(Quota::per_second(NonZeroU32::MIN)));

tokio::task_local! {
    /// Whether a backend did not answer during this call. What the call then says of its events is no fault of theirs.
    static OUTAGE: Cell<bool>;
}

/// Makes a call, and says whether a backend did not answer during it.
pub(crate) async fn watched<T>(call: impl Future<Output = T>) -> (T, bool) {
    OUTAGE.scope(Cell::new(false), async { (call.await, OUTAGE.with(Cell::get)) }).await
}

/// What a plugin is told of a backend that does not answer, and may tell its callers. The backend's own words are for the log: they
/// may name hosts and tables.
pub(crate) fn unavailable(what: &str, cause: &str) -> String {
    let _ = OUTAGE.try_with(|outage| outage.set(true));
    // Each request of an outage has one.
    if TOLD.check().is_ok() {
        tracing::warn!(cause, "{what} is unavailable");
    }
    format!("{what} does not answer")
}

/// Checks the length of a text, in bytes.
fn length(field: &str, text: &str, max: usize) -> Result<(), String> {
    if text.is_empty() || text.len() > max {
        return Err(format!("{field} has {} bytes; it may have 1 to {max}", text.len()));
    }
    Ok(())
}

/// Checks the size of bytes, which may be empty.
pub(crate) fn size(field: &str, bytes: usize, max: usize) -> Result<(), String> {
    if bytes > max {
        return Err(format!("{field} has {bytes} bytes; it may have up to {max}"));
    }
    Ok(())
}

/// Ends a call's log: says what was left out.
pub(crate) fn finish_log(state: &State) {
    logging::finish(state);
}
