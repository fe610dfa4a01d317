//! Whatever viewers do in whatever order, no quota is passed, and the sums are those of the ballots.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::tally::Tally;

const SINGLE: Quota = Quota { choice: Choice::Single, votes_max: 3, votes_per_option_max: 3 };
const MULTIPLE: Quota = Quota { choice: Choice::Multiple, votes_max: 4, votes_per_option_max: 2 };

fn votes(pairs: &[(u32, u32)]) -> Vec<Votes> {
    pairs.iter().map(|(option, votes)| Votes { option: *option, votes: *votes }).collect()
}

#[test]
fn votes_are_given_until_the_quota_is_reached() {
    let first = Ballot::default().plus(SINGLE, &votes(&[(2, 2)]), 10).unwrap();
    assert_eq!(first.given, [Line { option: 2, votes: 2, points: 20 }]);
    assert_eq!(first.votes_left(SINGLE), 1);
    assert_eq!(first.plus(SINGLE, &votes(&[(1, 1)]), 1), Err(No::SingleChoice { option: 2 }));
    assert_eq!(first.plus(SINGLE, &votes(&[(2, 2)]), 1), Err(No::QuotaReached { votes_max: 3, votes_left: 1 }));
    // A role that has changed meanwhile weighs new votes alone.
    let second = first.plus(SINGLE, &votes(&[(2, 1)]), 1).unwrap();
    assert_eq!(second.given, [Line { option: 2, votes: 3, points: 21 }]);
    assert_eq!(Ballot::default().plus(SINGLE, &votes(&[(1, 1), (2, 1)]), 1), Err(No::SingleChoice { option: 1 }));
    let several = Ballot::default().plus(MULTIPLE, &votes(&[(1, 2), (3, 1)]), 1).unwrap();
    let no = No::OptionQuotaReached { option: 1, votes_per_option_max: 2 };
    assert_eq!(several.plus(MULTIPLE, &votes(&[(1, 1)]), 1), Err(no));
}

#[test]
fn a_change_takes_the_old_votes_out_of_the_sums() {
    let before = Ballot::default().plus(MULTIPLE, &votes(&[(1, 2), (2, 1)]), 5).unwrap();
    let after = before.replaced(MULTIPLE, &votes(&[(2, 1), (3, 2)]), 5).unwrap();
    let change = |option, votes, points| Difference { option, votes, points };
    assert_eq!(before.difference(&after), (0, vec![change(1, -2, -10), change(3, 2, 10)]));
    let none = after.replaced(MULTIPLE, &[], 5).unwrap();
    assert_eq!(after.difference(&none).0, -1);
    assert_eq!(none, Ballot::default());
}

#[test]
fn what_is_reserved_uses_the_quota_and_counts_only_when_it_is_counted() {
    let asked = votes(&[(1, 2)]);
    let reserved = Ballot::default().reserving(SINGLE, &asked, 1).unwrap();
    assert_eq!(Ballot::default().difference(&reserved), (0, Vec::new()));
    assert_eq!(reserved.votes_left(SINGLE), 1);
    assert_eq!(reserved.reserving(SINGLE, &votes(&[(2, 1)]), 1), Err(No::SingleChoice { option: 1 }));
    let counted = reserved.counting(&weighed(&asked, 1)).unwrap();
    assert_eq!(counted, Ballot::default().plus(SINGLE, &asked, 1).unwrap());
    assert_eq!(reserved.releasing(&weighed(&asked, 1)), Some(Ballot::default()));
    assert_eq!(counted.counting(&weighed(&asked, 1)), None, "a second time");
}

#[test]
fn votes_for_nothing_or_twice_are_refused() {
    for bad in [&[(0, 1)][..], &[(4, 1)], &[(1, 1), (1, 1)], &[(1, 0)], &[(1, 1_001)], &[(u32::MAX, 1)]] {
        assert!(in_order(votes(bad), 3).is_err(), "{bad:?}");
    }
    assert_eq!(in_order(votes(&[(3, 1), (1, 2)]), 3).unwrap(), votes(&[(1, 2), (3, 1)]));
}

#[derive(Debug, Clone)]
enum Act {
    Add,
    Replace,
    Reserve,
    Count,
    Release,
}

fn act() -> impl Strategy<Value = (usize, Act, Vec<(u32, u32)>, u32)> {
    let acts =
        prop_oneof![Just(Act::Add), Just(Act::Replace), Just(Act::Reserve), Just(Act::Count), Just(Act::Release)];
    (0_usize..5, acts, prop::collection::btree_map(1_u32..5, 1_u32..4, 0..4), 1_u32..50)
        .prop_map(|(who, act, choices, weight)| (who, act, choices.into_iter().collect(), weight))
}

proptest! {
    #[test]
    fn sums_kept_by_differences_are_the_recount_and_no_quota_is_passed(
        is_single: bool,
        acts in prop::collection::vec(act(), 0..80),
    ) {
        let quota = if is_single { SINGLE } else { MULTIPLE };
        let mut ballots: BTreeMap<usize, Ballot> = BTreeMap::new();
        let mut under_way: BTreeMap<usize, Vec<Vec<Line>>> = BTreeMap::new();
        let mut sums = Tally::of(4);
        for (who, act, choices, weight) in acts {
            let (before, choices) = (ballots.entry(who).or_default().clone(), votes(&choices));
            let lines = || under_way.get(&who).and_then(|all| all.last()).cloned().unwrap_or_default();
            let after = match act {
                Act::Add => before.plus(quota, &choices, weight).ok(),
                Act::Replace => before.replaced(quota, &choices, weight).ok(),
                Act::Reserve => before.reserving(quota, &choices, weight).ok(),
                Act::Count => before.counting(&lines()),
                Act::Release => before.releasing(&lines()),
            };
            let Some(after) = after else { continue };
            match act {
                Act::Reserve => under_way.entry(who).or_default().push(weighed(&choices, weight)),
                Act::Count | Act::Release => drop(under_way.get_mut(&who).and_then(Vec::pop)),
                _ => {}
            }
            let (voters, differences) = before.difference(&after);
            sums.voters += voters;
            for Difference { option, votes, points } in differences {
                let sum = &mut sums.options[option as usize - 1];
                sum.votes += votes;
                sum.points += points;
            }
            let all = after.all();
            prop_assert!(total(&all) <= quota.votes_max);
            prop_assert!(all.iter().all(|line| (1..=quota.votes_per_option_max).contains(&line.votes)));
            prop_assert!(!is_single || all.len() <= 1);
            ballots.insert(who, after);
        }
        let mut recount = Tally::of(4);
        for ballot in ballots.values() {
            recount.count(ballot).unwrap();
        }
        prop_assert_eq!(recount, sums);
    }
}
