//! What a lottery may be, and that its money is shared to the last coin.

use greenroom_sdk::Amount;
use proptest::prelude::*;
use serde_json::json;

use super::*;

/// A free lottery with tiers of (stock, weight).
pub(crate) fn definition(tiers: &[(u32, u32)]) -> Definition {
    let prizes: Vec<_> =
        tiers.iter().map(|(stock, weight)| json!({ "name": "x", "stock": stock, "weight": weight })).collect();
    read(json!({ "kind": "free" }), json!(prizes))
}

fn read(entry: serde_json::Value, prizes: serde_json::Value) -> Definition {
    serde_json::from_value(json!({ "eventId": "e", "title": "t", "entry": entry, "prizes": prizes })).unwrap()
}

fn sum(payments: &BTreeMap<i64, Amount>) -> i64 {
    payments.values().map(|amount| amount.get()).sum()
}

proptest! {
    #[test]
    fn the_pot_is_emptied_to_the_last_coin(
        prizes in prop::collection::vec((1_u32..20, prop::option::of(1_i64..1_000)), 1..6),
        price in 1_i64..100,
        entrants in prop::collection::vec(1_i64..5, 0..40),
        bps in 0_u32..=10_000,
        streamers in 0_usize..4,
        seed: u64,
    ) {
        let prizes: Vec<_> = prizes.iter().map(|(stock, coins)| json!({ "name": "x", "stock": stock, "coins": coins })).collect();
        let definition = read(json!({ "kind": "ticket", "price": price }), json!(prizes));
        let entrants: Vec<(i64, i64)> = (1_001_i64..).zip(entrants).collect();
        let mut bytes = [1; 32];
        bytes[..8].copy_from_slice(&seed.to_be_bytes());
        let wins = crate::draw::draw(&greenroom_sdk::fair::Secret::from_bytes(bytes), &definition, &entrants);
        let chances: i64 = entrants.iter().map(|(_, chances)| chances).sum();
        let pot = definition.fund().unwrap().get() + price * chances;
        // A streamer may be the maker, and may have won.
        let streamers: Vec<i64> = (1_001..).take(streamers).collect();
        let shares = Shares { platform_bps: bps, streamers };
        let paid = payments(&definition, 1_001, &wins, chances, &shares).unwrap();
        prop_assert_eq!(sum(&paid), pot);
        prop_assert!(paid.values().all(|amount| amount.get() > 0));
    }
}

#[test]
fn what_cannot_be_a_lottery_is_refused_and_named() {
    let prize = json!([{ "name": "x", "stock": 1, "coins": 5 }]);
    let cases = [
        (json!({ "kind": "keyword", "word": "two words" }), prize.clone(), "entry.word"),
        (json!({ "kind": "gift" }), prize, "giftId"),
        (json!({ "kind": "free" }), json!([{ "name": "a", "stock": 600 }, { "name": "b", "stock": 401 }]), "1001"),
        (json!({ "kind": "free" }), json!([{ "name": "a", "stock": 2, "coins": i64::MAX }]), "64 bits"),
    ];
    for (entry, prizes, named) in cases {
        let problem = read(entry, prizes).check().unwrap_err();
        assert!(problem.status == 400 && problem.detail.contains(named), "{}", problem.detail);
    }
}

#[test]
fn words_and_gifts_enter_where_they_are_asked_for() {
    let word = Entry::Keyword { word: "Glück".into() };
    for said in ["glück", "viel GLÜCK!", "glück,glück"] {
        assert!(word.is_said(said), "{said}");
    }
    for said in ["glücklich", "unglück", ""] {
        assert!(!word.is_said(said), "{said}");
    }
    let gift = Entry::Gift { gift_id: Id::new(7), min_spend: Some(Amount::new(50)) };
    assert!(gift.is_given(7, 50) && !gift.is_given(8, 50) && !gift.is_given(7, 49));
    assert!(!Entry::Free {}.is_said("") && !Entry::Free {}.is_given(7, 50) && !word.is_given(7, 50));
}
