//! Combos: a viewer sends one gift again and again within a window, the count rises, and one closing push tells the end.
//!
//! Everything lives in the shard `user/<payer>` of the cache. Each hit changes three counters in the same step as its hold:
//! - `combo/…`, forgotten when the window runs out: the rising count, and whether the combo still goes on;
//! - `combo-count/…` and `combo-sum/…`, kept longer: how many and how much, for the closing push.
//!
//! The first hit writes down where the sums began (`combo-open/…`) and sets a timer. The combo is closed by the hit that says it is
//! the last, by the timer when it finds the window run out (at most half a window late), or by the first hit of the next combo
//! under the same id, whichever comes first; the push's key, the combo's first event, lets only one through. Hits in between cost
//! no host call of their own. A combo whose closing is more than [`SUMS_KEPT_MS`] late is forgotten without a push.

mod course;

use std::time::Duration;

use greenroom_sdk::{Amount, Id, Problem, Room, Timer, answer, cache, ledger, logging, read_json, room};

use crate::rules::Config;
use course::{Fired, Place, Sums, Then};
pub(crate) use course::{Hit, Open};

/// How much longer than the window the sums are kept: as late as a timer may fire.
const SUMS_KEPT_MS: u32 = 600_000;
/// How long an open combo is written down at most; it is removed when the combo is closed.
const OPEN_KEPT_MS: u32 = 86_400_000;

/// The counters that a hit changes with its hold: rising count, kept count, kept sum.
pub(crate) fn counters(gift_id: Id, combo_id: &str, count: u32, total: Amount, window_ms: u32) -> Vec<ledger::Counter> {
    let keys = Keys::new(gift_id, combo_id);
    let kept_ms = window_ms.saturating_add(SUMS_KEPT_MS);
    let counter = |key, delta, ttl_ms| ledger::Counter { key, delta, max: None, ttl_ms };
    vec![
        counter(keys.rising, i64::from(count), window_ms),
        counter(keys.count, i64::from(count), kept_ms),
        counter(keys.sum, total.get(), kept_ms),
    ]
}

struct Keys {
    rising: String,
    count: String,
    sum: String,
    open: String,
}

impl Keys {
    fn new(gift_id: Id, combo_id: &str) -> Self {
        Self {
            rising: format!("combo/{gift_id}/{combo_id}"),
            count: format!("combo-count/{gift_id}/{combo_id}"),
            sum: format!("combo-sum/{gift_id}/{combo_id}"),
            open: format!("combo-open/{gift_id}/{combo_id}"),
        }
    }
}

/// Opens or closes the combo, if the hit is its first or last.
///
/// # Errors
/// If the cache or the timers refuse; the gift itself is held all the same.
pub(crate) fn after_hit(hit: &Hit, counters: &[i64], window_ms: u32) -> Result<(), Problem> {
    let place = match Place::of(hit, counters) {
        None | Some(Place::Between) => return Ok(()),
        Some(place) => place,
    };
    let keys = Keys::new(hit.gift_id, hit.combo_id);
    let shard = shard(hit.payer);
    let bytes = cache::get(&shard, &keys.open)?;
    let written = bytes.as_deref().map(read_json::<Open>).transpose().map_err(Problem::failed)?;
    let plan = course::after_hit(hit, place, written.as_ref(), window_ms);
    for (open, sums) in &plan.closings {
        push(open, *sums);
    }
    match plan.then {
        Then::Nothing => Ok(()),
        Then::Open(open) => write_down(&open, &shard, &keys.open, &[]),
        Then::OpenIfAbsent(open) => {
            if cache::get_counter(&shard, &keys.rising)? == 0 {
                return Ok(());
            }
            let absent = cache::Check { key: keys.open.clone(), expected: None };
            write_down(&open, &shard, &keys.open, &[absent])
        }
        Then::Forget => {
            forget(&shard, &keys, bytes)?;
            match written {
                Some(open) => open.cancel(),
                None => Ok(()),
            }
        }
    }
}

/// The timer of a combo: closes it if the window has run out, else waits on.
///
/// # Errors
/// If the cache or the timers refuse; the host tries again.
pub(crate) fn fire(_: Room<Config>, mine: Open) -> Result<(), Problem> {
    let keys = Keys::new(mine.gift_id, &mine.combo_id);
    let shard = shard(mine.payer);
    let Some(bytes) = cache::get(&shard, &keys.open)? else { return Ok(()) };
    let written: Open = read_json(&bytes).map_err(Problem::failed)?;
    let counter = |key: &str| cache::get_counter(&shard, key);
    let sums = Sums { count: counter(&keys.count)?, amount: counter(&keys.sum)? };
    match course::on_timer(&mine, Some(&written), sums, counter(&keys.rising)?) {
        Fired::Nothing => Ok(()),
        Fired::WaitOn { after_ms } => mine.set(Duration::from_millis(after_ms)),
        Fired::Close(sums) => {
            push(&mine, sums);
            forget(&shard, &keys, Some(bytes))
        }
    }
}

/// One timer for each open combo.
impl Timer for Open {
    fn key(&self) -> String {
        format!("combo/{}/{}/{}", self.payer, self.gift_id, self.combo_id)
    }
}

fn shard(payer: i64) -> String {
    format!("user/{payer}")
}

fn write_down(open: &Open, shard: &str, key: &str, checks: &[cache::Check]) -> Result<(), Problem> {
    let value = serde_json::to_vec(open).map_err(|e| Problem::failed(e.to_string()))?;
    let put = cache::Put { key: key.into(), value, ttl_ms: Some(OPEN_KEPT_MS) };
    match cache::commit(shard, None, checks, &[cache::Write::Put(put)])? {
        cache::Outcome::Applied(_) => open.set(Duration::from_millis(u64::from(open.window_ms))),
        _ => Ok(()),
    }
}

/// Forgets a closed combo, unless a newer one took its place since it was read.
fn forget(shard: &str, keys: &Keys, read: Option<Vec<u8>>) -> Result<(), Problem> {
    let check = cache::Check { key: keys.open.clone(), expected: read };
    let writes = [&keys.rising, &keys.count, &keys.sum, &keys.open].map(|key| cache::Write::Delete(key.clone()));
    cache::commit(shard, None, &[check], &writes)?;
    Ok(())
}

/// The closing push. A combo of which nothing is known any more is not told of.
fn push(open: &Open, sums: Sums) {
    #[answer]
    struct Closed<'a> {
        combo_id: &'a str,
        gift_id: Id,
        from_user_id: String,
        count: i64,
        total: Amount,
    }

    if sums.count <= 0 {
        return;
    }
    let closed = Closed {
        combo_id: &open.combo_id,
        gift_id: open.gift_id,
        from_user_id: open.payer.to_string(),
        count: sums.count,
        total: Amount::new(sums.amount),
    };
    let key = format!("combo/{}/{}", open.payer, open.first_event_id);
    let pushed = match serde_json::to_string(&closed) {
        Ok(data) => room::broadcast(&key, "gift.combo", &data, room::Priority::Normal).map_err(|e| e.to_string()),
        Err(error) => Err(error.to_string()),
    };
    if let Err(error) = pushed {
        logging::log(logging::Level::Warn, "gift.combo", &format!("not pushed: {error}"));
    }
}
