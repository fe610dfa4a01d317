//! What the server has promised: which gifts it acknowledged, and what each viewer has spent by that.
//!
//! One byte a gift and one sum a viewer, shared by all connections. Copies of a gift may be answered in any order; a gift
//! counts once, and two answers that both claim to be the first are a fault of the server.

use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU64, Ordering::Relaxed};

use super::plan::Gift;

/// Answered with 200.
const ACKNOWLEDGED: u8 = 1;
/// Answered with 200 and `replayed: false`.
const FRESH: u8 = 2;
/// Answered with a refusal, which has no effect.
const REFUSED: u8 = 4;

/// The promises of one run.
pub(super) struct Outcomes {
    gifts: Vec<AtomicU8>,
    spent: Vec<AtomicI64>,
    acknowledged: AtomicU64,
    faults: AtomicU64,
}

impl Outcomes {
    pub(super) fn new(gifts: u64, viewers: u32) -> Self {
        Self {
            gifts: (0..gifts).map(|_| AtomicU8::new(0)).collect(),
            spent: (0..viewers).map(|_| AtomicI64::new(0)).collect(),
            acknowledged: AtomicU64::new(0),
            faults: AtomicU64::new(0),
        }
    }

    /// The server answered 200: the viewer paid `total`, now or when it was asked first.
    pub(super) fn acknowledge(&self, gift: &Gift, total: i64, replayed: bool) {
        let before = self.mark(gift, if replayed { ACKNOWLEDGED } else { ACKNOWLEDGED | FRESH });
        if !replayed && before & FRESH != 0 {
            self.faults.fetch_add(1, Relaxed);
        }
        if before & ACKNOWLEDGED != 0 {
            return;
        }
        self.acknowledged.fetch_add(1, Relaxed);
        let spent = usize::try_from(gift.viewer).ok().and_then(|viewer| self.spent.get(viewer));
        let added = spent.map(|spent| spent.fetch_update(Relaxed, Relaxed, |sum| sum.checked_add(total)));
        if !matches!(added, Some(Ok(_))) {
            self.faults.fetch_add(1, Relaxed);
        }
    }

    /// The server refused for good; another copy may still have been acknowledged before.
    pub(super) fn refuse(&self, gift: &Gift) {
        self.mark(gift, REFUSED);
    }

    /// Whether nobody knows yet what became of the gift.
    pub(super) fn is_unclear(&self, gift: &Gift) -> bool {
        self.mark(gift, 0) == 0
    }

    /// Distinct gifts that were acknowledged.
    pub(super) fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Relaxed)
    }

    /// Gifts that were acknowledged as new more than once.
    pub(super) fn faults(&self) -> u64 {
        self.faults.load(Relaxed)
    }

    /// What a viewer has spent.
    pub(super) fn spent(&self, viewer: usize) -> i64 {
        self.spent.get(viewer).map_or(0, |sum| sum.load(Relaxed))
    }

    fn mark(&self, gift: &Gift, bits: u8) -> u8 {
        let state = usize::try_from(gift.number).ok().and_then(|number| self.gifts.get(number));
        state.map_or(0, |state| state.fetch_or(bits, Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIFT: Gift = Gift { number: 1, viewer: 2, room: 0, combo: None };

    #[test]
    fn copies_of_a_gift_are_spent_once_in_whatever_order_they_are_answered() {
        let outcomes = Outcomes::new(2, 3);
        assert!(outcomes.is_unclear(&GIFT));
        outcomes.acknowledge(&GIFT, 10, true);
        outcomes.acknowledge(&GIFT, 10, false);
        outcomes.acknowledge(&GIFT, 10, true);
        assert_eq!((outcomes.acknowledged(), outcomes.spent(2), outcomes.faults()), (1, 10, 0));
        assert!(!outcomes.is_unclear(&GIFT));
    }

    #[test]
    fn a_gift_that_is_acknowledged_as_new_twice_is_a_fault() {
        let outcomes = Outcomes::new(2, 3);
        outcomes.acknowledge(&GIFT, 10, false);
        outcomes.acknowledge(&GIFT, 10, false);
        assert_eq!((outcomes.spent(2), outcomes.faults()), (10, 1));
    }

    #[test]
    fn a_refused_gift_is_clear_and_costs_nothing() {
        let outcomes = Outcomes::new(2, 3);
        outcomes.refuse(&GIFT);
        assert_eq!((outcomes.is_unclear(&GIFT), outcomes.spent(2), outcomes.acknowledged()), (false, 0, 0));
    }
}
