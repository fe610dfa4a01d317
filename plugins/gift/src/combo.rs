//! Combos: a viewer sends one gift again and again within a window, the count rises, and one closing push tells the end.
//!
//! Everything lives in the shard `user/<payer>` of the cache. Each hit changes three counters in the same step as its hold:
//! - `combo/…`, forgotten when the window runs out: the rising count, and whether the combo still goes on;
//! - `combo-count/…` and `combo-sum/…`, kept longer: how many and how much, for the closing push.
//!
//! The first hit writes down where the sums began (`combo-open/…`) and sets a timer. The combo is closed by the hit that says it is
//! the last, by the timer when it finds the window run out, or by the first hit of the next combo under the same id, whichever
//! comes first; the push's key, the combo's first event, lets only one through. Hits in between cost no host call of their own.

use greenroom_sdk::{Amount, Id, Problem, cache, ledger, logging, read_json, room, timer};
use serde::{Deserialize, Serialize};

/// How much longer than the window the sums are kept: as late as a timer may fire.
const SUMS_KEPT_MS: u32 = 600_000;

/// One gift of a combo that was just held.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hit<'a> {
    pub(crate) combo_id: &'a str,
    pub(crate) gift_id: Id,
    pub(crate) payer: i64,
    pub(crate) event_id: &'a str,
    pub(crate) count: u32,
    pub(crate) amount: Amount,
    pub(crate) is_last: bool,
}

/// How many and how much.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Sums {
    count: i64,
    amount: i64,
}

impl Sums {
    fn less(self, other: Sums) -> Sums {
        Sums { count: self.count.saturating_sub(other.count), amount: self.amount.saturating_sub(other.amount) }
    }
}

/// An open combo, as its first hit writes it down; also the payload of its timer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Open {
    combo_id: String,
    gift_id: Id,
    payer: i64,
    /// The event of the first hit: names this combo among those with the same id.
    first_event_id: String,
    /// What the sums were before the first hit.
    base: Sums,
    window_ms: u32,
}

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

/// What a hit is to its combo.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// The first and the last.
    Only,
    /// The first; the sums before it, which are those of an earlier combo under the same id that is not closed yet.
    First(Sums),
    /// Neither.
    Between,
    /// The last; the sums with it.
    Last(Sums),
}

/// From the counters right after the hit.
fn place(hit: &Hit, counters: &[i64]) -> Option<Place> {
    let [rising, count, amount, ..] = counters else { return None };
    let sums = Sums { count: *count, amount: *amount };
    let own = Sums { count: i64::from(hit.count), amount: hit.amount.get() };
    let is_first = *rising == own.count;
    Some(match (is_first, hit.is_last) {
        (true, true) if sums == own => Place::Only,
        (true, _) => Place::First(sums.less(own)),
        (false, true) => Place::Last(sums),
        (false, false) => Place::Between,
    })
}

/// Opens or closes the combo, if the hit is its first or last.
///
/// # Errors
/// If the cache or the timers refuse; the gift itself is held all the same.
pub(crate) fn after_hit(hit: &Hit, counters: &[i64], window_ms: u32) -> Result<(), Problem> {
    let keys = Keys::new(hit.gift_id, hit.combo_id);
    let shard = shard(hit.payer);
    match place(hit, counters) {
        None | Some(Place::Between) => Ok(()),
        Some(Place::Only) => {
            let open = Open::by(hit, Sums::default(), window_ms);
            push(&open, Sums { count: i64::from(hit.count), amount: hit.amount.get() });
            forget(&shard, &keys, None)
        }
        Some(Place::First(base)) => {
            let before = cache::get(&shard, &keys.open)?.and_then(|bytes| read_json::<Open>(&bytes).ok());
            if let Some(before) = before.filter(|before| before.first_event_id != hit.event_id) {
                push(&before, base.less(before.base));
            }
            let open = Open::by(hit, base, window_ms);
            if hit.is_last {
                push(&open, Sums { count: i64::from(hit.count), amount: hit.amount.get() });
                return forget(&shard, &keys, None);
            }
            open.write_down(&shard, &keys.open)
        }
        Some(Place::Last(sums)) => {
            let Some(bytes) = cache::get(&shard, &keys.open)? else { return Ok(()) };
            let open: Open = read_json(&bytes).map_err(Problem::failed)?;
            push(&open, sums.less(open.base));
            forget(&shard, &keys, Some(bytes))?;
            Ok(timer::cancel(&open.timer_key())?)
        }
    }
}

/// The timer of a combo: closes it if the window has run out, else waits on.
///
/// # Errors
/// If the cache or the timers refuse; the host tries again.
pub(crate) fn fire(key: &str, payload: &[u8]) -> Result<(), String> {
    let mine: Open = read_json(payload).map_err(|e| format!("timer `{key}`: {e}"))?;
    let keys = Keys::new(mine.gift_id, &mine.combo_id);
    let shard = shard(mine.payer);
    let failed = |error: cache::Error| error.to_string();
    let Some(bytes) = cache::get(&shard, &keys.open).map_err(failed)? else { return Ok(()) };
    if read_json::<Open>(&bytes)?.first_event_id != mine.first_event_id {
        return Ok(());
    }
    // The sums first: if the rising count is forgotten after that, no hit came since they were read.
    let sums = Sums {
        count: cache::get_counter(&shard, &keys.count).map_err(failed)?,
        amount: cache::get_counter(&shard, &keys.sum).map_err(failed)?,
    };
    if cache::get_counter(&shard, &keys.rising).map_err(failed)? > 0 {
        let after_ms = u64::from(mine.window_ms / 2);
        return timer::set(&mine.timer_key(), after_ms, payload).map_err(|e| e.to_string());
    }
    push(&mine, sums.less(mine.base));
    forget(&shard, &keys, Some(bytes)).map_err(|problem| problem.detail)
}

impl Open {
    fn by(hit: &Hit, base: Sums, window_ms: u32) -> Self {
        Self {
            combo_id: hit.combo_id.into(),
            gift_id: hit.gift_id,
            payer: hit.payer,
            first_event_id: hit.event_id.into(),
            base,
            window_ms,
        }
    }

    fn timer_key(&self) -> String {
        format!("combo/{}/{}/{}", self.payer, self.gift_id, self.combo_id)
    }

    fn write_down(&self, shard: &str, key: &str) -> Result<(), Problem> {
        let value = serde_json::to_vec(self).map_err(|e| Problem::failed(e.to_string()))?;
        let ttl_ms = Some(self.window_ms.saturating_add(SUMS_KEPT_MS));
        let put = cache::Put { key: key.into(), value: value.clone(), ttl_ms };
        cache::commit(shard, None, &[], &[cache::Write::Put(put)])?;
        Ok(timer::set(&self.timer_key(), u64::from(self.window_ms), &value)?)
    }
}

fn shard(payer: i64) -> String {
    format!("user/{payer}")
}

/// Forgets a closed combo, unless its place was taken by a newer one in the meantime.
fn forget(shard: &str, keys: &Keys, open: Option<Vec<u8>>) -> Result<(), Problem> {
    let checks: Vec<cache::Check> =
        open.map(|bytes| cache::Check { key: keys.open.clone(), expected: Some(bytes) }).into_iter().collect();
    let writes = [&keys.rising, &keys.count, &keys.sum, &keys.open].map(|key| cache::Write::Delete(key.clone()));
    cache::commit(shard, None, &checks, &writes)?;
    Ok(())
}

/// The closing push.
fn push(open: &Open, sums: Sums) {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Closed<'a> {
        combo_id: &'a str,
        gift_id: Id,
        from_user_id: String,
        count: i64,
        total: Amount,
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
