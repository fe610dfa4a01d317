//! What may be given, and who may grab: pure, and the configuration that decides it.

use greenroom_sdk::{Amount, config};

use crate::definition::{Definition, Kind};
use crate::refusal::No;

/// A packet's shares, whatever a room allows: an instance keeps all shares of a packet in memory.
pub(crate) const SHARES_MAX: u32 = 10_000;
/// A day and a week. Timers reach 31 days, keys of the cache 49.
const OPENS_IN_MS_MAX: u64 = 86_400_000;
const LASTS_MS_MAX: u64 = 604_800_000;
const LASTS_MS_MIN: u64 = 1_000;

/// What an operator may set in a room.
#[config]
pub(crate) struct Settings {
    /// The most shares that a packet may have, 1 to 10,000.
    #[default(500)]
    #[schemars(range(min = 1, max = SHARES_MAX))]
    pub(crate) shares_max: u32,
    /// The smallest sum of a packet.
    #[default(Amount::new(1))]
    #[schemars(schema_with = "greenroom_sdk::positive_amount")]
    pub(crate) amount_min: Amount,
    /// The greatest sum of a packet.
    #[default(Amount::new(1_000_000))]
    #[schemars(schema_with = "greenroom_sdk::positive_amount")]
    pub(crate) amount_max: Amount,
    /// How long a packet stays open at most, and does if its giver says nothing, in milliseconds: 1,000 to 604,800,000, a week.
    #[default(600_000)]
    #[schemars(range(min = LASTS_MS_MIN, max = LASTS_MS_MAX))]
    pub(crate) lasts_ms_max: u64,
    /// The longest countdown before a packet opens, in milliseconds: 0 to 86,400,000, a day.
    #[default(600_000)]
    #[schemars(range(max = OPENS_IN_MS_MAX))]
    pub(crate) opens_in_ms_max: u64,
    /// How many packets a user may give in a minute; 0 for no cap.
    #[default(5)]
    #[schemars(range(max = 1_000))]
    pub(crate) per_minute_cap: u32,
    /// Whether who gives a packet may grab a share of it.
    #[default(true)]
    pub(crate) giver_may_grab: bool,
}

/// A packet as somebody wants to give it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) kind: Kind,
    pub(crate) amount: Amount,
    pub(crate) shares: u32,
    pub(crate) opens_in_ms: u64,
    pub(crate) lasts_ms: Option<u64>,
}

/// Whether it may be given; how long it stays open.
pub(crate) fn check(settings: &Settings, wanted: Wanted) -> Result<u64, No> {
    let &Settings { shares_max, amount_min, amount_max, lasts_ms_max, opens_in_ms_max, .. } = settings;
    let Wanted { kind, amount, shares, opens_in_ms, lasts_ms } = wanted;
    let shares_max = shares_max.min(SHARES_MAX);
    if !(1..=shares_max).contains(&shares) {
        return Err(No::Shares { shares_max });
    }
    if amount < amount_min || amount > amount_max {
        return Err(No::Amount { amount_min, amount_max });
    }
    let each = i64::from(shares);
    if amount.get() < each {
        return Err(No::Small { shares });
    }
    if kind == Kind::Equal && amount.get() % each != 0 {
        return Err(No::Unequal { shares });
    }
    let lasts_ms = lasts_ms.unwrap_or(lasts_ms_max);
    if opens_in_ms > opens_in_ms_max || !(LASTS_MS_MIN..=lasts_ms_max).contains(&lasts_ms) {
        return Err(No::Times { opens_in_ms_max, lasts_ms_max });
    }
    Ok(lasts_ms)
}

/// Who wants to grab.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Grabber {
    pub(crate) user_id: i64,
    pub(crate) level: u32,
}

/// Whether somebody may grab a share now who has none yet, as far as it does not depend on others.
pub(crate) fn may_grab(settings: &Settings, packet: &Definition, grabber: Grabber, now_ms: u64) -> Result<(), No> {
    if now_ms < packet.opens_at_ms {
        let left_ms = packet.opens_at_ms - now_ms;
        return Err(No::NotOpen { retry_after_ms: u32::try_from(left_ms).unwrap_or(u32::MAX) });
    }
    if now_ms >= packet.closes_at_ms {
        return Err(No::Closed);
    }
    if grabber.level < packet.min_level {
        return Err(No::Level { min_level: packet.min_level });
    }
    if grabber.user_id == packet.from_user_id.get() && !settings.giver_may_grab {
        return Err(No::Own);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use greenroom_sdk::fair::Secret;
    use greenroom_sdk::{EventId, Id};
    use proptest::prelude::*;

    use super::*;
    use crate::definition::PacketId;

    const WANTED: Wanted =
        Wanted { kind: Kind::Random, amount: Amount::new(100), shares: 10, opens_in_ms: 0, lasts_ms: None };

    fn packet() -> Definition {
        Definition {
            packet_id: PacketId::of(1, &EventId::new("e").unwrap()),
            room_id: Id::new(1).unwrap(),
            from_user_id: Id::new(7).unwrap(),
            kind: Kind::Equal,
            asset_type: 1,
            amount: Amount::new(100),
            shares: 10,
            min_level: 3,
            message: String::new(),
            opens_at_ms: 1_000,
            closes_at_ms: 2_000,
            commitment: Secret::from_bytes([0; 32]).commitment(),
        }
    }

    #[test]
    fn what_may_be_given_ends_exactly_at_the_bounds() {
        let settings = Settings::default();
        let given = |change: fn(&mut Wanted)| {
            let mut wanted = WANTED;
            change(&mut wanted);
            check(&settings, wanted)
        };
        assert_eq!(given(|_| {}), Ok(600_000));
        assert_eq!(given(|w| w.lasts_ms = Some(1_000)), Ok(1_000));
        let times = Err(No::Times { opens_in_ms_max: 600_000, lasts_ms_max: 600_000 });
        assert_eq!(given(|w| w.lasts_ms = Some(999)), times);
        assert_eq!(given(|w| w.lasts_ms = Some(600_001)), times);
        assert_eq!(given(|w| w.opens_in_ms = 600_001), times);
        assert_eq!(given(|w| w.shares = 0), Err(No::Shares { shares_max: 500 }));
        assert_eq!(given(|w| w.shares = 501), Err(No::Shares { shares_max: 500 }));
        let amount = Err(No::Amount { amount_min: Amount::new(1), amount_max: Amount::new(1_000_000) });
        assert_eq!(given(|w| w.amount = Amount::ZERO), amount);
        assert_eq!(given(|w| w.amount = Amount::new(-5)), amount);
        assert_eq!(given(|w| w.amount = Amount::new(i64::MAX)), amount);
        assert_eq!(given(|w| w.amount = Amount::new(9)), Err(No::Small { shares: 10 }));
        assert_eq!(given(|w| w.amount = Amount::new(10)), Ok(600_000));
        assert_eq!(given(|w| (w.kind, w.amount) = (Kind::Equal, Amount::new(99))), Err(No::Unequal { shares: 10 }));
    }

    #[test]
    fn who_may_grab_is_decided_by_the_hosts_clock_and_the_definition() {
        let open = Settings::default();
        let grab = |settings: &Settings, user_id, level, now_ms| {
            may_grab(settings, &packet(), Grabber { user_id, level }, now_ms)
        };
        assert_eq!(grab(&open, 1, 3, 999), Err(No::NotOpen { retry_after_ms: 1 }));
        assert_eq!(grab(&open, 1, 3, 1_000), Ok(()));
        assert_eq!(grab(&open, 1, 3, 1_999), Ok(()));
        assert_eq!(grab(&open, 1, 3, 2_000), Err(No::Closed));
        assert_eq!(grab(&open, 1, 2, 1_000), Err(No::Level { min_level: 3 }));
        assert_eq!(grab(&open, 7, 3, 1_000), Ok(()));
        let closed = Settings { giver_may_grab: false, ..open };
        assert_eq!(grab(&closed, 7, 3, 1_000), Err(No::Own));
        assert_eq!(grab(&closed, 1, 3, 1_000), Ok(()));
    }

    proptest! {
        #[test]
        fn whatever_may_be_given_can_be_divided(
            equal in any::<bool>(), amount in any::<i64>(), shares in any::<u32>(), most in 1_i64..=i64::MAX,
        ) {
            let kind = if equal { Kind::Equal } else { Kind::Random };
            let settings = Settings { shares_max: SHARES_MAX, amount_max: Amount::new(most), ..Settings::default() };
            let wanted = Wanted { kind, amount: Amount::new(amount), shares, ..WANTED };
            if check(&settings, wanted).is_ok() {
                prop_assert!((1..=SHARES_MAX).contains(&shares) && amount >= i64::from(shares) && amount <= most);
                prop_assert!(kind == Kind::Random || amount % i64::from(shares) == 0);
            }
        }
    }
}
