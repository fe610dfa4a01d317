//! What can be a poll.

use greenroom_sdk::serde_json::{Value, from_value, json};
use proptest::prelude::*;

use super::*;

fn with(changes: Value) -> Result<Poll, String> {
    let mut asked = json!({ "eventId": "e1", "title": "Which song?", "options": ["A", "B", "C"], "closesInS": 60 });
    for (key, value) in changes.as_object().unwrap() {
        asked[key] = value.clone();
    }
    let new: NewPoll = from_value(asked).map_err(|e| e.to_string())?;
    new.poll(Id::new(7).unwrap(), Id::new(1).unwrap(), 1_000, 100)
}

pub(crate) fn poll(changes: Value) -> Poll {
    with(changes).unwrap()
}

fn quota(changes: Value) -> (u32, u32) {
    let Quota { votes_max, votes_per_option_max, .. } = poll(changes).quota();
    (votes_max, votes_per_option_max)
}

#[test]
fn what_is_left_out_is_what_is_expected_of_a_poll() {
    let simple = poll(json!({}));
    assert_eq!((simple.choice, simple.changeable, simple.hidden, simple.price), (Choice::Single, false, false, None));
    assert_eq!((simple.opened_at_ms, simple.closes_at_ms), (1_000, 61_000));
    assert_eq!(quota(json!({})), (1, 1));
    assert_eq!(quota(json!({ "votesMax": 5 })), (5, 5));
    assert_eq!(quota(json!({ "choice": "multiple" })), (3, 1));
    assert_eq!(quota(json!({ "choice": "multiple", "votesMax": 2 })), (2, 1));
    assert_eq!(quota(json!({ "choice": "multiple", "votesPerOptionMax": 4 })), (12, 4));
    assert_eq!(quota(json!({ "choice": "multiple", "votesMax": 10, "votesPerOptionMax": 10 })), (10, 10));
}

#[test]
fn what_makes_no_sense_is_refused_with_its_field() {
    for (changes, field) in [
        (json!({ "title": "  " }), "title"),
        (json!({ "options": ["A"] }), "options"),
        (json!({ "options": ["A", "A "] }), "options"),
        (json!({ "options": ["A", " "] }), "options"),
        (json!({ "options": ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11"] }), "options"),
        (json!({ "closesInS": 14 }), "closesInS"),
        (json!({ "closesInS": 1_801 }), "closesInS"),
        (json!({ "votesMax": 0 }), "votesMax"),
        (json!({ "votesMax": 1_001 }), "votesMax"),
        (json!({ "votesMax": 3, "votesPerOptionMax": 2 }), "votesMax"),
        (json!({ "choice": "multiple", "votesMax": 4 }), "votesMax"),
        (json!({ "votesMax": 1, "votesPerOptionMax": 2 }), "votesPerOptionMax"),
        (json!({ "price": 0 }), "price"),
        (json!({ "price": 101 }), "price"),
        (json!({ "price": -1 }), "price"),
        (json!({ "price": 5, "changeable": true }), "changeable"),
        (json!({ "weights": { "viewer": 0, "streamer": 0, "operator": 0 } }), "weights"),
        (json!({ "weights": { "operator": 1_001 } }), "weights"),
        (json!({ "weights": { "king": 2 } }), "king"),
        (json!({ "odd": 1 }), "odd"),
    ] {
        let fault = with(changes.clone()).unwrap_err();
        assert!(fault.contains(field), "{changes}: {fault}");
    }
}

#[test]
fn a_role_without_weight_and_a_late_voter_have_no_vote() {
    let poll = poll(json!({ "weights": { "viewer": 1, "streamer": 0, "operator": 50 } }));
    assert_eq!(poll.weight(Role::Viewer), Ok(1));
    assert_eq!(poll.weight(Role::Operator), Ok(50));
    assert_eq!(poll.weight(Role::Streamer), Err(No::Voteless));
    assert_eq!(poll.weight(Role::Service), Err(No::Voteless));
    assert_eq!((poll.check_time(60_999), poll.check_time(61_000)), (Ok(()), Err(No::Closed)));
}

proptest! {
    /// Whatever is asked for, a poll's quota can be used up, and all points of one viewer fit in 32 bits.
    #[test]
    fn every_poll_can_be_voted_in(
        multiple: bool,
        options in 1_usize..12,
        votes_max in proptest::option::of(0_u32..1_100),
        each in proptest::option::of(0_u32..1_100),
    ) {
        let options: Vec<String> = (0..options).map(|number| number.to_string()).collect();
        let choice = if multiple { "multiple" } else { "single" };
        let mut changes = json!({ "options": options, "choice": choice });
        if let Some(votes_max) = votes_max { changes["votesMax"] = votes_max.into(); }
        if let Some(each) = each { changes["votesPerOptionMax"] = each.into(); }
        if let Ok(poll) = with(changes) {
            let chosen = if multiple { poll.options.len() as u32 } else { 1 };
            prop_assert!((2..=10).contains(&poll.options.len()));
            prop_assert!((1..=1_000).contains(&poll.votes_max));
            prop_assert!(poll.votes_per_option_max <= poll.votes_max);
            prop_assert!(poll.votes_per_option_max * chosen >= poll.votes_max);
        }
    }
}
