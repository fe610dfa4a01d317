//! Who has won: pure.

use greenroom_sdk::{Amount, stored};

/// What happens when both have the same score.
#[derive(Copy, Eq)]
#[stored]
#[serde(deny_unknown_fields, tag = "kind")]
pub(crate) enum TieRule {
    /// Nobody wins.
    Draw {},
    /// It goes on for so many seconds, so many times at most; then nobody wins.
    Overtime {
        #[schemars(range(min = 5, max = 300))]
        seconds: u32,
        #[schemars(range(min = 1, max = 10))]
        times: u32,
    },
    /// The room that was challenged wins.
    Challenged {},
}

/// A side's place in everything that there is one of for each room.
#[derive(Copy, Eq)]
#[stored]
pub(crate) enum Side {
    Challenger,
    Challenged,
}

/// How a battle goes on when its time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Won(Side),
    Draw,
    /// So many seconds more.
    Overtime(u32),
}

/// The verdict on the scores of challenger and challenged, after so many overtimes.
pub(crate) fn verdict(scores: [Amount; 2], tie: TieRule, overtimes: u32) -> Verdict {
    let [challenger, challenged] = scores;
    if challenger > challenged {
        return Verdict::Won(Side::Challenger);
    }
    if challenged > challenger {
        return Verdict::Won(Side::Challenged);
    }
    match tie {
        TieRule::Challenged {} => Verdict::Won(Side::Challenged),
        TieRule::Overtime { seconds, times } if overtimes < times => Verdict::Overtime(seconds),
        TieRule::Overtime { .. } | TieRule::Draw {} => Verdict::Draw,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_tie() -> impl Strategy<Value = TieRule> {
        prop_oneof![
            Just(TieRule::Draw {}),
            Just(TieRule::Challenged {}),
            (5_u32..300, 1_u32..10).prop_map(|(seconds, times)| TieRule::Overtime { seconds, times }),
        ]
    }

    proptest! {
        #[test]
        fn more_coins_win_whatever_the_tie_rule_is(a: i64, b: i64, tie in any_tie(), overtimes in 0_u32..12) {
            let verdict = verdict([Amount::new(a), Amount::new(b)], tie, overtimes);
            match a.cmp(&b) {
                std::cmp::Ordering::Greater => prop_assert_eq!(verdict, Verdict::Won(Side::Challenger)),
                std::cmp::Ordering::Less => prop_assert_eq!(verdict, Verdict::Won(Side::Challenged)),
                std::cmp::Ordering::Equal => prop_assert_ne!(verdict, Verdict::Won(Side::Challenger)),
            }
        }

        #[test]
        fn a_tie_comes_to_an_end(score: i64, tie in any_tie()) {
            let scores = [Amount::new(score); 2];
            let ended = (0..=10).find(|overtimes| !matches!(verdict(scores, tie, *overtimes), Verdict::Overtime(_)));
            let expected = if let TieRule::Overtime { times, .. } = tie { times } else { 0 };
            prop_assert_eq!(ended, Some(expected));
        }
    }
}
