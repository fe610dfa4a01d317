//! The books of a gift: they balance, and what is no gift is rejected.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use greenroom_sdk::Held;
use proptest::prelude::*;

use super::*;

fn payload(unit: i64, count: u32, receivers: Vec<i64>, share_bps: u32, points_rate: u32) -> Payload<'static> {
    let stream_id = Cow::Borrowed("s1");
    Payload { stream_id, gift_id: 2002, unit, count, receivers, share_bps, points_rate, combo_id: None }
}

fn message(payload: &[u8], held: Option<Held>) -> Message {
    Message {
        topic: "gift.sent".into(),
        partition: 0,
        offset: 1,
        event_id: "e1".into(),
        payer: 1001,
        room_id: 5,
        at_ms: 1_795_234_464_123,
        attempt: 1,
        held,
        payload: payload.to_vec(),
    }
}

fn held(amount: i64) -> Option<Held> {
    Some(Held { asset_type: 1, amount, balance: 0, counters: Vec::new() })
}

fn lines(entries: &[ledger::Entry]) -> Vec<(i64, u32, ledger::Part, i64)> {
    entries.iter().map(|e| (e.account.user_id, e.account.asset_type, e.part, e.delta)).collect()
}

#[test]
fn a_gift_to_two_streamers_has_these_books() {
    let books = entries(1001, 1, 30, &payload(5, 3, vec![77, 78], 3_000, 2)).unwrap();
    use ledger::Part::{Payer, Receiver, System};
    assert_eq!(
        lines(&books),
        [
            (1001, 1, Payer, -30),
            (77, 1, Receiver, 11),
            (78, 1, Receiver, 11),
            (PLATFORM, 1, System, 8),
            (1001, 3, Receiver, 60),
            (MINT, 3, System, -60),
        ]
    );
}

#[test]
fn a_streamer_who_gives_to_himself_pays_and_receives() {
    let books = entries(77, 1, 10, &payload(10, 1, vec![77], 0, 0)).unwrap();
    assert_eq!(lines(&books), [(77, 1, ledger::Part::Payer, -10), (77, 1, ledger::Part::Receiver, 10)]);
}

#[test]
fn what_is_no_gift_is_rejected_with_its_reason() {
    let good = serde_json::to_vec(&payload(10, 1, vec![77], 3_000, 1)).unwrap();
    let cases = [
        (message(&good, None), "holds nothing"),
        (message(b"\xff", held(10)), "payload"),
        (message(b"{}", held(10)), "streamId"),
        (message(&good, held(9)), "9 is held, but the gift costs 10"),
        (message(&serde_json::to_vec(&payload(10, 1, vec![], 0, 1)).unwrap(), held(0)), "0 is held"),
    ];
    for (message, reason) in cases {
        let error = books(message, 0).unwrap_err();
        assert!(error.contains(reason), "{error}");
    }
    let (posting, contribution) = books(message(&good, held(10)), 4).unwrap();
    assert_eq!((posting.biz_id.as_str(), posting.obj_id.as_str(), posting.biz_type), ("5", "2002", 1));
    assert_eq!(posting.record_json.as_bytes(), good);
    assert_eq!((contribution.index, contribution.amount, contribution.user_id), (4, 10, 1001));
}

proptest! {
    #[test]
    fn books_balance_for_each_asset_and_name_nobody_twice_in_a_part(
        payer in 1_i64..6,
        asset_type in 1_u32..5,
        unit in 1_i64..1_000_000_000,
        count in 1_u32..10_000,
        receivers in prop::collection::btree_set(1_i64..10, 1..6),
        share_bps in 0_u32..=10_000,
        points_rate in 0_u32..1_000,
    ) {
        let receivers: Vec<i64> = receivers.into_iter().collect();
        let total = unit * i64::from(count) * receivers.len() as i64;
        let books = entries(payer, asset_type, total, &payload(unit, count, receivers, share_bps, points_rate)).unwrap();
        let mut sums: BTreeMap<u32, i128> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for entry in &books {
            prop_assert_ne!(entry.delta, 0);
            *sums.entry(entry.account.asset_type).or_default() += i128::from(entry.delta);
            prop_assert!(seen.insert((entry.account.user_id, entry.account.asset_type, entry.part as u8)));
            let is_payers = entry.account.user_id == payer && entry.delta < 0;
            prop_assert_eq!(entry.part == ledger::Part::Payer, is_payers);
        }
        prop_assert!(sums.values().all(|sum| *sum == 0), "{:?}", sums);
    }
}
