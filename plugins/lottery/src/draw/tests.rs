//! The draw keeps its promises: stock, wins of a viewer, weights, and the same result for whoever computes it again.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::rules::tests::definition;

fn secret(number: u64) -> Secret {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    Secret::from_bytes(bytes)
}

fn entrants(count: i64) -> Vec<(i64, i64)> {
    (0..count).map(|n| (1_001 + n, 1)).collect()
}

proptest! {
    #[test]
    fn nobody_wins_more_than_allowed_and_no_tier_gives_more_than_it_has(
        chances in prop::collection::vec(1_i64..5, 0..60),
        stock in prop::collection::vec((1_u32..8, 1_u32..50), 1..5),
        wins_per_viewer in 1_u32..3,
        blank in 0_u32..60,
        seed: u64,
    ) {
        let mut definition = definition(&stock);
        definition.wins_per_viewer = wins_per_viewer;
        definition.blank_weight = blank;
        let list: Vec<(i64, i64)> = (1_i64..).zip(chances).collect();
        let wins = draw(&secret(seed), &definition, &list);
        prop_assert_eq!(&wins, &draw(&secret(seed), &definition, &list));
        let mut of_tier: BTreeMap<u32, u32> = BTreeMap::new();
        let mut of_user: BTreeMap<i64, u32> = BTreeMap::new();
        for win in &wins {
            *of_tier.entry(win.tier).or_default() += 1;
            *of_user.entry(win.user_id).or_default() += 1;
        }
        for (tier, count) in of_tier {
            prop_assert!(count <= stock[tier as usize].0);
        }
        for (user_id, count) in of_user {
            prop_assert!(count <= wins_per_viewer.min(u32::try_from(list[usize::try_from(user_id - 1).unwrap()].1).unwrap()));
        }
        if blank == 0 {
            let prizes: u32 = stock.iter().map(|(count, _)| count).sum();
            let places: u32 = list.iter().map(|(_, chances)| wins_per_viewer.min(u32::try_from(*chances).unwrap())).sum();
            prop_assert_eq!(wins.len(), prizes.min(places) as usize, "what can be won is won");
        }
    }
}

#[test]
fn over_a_hundred_thousand_draws_the_tiers_come_as_their_weights_say() {
    // One prize is drawn from each of 100,000 lists, so the stock never changes the weights.
    let weights = [50_u32, 30, 15, 4];
    let blank = 1_u32;
    let mut definition = definition(&weights.map(|weight| (1, weight)));
    definition.blank_weight = blank;
    let mut counts = [0_f64; 5];
    for seed in 0..100_000 {
        match draw(&secret(seed), &definition, &[(1_001, 1)]).first() {
            Some(win) => counts[win.tier as usize] += 1.0,
            None => counts[4] += 1.0,
        }
    }
    let shares = [0.50, 0.30, 0.15, 0.04, 0.01];
    // 4 degrees of freedom: a fair draw passes this but for one seed in 100,000; these seeds are fixed.
    assert!(chi_squared(&counts, &shares) < 28.5, "{counts:?}");
}

#[test]
fn every_place_of_the_list_wins_equally_often() {
    let definition = definition(&[(1, 1)]);
    let mut counts = [0_f64; 20];
    for seed in 0..100_000 {
        let wins = draw(&secret(seed), &definition, &entrants(20));
        counts[usize::try_from(wins[0].user_id - 1_001).unwrap()] += 1.0;
    }
    // 19 degrees of freedom, the same probability.
    assert!(chi_squared(&counts, &[0.05; 20]) < 57.0, "{counts:?}");
}

#[test]
fn more_chances_win_more_often_and_exactly_in_proportion() {
    let definition = definition(&[(1, 1)]);
    let mut counts = [0_f64; 2];
    for seed in 0..100_000 {
        let wins = draw(&secret(seed), &definition, &[(1, 1), (2, 3)]);
        counts[usize::try_from(wins[0].user_id - 1).unwrap()] += 1.0;
    }
    assert!(chi_squared(&counts, &[0.25, 0.75]) < 19.5, "{counts:?}");
}

/// Pearson's statistic.
#[allow(clippy::float_arithmetic, reason = "a statistic, no money")]
fn chi_squared(counts: &[f64], shares: &[f64]) -> f64 {
    let total: f64 = counts.iter().sum();
    counts.iter().zip(shares).map(|(count, share)| (count - total * share).powi(2) / (total * share)).sum()
}

#[test]
fn the_vector_of_the_readme() {
    let mut definition = definition(&[(1, 1), (2, 3)]);
    definition.blank_weight = 1;
    let list = [(1_001, 1), (1_002, 2), (1_003, 1)];
    let wins = draw(&Secret::from_bytes([7; 32]), &definition, &list);
    let wins: Vec<(i64, u32)> = wins.iter().map(|win| (win.user_id, win.tier)).collect();
    assert_eq!(digest(&list).to_string(), "7e7267a7de0f5dc78be59ab82492623edc23877e6bbf28f2e3d57ab26dc6c25f");
    assert_eq!(wins, [(1_001, 1), (1_002, 1)]);
}
