//! A ranking: members by score, highest first, equal scores by member.
//!
//! A map from member to score beside a list of sorted chunks. Finding a place is a binary search over chunks and then within one;
//! an insertion moves half a chunk at most, and counting a rank adds up the lengths of the chunks before it: with a million members
//! that is eight thousand additions, which is cheaper than the steps through a counted tree.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

/// A chunk that grows beyond this is split in two.
const CHUNK_LEN_MAX: usize = 256;

/// Score, the member's first bytes, member. Many members have one score; for names of up to 16 bytes, as users' ids have, none of them has to
/// be fetched from memory to be compared.
type Place = (Reverse<i64>, u128, Arc<str>);

#[derive(Debug, Clone, Default)]
pub(in super::super) struct Ranking {
    scores: HashMap<Arc<str>, i64>,
    /// None of them is empty.
    chunks: Vec<Vec<Place>>,
}

impl Ranking {
    pub(in super::super) fn len(&self) -> usize {
        self.scores.len()
    }

    pub(in super::super) fn score(&self, member: &str) -> Option<i64> {
        self.scores.get(member).copied()
    }

    /// Members in no particular order.
    pub(in super::super) fn members(&self) -> impl Iterator<Item = (&Arc<str>, i64)> {
        self.scores.iter().map(|(member, score)| (member, *score))
    }

    /// Gives a member a score; returns the one before.
    pub(in super::super) fn set(&mut self, member: &Arc<str>, score: i64) -> Option<i64> {
        let before = self.scores.insert(Arc::clone(member), score);
        if before == Some(score) {
            return before;
        }
        if let Some(before) = before {
            self.take_out(&place(before, Arc::clone(member)));
        }
        self.put_in(place(score, Arc::clone(member)));
        before
    }

    /// Takes a member out; returns its score.
    pub(in super::super) fn remove(&mut self, member: &str) -> Option<i64> {
        let (member, score) = self.scores.remove_entry(member)?;
        self.take_out(&place(score, member));
        Some(score)
    }

    /// How many are before the member, and its score.
    pub(in super::super) fn rank(&self, member: &str) -> Option<(usize, i64)> {
        let (member, score) = self.scores.get_key_value(member)?;
        let place = place(*score, Arc::clone(member));
        let index = self.chunk_of(&place);
        let before: usize = self.chunks.iter().take(index).map(Vec::len).sum();
        let within = self.chunks.get(index)?.binary_search(&place).ok()?;
        Some((before + within, *score))
    }

    /// Members from a place on, highest first.
    pub(in super::super) fn from(&self, offset: usize) -> impl Iterator<Item = (&Arc<str>, i64)> {
        let mut left = offset;
        let mut index = 0;
        while let Some(chunk) = self.chunks.get(index).filter(|chunk| chunk.len() <= left) {
            left -= chunk.len();
            index += 1;
        }
        let places = self.chunks.iter().skip(index).flatten().skip(left);
        places.map(|(score, _, member)| (member, score.0))
    }

    /// The first chunk that does not end before the place.
    fn chunk_of(&self, place: &Place) -> usize {
        self.chunks.partition_point(|chunk| chunk.last().is_some_and(|last| last < place))
    }

    fn put_in(&mut self, place: Place) {
        let index = self.chunk_of(&place).min(self.chunks.len().saturating_sub(1));
        let Some(chunk) = self.chunks.get_mut(index) else {
            self.chunks.push(vec![place]);
            return;
        };
        let within = chunk.partition_point(|other| *other < place);
        chunk.insert(within, place);
        if chunk.len() > CHUNK_LEN_MAX {
            let upper = chunk.split_off(chunk.len() / 2);
            self.chunks.insert(index + 1, upper);
        }
    }

    fn take_out(&mut self, place: &Place) {
        let index = self.chunk_of(place);
        let Some(chunk) = self.chunks.get_mut(index) else { return };
        if let Ok(within) = chunk.binary_search(place) {
            chunk.remove(within);
        }
        if chunk.is_empty() {
            self.chunks.remove(index);
        }
    }
}

/// Bytes are compared from the first on, so the first ones may be compared as one number; what is shorter has zeros behind it.
fn place(score: i64, member: Arc<str>) -> Place {
    let mut first = [0; 16];
    first.iter_mut().zip(member.bytes()).for_each(|(first, byte)| *first = byte);
    (Reverse(score), u128::from_be_bytes(first), member)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn naive(scores: &HashMap<Arc<str>, i64>) -> Vec<(Arc<str>, i64)> {
        let mut all: Vec<_> = scores.iter().map(|(member, score)| (Arc::clone(member), *score)).collect();
        all.sort_by(|(a, x), (b, y)| y.cmp(x).then(a.cmp(b)));
        all
    }

    proptest! {
        #[test]
        fn a_ranking_is_a_sorted_list(steps in prop::collection::vec((0u16..3000, -5i64..5, prop::bool::weighted(0.2)), 0..6000)) {
            let mut ranking = Ranking::default();
            let mut model = HashMap::new();
            for (member, score, removes) in steps {
                // Some are longer than what is compared first, and alike that far; some end in what is added to shorter ones.
                let member: Arc<str> = match member % 3 {
                    0 => format!("{member}").into(),
                    1 => format!("a member of this name {member}").into(),
                    _ => format!("{}\0", member / 4).into(),
                };
                if removes {
                    prop_assert_eq!(ranking.remove(&member), model.remove(&member));
                } else {
                    prop_assert_eq!(ranking.set(&member, score), model.insert(member, score));
                }
            }
            let expected = naive(&model);
            let all: Vec<_> = ranking.from(0).map(|(member, score)| (Arc::clone(member), score)).collect();
            prop_assert_eq!(&all, &expected);
            for (index, (member, score)) in expected.iter().enumerate().step_by(37) {
                prop_assert_eq!(ranking.rank(member), Some((index, *score)));
                prop_assert_eq!(ranking.from(index).next(), Some((member, *score)));
            }
            prop_assert_eq!(ranking.from(expected.len()).count(), 0);
        }
    }

    #[test]
    fn a_million_members_are_ranked() {
        let mut ranking = Ranking::default();
        for number in 0..1_000_000i64 {
            let member: Arc<str> = format!("{number:07}").into();
            ranking.set(&member, number.wrapping_mul(7919) % 1_000_003);
        }
        assert_eq!(ranking.len(), 1_000_000);
        let last = ranking.from(999_999).next().map(|(member, _)| Arc::clone(member)).unwrap();
        assert_eq!(ranking.rank(&last).unwrap().0, 999_999);
    }
}
