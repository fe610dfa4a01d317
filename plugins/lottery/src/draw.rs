//! The draw: pure, and the same for the same secret and list. README says it in words, for whoever computes it again.

use std::collections::BTreeMap;

use greenroom_sdk::fair::{Digest, Secret};
use greenroom_sdk::stored;

use crate::rules::Definition;

/// Who won what. The first win is the first that was drawn.
#[derive(Eq)]
#[stored]
pub(crate) struct Win {
    #[serde(with = "as_text")]
    #[schemars(with = "String")]
    pub(crate) user_id: i64,
    /// The index of the tier, from 0.
    pub(crate) tier: u32,
}

/// Ids are text in answers, so that JavaScript keeps every digit.
mod as_text {
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(id: &i64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(id)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// Of a list of (user id, chances) in ascending order: each as a line `<user id> <chances>`.
pub(crate) fn digest(entrants: &[(i64, i64)]) -> Digest {
    Digest::of(entrants.iter().map(|(user_id, chances)| format!("{user_id} {chances}")))
}

/// Draws. Each chance stands in a list, in the order of the entrants. Place after place, one of those that are left is swapped to it; who
/// has won enough already is passed over; the tier is drawn by weight among the blank and the tiers that have some left. It ends when
/// there are no chances or no prizes left.
pub(crate) fn draw(secret: &Secret, definition: &Definition, entrants: &[(i64, i64)]) -> Vec<Win> {
    let mut chances: Vec<i64> = Vec::new();
    for (user_id, count) in entrants {
        chances.extend(std::iter::repeat_n(*user_id, usize::try_from(*count).unwrap_or(0)));
    }
    let mut stream = secret.stream(digest(entrants));
    let mut stock: Vec<(u64, u32)> = definition.prizes.iter().map(|prize| (prize.weight.into(), prize.stock)).collect();
    let mut wins = Vec::new();
    let mut won: BTreeMap<i64, u32> = BTreeMap::new();
    let mut place = 0;
    while place < chances.len() && stock.iter().any(|(_, left)| *left > 0) {
        let rest = chances.get_mut(place..).unwrap_or_default();
        stream.choose(rest, 1);
        let user_id = rest.first().copied().unwrap_or_default();
        place += 1;
        let count = won.entry(user_id).or_default();
        if *count >= definition.wins_per_viewer {
            continue;
        }
        let weights = stock.iter().map(|(weight, left)| if *left > 0 { *weight } else { 0 });
        let sum = weights.clone().fold(u64::from(definition.blank_weight), |sum, weight| sum.saturating_add(weight));
        let Some(tier) = tier_at(stream.below(sum), definition.blank_weight.into(), weights) else { continue };
        if let Some((_, left)) = stock.get_mut(tier) {
            *left = left.saturating_sub(1);
            *count += 1;
            wins.push(Win { user_id, tier: u32::try_from(tier).unwrap_or(u32::MAX) });
        }
    }
    wins
}

/// The tier at a number below the sum of the blank's weight and the tiers'; none for the blank, which comes first.
fn tier_at(number: u64, blank: u64, weights: impl Iterator<Item = u64>) -> Option<usize> {
    let mut left = number.checked_sub(blank)?;
    for (tier, weight) in weights.enumerate() {
        match left.checked_sub(weight) {
            Some(rest) => left = rest,
            None => return Some(tier),
        }
    }
    None
}

#[cfg(test)]
mod tests;
