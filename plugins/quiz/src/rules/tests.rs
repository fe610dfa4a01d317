//! Time, elimination and the exact share of the pot.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn definition(seconds: &[u32]) -> Definition {
    let questions: Vec<_> =
        seconds.iter().map(|s| json!({ "text": "?", "options": ["a", "b"], "answer": 1, "seconds": s })).collect();
    serde_json::from_value(json!({ "eventId": "e", "title": "t", "questions": questions })).unwrap()
}

fn player(answers: &[Option<u32>], revived: &[u32]) -> Player {
    Player { answers: answers.to_vec(), revived: revived.to_vec() }
}

proptest! {
    #[test]
    fn the_winners_share_the_pot_to_the_last_coin(pot in 0_i64.., winners in prop::collection::btree_set(1_i64.., 1..50)) {
        let winners: Vec<i64> = winners.into_iter().collect();
        let shares = shares("q", Amount::new(pot), &winners).unwrap();
        prop_assert_eq!(shares.len(), winners.len());
        prop_assert_eq!(shares.values().map(|share| i128::from(share.get())).sum::<i128>(), i128::from(pot));
        let (least, most) = (shares.values().min().unwrap(), shares.values().max().unwrap());
        prop_assert!(most.get() - least.get() <= 1);
    }

    #[test]
    fn exactly_one_question_is_open_at_a_time_and_each_for_its_time(
        seconds in prop::collection::vec(5_u32..20, 1..6), pause in 3_u32..9,
    ) {
        let definition = definition(&seconds);
        let mut open = vec![0_u32; seconds.len()];
        let total = seconds.iter().sum::<u32>() + pause * u32::try_from(seconds.len()).unwrap();
        let mut last = None;
        for second in 0..total {
            match definition.phase(u64::from(second) * 1_000, pause) {
                Phase::Open(question) => {
                    open[question as usize] += 1;
                    prop_assert!(last.is_none_or(|last| last <= question));
                    last = Some(question);
                }
                Phase::Closed(question) => prop_assert_eq!(last, Some(question)),
                Phase::Over => prop_assert_eq!(last.unwrap() as usize + 1, seconds.len()),
            }
        }
        prop_assert_eq!(open, seconds);
    }

    #[test]
    fn who_has_won_was_right_or_revived_at_every_question(
        answers in prop::collection::vec(prop::option::of(0_u32..2), 0..5), revived in prop::collection::vec(0_u32..5, 0..5),
    ) {
        let definition = definition(&[5; 5]);
        let player = player(&answers, &revived);
        let is_right = |index: usize| answers.get(index) == Some(&Some(1));
        let expected = (0..5).all(|index| is_right(index) || revived.contains(&u32::try_from(index).unwrap()));
        prop_assert_eq!(definition.has_won(&player), expected);
    }
}

#[test]
fn who_was_wrong_is_out_from_the_next_question_on() {
    let definition = definition(&[5; 3]);
    let wrong = player(&[Some(1), Some(0)], &[]);
    assert_eq!((definition.out_at(&wrong, 1), definition.out_at(&wrong, 2)), (None, Some(1)));
    assert_eq!(definition.out_at(&player(&[Some(1), Some(0)], &[1]), 2), None);
    assert_eq!(definition.out_at(&player(&[Some(1)], &[]), 2), Some(1), "no answer is a wrong one");
}

#[test]
fn nobody_has_nothing_and_an_answer_must_be_an_option() {
    assert!(shares("q", Amount::new(5), &[]).unwrap().is_empty());
    let mut wrong = definition(&[5]);
    wrong.questions[0].answer = 2;
    assert!(wrong.check().unwrap_err().detail.contains("questions[0].answer"));
}
