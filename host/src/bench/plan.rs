//! What is sent: a seeded sequence of gifts, some in combos, some sent again under the same event id.
//!
//! Copies come as an impatient network makes them: half of them together with the original, on other connections, and half
//! later. Bounded: at most [`COMBOS_OPEN_MAX`] combos are open, and copies wait for at most [`COPY_LAG_MAX`] requests.

use std::collections::{BTreeMap, VecDeque};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::zipf::Zipf;

/// Combos that are open at the same time.
const COMBOS_OPEN_MAX: usize = 64;
/// Gifts in a combo.
const COMBO_LEN: std::ops::RangeInclusive<u32> = 2..=10;
/// Copies of a gift that is sent again, besides the original.
const COPIES: std::ops::RangeInclusive<u32> = 1..=4;
/// How many requests later a late copy comes.
const COPY_LAG_MAX: u64 = 2_000;

/// The shape of the load.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    pub(super) viewers: u32,
    pub(super) rooms: Zipf,
    /// If given, every viewer stays in one of so many rooms, and `rooms` is not asked.
    pub(super) own_rooms: Option<u32>,
    /// Of 1,000 gifts, how many begin a combo.
    pub(super) combos_permille: u32,
    /// Of 1,000 gifts, how many are sent again.
    pub(super) duplicates_permille: u32,
    /// Distinct gifts, at most.
    pub(super) gifts_max: u64,
}

/// One gift of one viewer; its number stands for its event id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gift {
    pub(super) number: u64,
    pub(super) viewer: u32,
    pub(super) room: u32,
    pub(super) combo: Option<Combo>,
}

/// A gift's place in a combo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Combo {
    /// The number of its first gift.
    pub(super) first: u64,
    pub(super) end: bool,
}

/// One sending of a gift.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) gift: Gift,
    /// Its place in the schedule; a copy that comes together with the original shares the original's.
    pub(super) slot: u64,
}

struct OpenCombo {
    first: u64,
    viewer: u32,
    room: u32,
    left: u32,
}

/// The sequence. The same seed and shape give the same sequence.
pub(super) struct Plan {
    rng: StdRng,
    shape: Shape,
    next_gift: u64,
    next_slot: u64,
    combos: VecDeque<OpenCombo>,
    together: VecDeque<Request>,
    /// By the slot from which on they are sent, and a number that tells them apart.
    late: BTreeMap<(u64, u64), Gift>,
    next_copy: u64,
}

impl Plan {
    pub(super) fn new(seed: u64, shape: Shape) -> Self {
        Self {
            rng: StdRng::seed_from_u64(seed),
            shape,
            next_gift: 0,
            next_slot: 0,
            combos: VecDeque::new(),
            together: VecDeque::new(),
            late: BTreeMap::new(),
            next_copy: 0,
        }
    }

    fn fresh(&mut self) -> Option<Gift> {
        if self.next_gift >= self.shape.gifts_max {
            return None;
        }
        let number = self.next_gift;
        self.next_gift += 1;
        let (viewer, room, combo) = match self.continued() {
            Some(open) => open,
            None => self.begun(number),
        };
        Some(Gift { number, viewer, room, combo })
    }

    /// The next gift of an open combo, for every second gift while there is one.
    fn continued(&mut self) -> Option<(u32, u32, Option<Combo>)> {
        if self.combos.is_empty() || self.rng.random_ratio(1, 2) {
            return None;
        }
        let mut open = self.combos.pop_front()?;
        open.left = open.left.saturating_sub(1);
        let combo = Combo { first: open.first, end: open.left == 0 };
        let (viewer, room) = (open.viewer, open.room);
        if !combo.end {
            self.combos.push_back(open);
        }
        Some((viewer, room, Some(combo)))
    }

    fn begun(&mut self, number: u64) -> (u32, u32, Option<Combo>) {
        let viewer = self.rng.random_range(0..self.shape.viewers.max(1));
        let room = match self.shape.own_rooms {
            Some(rooms) => viewer % rooms.max(1),
            None => self.shape.rooms.sample(&mut self.rng),
        };
        let begins = self.rng.random_range(0..1000) < self.shape.combos_permille;
        if !begins || self.combos.len() >= COMBOS_OPEN_MAX {
            return (viewer, room, None);
        }
        let left = self.rng.random_range(COMBO_LEN) - 1;
        self.combos.push_back(OpenCombo { first: number, viewer, room, left });
        (viewer, room, Some(Combo { first: number, end: false }))
    }

    fn plan_copies(&mut self, original: Request) {
        if self.rng.random_range(0..1000) >= self.shape.duplicates_permille {
            return;
        }
        for _ in 0..self.rng.random_range(COPIES) {
            if self.rng.random_ratio(1, 2) {
                self.together.push_back(original);
            } else {
                let from = original.slot + self.rng.random_range(1..=COPY_LAG_MAX);
                self.late.insert((from, self.next_copy), original.gift);
                self.next_copy += 1;
            }
        }
    }

    fn late_copy(&mut self, any: bool) -> Option<Gift> {
        let entry = self.late.first_entry()?;
        (any || entry.key().0 <= self.next_slot).then(|| entry.remove())
    }
}

impl Iterator for Plan {
    type Item = Request;

    fn next(&mut self) -> Option<Request> {
        if let Some(copy) = self.together.pop_front() {
            self.next_slot += 1;
            return Some(copy);
        }
        if let Some(gift) = self.late_copy(false) {
            return Some(self.at_next_slot(gift));
        }
        if let Some(gift) = self.fresh() {
            let request = self.at_next_slot(gift);
            self.plan_copies(request);
            return Some(request);
        }
        let gift = self.late_copy(true)?;
        Some(self.at_next_slot(gift))
    }
}

impl Plan {
    fn at_next_slot(&mut self, gift: Gift) -> Request {
        let slot = self.next_slot;
        self.next_slot += 1;
        Request { gift, slot }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn plan(seed: u64, combos_permille: u32, duplicates_permille: u32) -> Vec<Request> {
        let rooms = Zipf::new(5, 1.1);
        let shape =
            Shape { viewers: 100, rooms, own_rooms: None, combos_permille, duplicates_permille, gifts_max: 20_000 };
        Plan::new(seed, shape).collect()
    }

    fn sendings(requests: &[Request]) -> HashMap<u64, Vec<Request>> {
        let mut by_gift: HashMap<u64, Vec<Request>> = HashMap::new();
        for request in requests {
            by_gift.entry(request.gift.number).or_default().push(*request);
        }
        by_gift
    }

    #[test]
    fn the_same_seed_gives_the_same_plan_and_another_seed_another() {
        assert_eq!(plan(1, 200, 50), plan(1, 200, 50));
        assert_ne!(plan(1, 200, 50), plan(2, 200, 50));
    }

    #[test]
    fn every_gift_is_sent_once_if_nothing_is_duplicated() {
        let requests = plan(3, 200, 0);
        let numbers: Vec<u64> = requests.iter().map(|request| request.gift.number).collect();
        assert_eq!(numbers, (0..20_000).collect::<Vec<_>>());
    }

    #[test]
    fn the_share_of_gifts_that_are_sent_again_is_as_asked_and_copies_are_identical() {
        let sendings = sendings(&plan(4, 200, 50));
        assert_eq!(sendings.len(), 20_000);
        let again: Vec<&Vec<Request>> = sendings.values().filter(|sent| sent.len() > 1).collect();
        assert!((850..1_150).contains(&again.len()), "{}", again.len());
        assert!(again.iter().all(|sent| sent.len() <= 5 && sent.iter().all(|copy| copy.gift == sent[0].gift)));
    }

    #[test]
    fn copies_come_together_with_the_original_and_later() {
        let sendings = sendings(&plan(5, 0, 100));
        let copies = || sendings.values().flat_map(|sent| sent.iter().skip(1).map(|copy| copy.slot - sent[0].slot));
        let together = copies().filter(|lag| *lag == 0).count();
        let late = copies().filter(|lag| *lag > 0).count();
        assert!(together > 1_500 && late > 1_500, "{together} together, {late} late");
        assert!(copies().all(|lag| lag <= COPY_LAG_MAX + 64));
    }

    #[test]
    fn a_combo_stays_with_one_viewer_in_one_room_and_ends_once() {
        let mut combos: HashMap<u64, Vec<Gift>> = HashMap::new();
        for request in plan(6, 200, 0) {
            if let Some(combo) = request.gift.combo {
                combos.entry(combo.first).or_default().push(request.gift);
            }
        }
        let ended: Vec<&Vec<Gift>> = combos.values().filter(|gifts| gifts.iter().any(is_end)).collect();
        assert!(ended.len() > 500, "{}", ended.len());
        for gifts in ended {
            assert!(COMBO_LEN.contains(&u32::try_from(gifts.len()).unwrap()), "{gifts:?}");
            assert!(gifts.iter().all(|gift| (gift.viewer, gift.room) == (gifts[0].viewer, gifts[0].room)));
            assert_eq!(gifts.iter().position(is_end), Some(gifts.len() - 1));
        }
    }

    fn is_end(gift: &Gift) -> bool {
        gift.combo.is_some_and(|combo| combo.end)
    }
}
