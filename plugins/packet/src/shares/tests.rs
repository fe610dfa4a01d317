//! Shares are exact, the same for everybody, and distributed as they are said to be.

use std::collections::BTreeMap;

use greenroom_sdk::{EventId, Id, read_json};
use proptest::prelude::*;
use serde::Deserialize;

use super::*;
use crate::definition::PacketId;
use crate::rules::SHARES_MAX;

fn packet(kind: Kind, amount: i64, shares: u32, secret: &Secret) -> Definition {
    Definition {
        packet_id: PacketId::of(1, &EventId::new("e").unwrap()),
        room_id: Id::new(1).unwrap(),
        from_user_id: Id::new(7).unwrap(),
        kind,
        asset_type: 1,
        amount: Amount::new(amount),
        shares,
        min_level: 0,
        message: String::new(),
        opens_at_ms: 0,
        closes_at_ms: 1,
        commitment: secret.commitment(),
    }
}

fn random_of(amount: i64, shares: u32, seed: u64) -> Vec<i64> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    let secret = Secret::from_bytes(bytes);
    of(&packet(Kind::Random, amount, shares, &secret), &secret).into_iter().map(Amount::get).collect()
}

/// A packet of `known.json`, whose shares another program computed from the description alone.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Known {
    packet_id: PacketId,
    kind: Kind,
    amount: Amount,
    shares: u32,
    commitment: Digest,
    outcome: Revealed,
    expected: Vec<Amount>,
}

#[derive(Deserialize)]
struct Revealed {
    secret: Secret,
}

#[test]
fn shares_are_those_that_another_program_computed() {
    let known: Vec<Known> = read_json(include_bytes!("known.json")).unwrap();
    assert!(known.len() >= 10);
    for Known { packet_id, kind, amount, shares, commitment, outcome, expected } in known {
        let definition = Definition { packet_id, ..packet(kind, amount.get(), shares, &outcome.secret) };
        assert_eq!(definition.commitment, commitment);
        assert_eq!(of(&definition, &outcome.secret), expected, "{}", definition.packet_id);
    }
}

#[test]
fn the_greatest_packet_is_divided_and_what_cannot_be_divided_has_no_shares() {
    let shares = random_of(i64::MAX, SHARES_MAX, 1);
    assert_eq!((shares.len(), shares.iter().map(|s| i128::from(*s)).sum()), (10_000, i128::from(i64::MAX)));
    assert_eq!(random_of(i64::from(SHARES_MAX), SHARES_MAX, 1), [1; SHARES_MAX as usize]);
    let secret = Secret::from_bytes([1; 32]);
    for (kind, amount, shares) in [
        (Kind::Random, 2, 3),
        (Kind::Random, 0, 0),
        (Kind::Random, 5, 0),
        (Kind::Random, -5, 2),
        (Kind::Random, i64::MIN, u32::MAX),
        (Kind::Equal, 10, 3),
        (Kind::Equal, 0, 3),
        (Kind::Equal, 10, 0),
    ] {
        assert_eq!(of(&packet(kind, amount, shares, &secret), &secret), [], "{kind:?} {amount} {shares}");
    }
}

#[test]
fn each_way_to_divide_is_as_likely_as_the_others() {
    // 15 ways to write 7 as a sum of three. Chi-squared with 14 degrees of freedom is below 36.1 in 999 of 1,000 cases; the seeds are
    // fixed, so this case is one of them or it is not.
    const DRAWS: u64 = 15_000;
    let mut seen: BTreeMap<Vec<i64>, i64> = BTreeMap::new();
    for seed in 0..DRAWS {
        *seen.entry(random_of(7, 3, seed)).or_default() += 1;
    }
    assert_eq!(seen.len(), 15, "{seen:?}");
    let expected = i64::try_from(DRAWS).unwrap() / 15;
    let squares: i64 = seen.values().map(|count| (count - expected).pow(2)).sum();
    assert!(squares < 36 * expected, "chi-squared is {squares} / {expected}");
}

proptest! {
    #[test]
    fn shares_are_exact_and_the_same_each_time(amount in 1_i64..=i64::MAX, shares in 1_u32..300, seed in any::<u64>()) {
        prop_assume!(amount >= i64::from(shares));
        let first = random_of(amount, shares, seed);
        prop_assert_eq!(first.len(), shares as usize);
        prop_assert!(first.iter().all(|share| *share >= 1));
        prop_assert_eq!(first.iter().map(|share| i128::from(*share)).sum::<i128>(), i128::from(amount));
        prop_assert_eq!(&first, &random_of(amount, shares, seed));
        if shares > 1 && amount > i64::MAX / 2 {
            prop_assert_ne!(&first, &random_of(amount, shares, seed ^ 1), "another secret, other shares");
        }
    }

    #[test]
    fn small_packets_are_exact_too(shares in 1_u32..50, more in 0_i64..50, seed in any::<u64>()) {
        let amount = i64::from(shares) + more;
        let divided = random_of(amount, shares, seed);
        prop_assert!(divided.len() == shares as usize && divided.iter().all(|share| (1..=more + 1).contains(share)));
        prop_assert_eq!(divided.iter().sum::<i64>(), amount);
    }

    #[test]
    fn equal_shares_are_equal_and_exact(each in 1_i64..1_000_000_000, shares in 1_u32..=SHARES_MAX) {
        let secret = Secret::from_bytes([3; 32]);
        let divided = of(&packet(Kind::Equal, each * i64::from(shares), shares, &secret), &secret);
        prop_assert_eq!(divided, vec![Amount::new(each); shares as usize]);
    }
}
