//! Who gets the coins of a paid vote. Pure.

use greenroom_sdk::{Amount, Overflow, stored};

/// Where the platform's share goes; a system account of the host.
const PLATFORM: i64 = -2;
/// The streamers of one vote at most; with it an event's books stay well below the ledger's bounds.
const STREAMERS_MAX: usize = 32;

/// What one account gets.
#[derive(Copy, Eq)]
#[stored]
pub(crate) struct Share {
    pub(crate) user_id: i64,
    pub(crate) amount: Amount,
}

/// The platform's share is rounded down; the streamers get equal parts of the rest, and what cannot be divided goes to the first of them,
/// one coin each. Together it is the cost, exactly.
///
/// # Errors
/// For no streamer or more than 32, an amount below 0, or more than 10,000 basis points.
pub(crate) fn shares(cost: Amount, share_bps: u32, streamers: &[i64]) -> Result<Vec<Share>, Overflow> {
    if streamers.len() > STREAMERS_MAX {
        return Err(Overflow);
    }
    let (to_platform, rest) = cost.split_bps(share_bps)?;
    let parts = i64::try_from(streamers.len()).map_err(|_| Overflow)?;
    let each = rest.get().checked_div(parts).ok_or(Overflow)?;
    let left_over = rest.get().checked_rem(parts).ok_or(Overflow)?;
    let mut shares = vec![Share { user_id: PLATFORM, amount: to_platform }];
    for (place, streamer) in (0_i64..).zip(streamers) {
        let amount = Amount::new(each).plus(Amount::new(i64::from(place < left_over)))?;
        shares.push(Share { user_id: *streamer, amount });
    }
    shares.retain(|share| share.amount != Amount::ZERO);
    Ok(shares)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shared(cost: i64, share_bps: u32, streamers: &[i64]) -> Vec<(i64, i64)> {
        let shares = shares(Amount::new(cost), share_bps, streamers).unwrap();
        shares.iter().map(|share| (share.user_id, share.amount.get())).collect()
    }

    #[test]
    fn what_cannot_be_divided_goes_to_the_first() {
        assert_eq!(shared(100, 3_000, &[77]), [(-2, 30), (77, 70)]);
        assert_eq!(shared(101, 3_000, &[7, 8, 9]), [(-2, 30), (7, 24), (8, 24), (9, 23)]);
        assert_eq!(shared(1, 3_000, &[7, 8]), [(7, 1)]);
        assert_eq!(shared(5, 10_000, &[7]), [(-2, 5)]);
        assert!(shares(Amount::new(1), 0, &[]).is_err());
        assert!(shares(Amount::new(1), 0, &[1; 33]).is_err());
    }

    proptest! {
        #[test]
        fn not_a_coin_is_lost_or_made(cost in 0..=i64::MAX, share_bps in 0_u32..=10_000, streamers in 1_i64..33) {
            let streamers: Vec<i64> = (1..=streamers).collect();
            let shares = shares(Amount::new(cost), share_bps, &streamers).unwrap();
            let sum = shares.iter().try_fold(Amount::ZERO, |sum, share| sum.plus(share.amount)).unwrap();
            prop_assert_eq!(sum, Amount::new(cost));
            prop_assert!(shares.iter().all(|share| share.amount.get() > 0));
            let of_streamers = shares.iter().filter(|share| share.user_id > 0).map(|share| share.amount.get());
            let (least, most) = (of_streamers.clone().min().unwrap_or(0), of_streamers.max().unwrap_or(0));
            prop_assert!(most - least <= 1);
        }
    }
}
