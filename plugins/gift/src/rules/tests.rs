//! Who may send what, in which order the reasons are told, and how a gift is shared.

use proptest::prelude::*;

use super::*;

fn id(value: i64) -> Id {
    Id::new(value).unwrap()
}

fn config() -> Config {
    Config {
        platform_share_bps: 3_000,
        points_per_coin: 1,
        combo_window_ms: 5_000,
        allowed_gifts: Vec::new(),
        max_count: 100,
        per_minute_cap: 0,
    }
}

fn attempt() -> Attempt {
    Attempt { room_id: 1, gift_id: id(2002), sender: Sender::Viewer, level: 3, count: 10 }
}

#[test]
fn the_first_reason_in_the_order_of_precedence_is_told() {
    let strict = SendRule {
        rooms: vec![id(9)],
        roles: vec![Sender::Streamer],
        min_level: Some(5),
        max_count: Some(2),
        per_minute: None,
    };
    let narrow = Config { allowed_gifts: vec![id(1)], ..config() };
    let mut rule = strict;
    assert_eq!(check(&narrow, &rule, attempt()), Err(Refusal::NotInRoom));
    assert_eq!(check(&config(), &rule, attempt()), Err(Refusal::OtherRooms));
    rule.rooms.push(id(1));
    assert_eq!(check(&config(), &rule, attempt()), Err(Refusal::Role));
    rule.roles.push(Sender::Viewer);
    assert_eq!(check(&config(), &rule, attempt()), Err(Refusal::Level(5)));
    rule.min_level = Some(3);
    assert_eq!(check(&config(), &rule, attempt()), Err(Refusal::Count(2)));
    rule.max_count = Some(10);
    assert_eq!(check(&config(), &rule, attempt()), Ok(()));
}

#[test]
fn the_lower_of_the_gift_s_and_the_room_s_maximum_holds() {
    let rule = |max_count| SendRule { max_count, ..SendRule::default() };
    let with = |count| Attempt { count, ..attempt() };
    // (gift's maximum, room's maximum is 100, count, result)
    let cases = [
        (None, 100, Ok(())),
        (None, 101, Err(Refusal::Count(100))),
        (Some(99), 100, Err(Refusal::Count(99))),
        (Some(500), 101, Err(Refusal::Count(100))),
    ];
    for (max, count, expected) in cases {
        assert_eq!(check(&config(), &rule(max), with(count)), expected, "{max:?} {count}");
    }
}

#[test]
fn an_empty_list_is_no_condition() {
    let narrow = Config { allowed_gifts: vec![id(2002)], ..config() };
    assert_eq!(check(&narrow, &SendRule::default(), attempt()), Ok(()));
    assert_eq!(check(&config(), &SendRule::default(), attempt()), Ok(()));
}

#[test]
fn a_send_rule_is_read_strictly_and_written_without_what_it_does_not_say() {
    let rule: SendRule = serde_json::from_str(r#"{"rooms":["7",8],"minLevel":2,"roles":["viewer"]}"#).unwrap();
    assert_eq!(rule.rooms, [id(7), id(8)]);
    assert_eq!(serde_json::to_string(&rule).unwrap(), r#"{"rooms":["7","8"],"roles":["viewer"],"minLevel":2}"#);
    for text in [r#"{"minlevel":2}"#, r#"{"minLevel":1.5}"#, r#"{"roles":["king"]}"#, r#"{"rooms":[0]}"#] {
        assert!(serde_json::from_str::<SendRule>(text).is_err(), "{text}");
    }
}

#[test]
fn what_does_not_fit_in_64_bits_is_an_error() {
    assert!(cost(Amount::new(i64::MAX), 2, 1).is_err());
    assert!(cost(Amount::new(i64::MAX / 2), 1, 3).is_err());
    assert!(share(Amount::new(i64::MAX), 1, 1, 3_000, 2).is_err());
    assert!(share(Amount::new(1), 1, 1, 10_001, 1).is_err());
    let shares = share(Amount::new(i64::MAX), 1, 1, 10_000, 1).unwrap();
    assert_eq!((shares.to_platform.get(), shares.to_receiver.get()), (i64::MAX, 0));
}

proptest! {
    #[test]
    fn the_parts_of_a_gift_are_the_whole(
        unit in 1_i64..1_000_000_000_000,
        count in 1_u32..100_000,
        receivers in 1_usize..=RECEIVERS_MAX,
        share_bps in 0_u32..=10_000,
    ) {
        // The largest is 3.2 × 10^18, which fits.
        let shares = share(Amount::new(unit), count, receivers, share_bps, 1).unwrap();
        let to_receivers = shares.to_receiver.times(receivers as i64).unwrap();
        prop_assert_eq!(to_receivers.plus(shares.to_platform).unwrap(), shares.total);
        prop_assert!(shares.to_receiver.get() >= 0 && shares.to_platform.get() >= 0);
        // Rounding favours the streamer, by less than one unit for each.
        let exact = i128::from(shares.total.get()) * i128::from(share_bps);
        let given = i128::from(shares.to_platform.get()) * 10_000;
        prop_assert!(given <= exact && exact - given < 10_000 * receivers as i128);
    }
}
