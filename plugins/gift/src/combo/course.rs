//! The course of a combo: what a hit or a timer means, decided from what the cache holds. Pure.

use greenroom_sdk::{Amount, Id, stored};

/// One gift of a combo that was just held.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hit<'a> {
    pub(crate) combo_id: &'a str,
    pub(crate) gift_id: Id,
    pub(crate) payer: i64,
    pub(crate) event_id: &'a str,
    pub(crate) count: u32,
    pub(crate) amount: Amount,
    /// The client says that this one ends the combo.
    pub(crate) is_last: bool,
    /// The event id was known: this is the answer of the first time once more.
    pub(crate) is_replayed: bool,
}

/// How many and how much.
#[derive(Copy, Default, Eq)]
#[stored]
pub(super) struct Sums {
    pub(super) count: i64,
    pub(super) amount: i64,
}

impl Sums {
    pub(super) fn less(self, other: Sums) -> Sums {
        Sums { count: self.count.saturating_sub(other.count), amount: self.amount.saturating_sub(other.amount) }
    }
}

/// An open combo, as its first hit writes it down; also the payload of its timer.
#[derive(Eq)]
#[stored]
pub(crate) struct Open {
    pub(super) combo_id: String,
    pub(super) gift_id: Id,
    pub(super) payer: i64,
    /// The event of the first hit: tells this combo from others under the same id.
    pub(super) first_event_id: String,
    /// What the sums were before the first hit.
    pub(super) base: Sums,
    pub(super) window_ms: u32,
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
}

/// What a hit is to its combo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The first, with the sums before it: those of an earlier combo under the same id that is not closed yet, or none.
    First(Sums),
    /// Neither first nor last.
    Between,
    /// The last, with the sums that it completes.
    Last(Sums),
}

impl Place {
    /// From the counters right after the hit; none if they are not those of a combo.
    pub(super) fn of(hit: &Hit, counters: &[i64]) -> Option<Self> {
        let [rising, count, amount, ..] = counters else { return None };
        let sums = Sums { count: *count, amount: *amount };
        let own = own(hit);
        Some(match (*rising == own.count, hit.is_last) {
            (true, _) => Self::First(sums.less(own)),
            (false, true) => Self::Last(sums),
            (false, false) => Self::Between,
        })
    }
}

fn own(hit: &Hit) -> Sums {
    Sums { count: i64::from(hit.count), amount: hit.amount.get() }
}

/// What is to be done about a hit: push these closings, then this.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) closings: Vec<(Open, Sums)>,
    pub(super) then: Then,
}

/// The one change that follows.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Then {
    Nothing,
    /// Write the combo down, over any other, and set its timer.
    Open(Open),
    /// The same if none is written down.
    OpenIfAbsent(Open),
    /// Forget the combo if it is still the one that was read.
    Forget,
}

/// What a first or last hit leads to, given what is written down under the combo's id.
pub(super) fn after_hit(hit: &Hit, place: Place, written: Option<&Open>, window_ms: u32) -> Plan {
    let nothing = Plan { closings: Vec::new(), then: Then::Nothing };
    match (place, hit.is_replayed) {
        // A first hit whose follow-up was lost. Whatever else a repetition could do, the timer does.
        (Place::First(base), true) if !hit.is_last && written.is_none() => {
            Plan { closings: Vec::new(), then: Then::OpenIfAbsent(Open::by(hit, base, window_ms)) }
        }
        (_, true) | (Place::Between, false) => nothing,
        (Place::First(base), false) => {
            let open = Open::by(hit, base, window_ms);
            let mut closings: Vec<_> =
                written.map(|earlier| (earlier.clone(), base.less(earlier.base))).into_iter().collect();
            if !hit.is_last {
                return Plan { closings, then: Then::Open(open) };
            }
            closings.push((open, own(hit)));
            Plan { closings, then: Then::Forget }
        }
        (Place::Last(sums), false) => match written {
            Some(open) => Plan { closings: vec![(open.clone(), sums.less(open.base))], then: Then::Forget },
            None => nothing,
        },
    }
}

/// What a timer leads to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fired {
    /// The combo was closed by a hit.
    Nothing,
    /// A hit came within the window: look again later.
    WaitOn { after_ms: u64 },
    /// The window has run out.
    Close(Sums),
}

/// `rising` must be read after `sums`: if it is forgotten then, no hit came since the sums were read.
pub(super) fn on_timer(mine: &Open, written: Option<&Open>, sums: Sums, rising: i64) -> Fired {
    match written {
        Some(open) if open.first_event_id == mine.first_event_id => {}
        _ => return Fired::Nothing,
    }
    if rising > 0 {
        return Fired::WaitOn { after_ms: u64::from(mine.window_ms / 2).max(1) };
    }
    Fired::Close(sums.less(mine.base))
}

#[cfg(test)]
mod tests;
