//! What is refused, each case with what to do.

use greenroom_sdk::{Amount, Refusal};

#[derive(Debug, PartialEq, Eq, Refusal)]
pub(crate) enum No {
    #[refusal(1, 409, "packet-not-open", "the packet opens in {retry_after_ms} ms; grab it then")]
    NotOpen { retry_after_ms: u32 },
    #[refusal(2, 409, "packet-closed", "the packet is closed; what was left has gone back")]
    Closed,
    #[refusal(3, 409, "packet-empty", "all {shares} shares of the packet are taken")]
    Empty { shares: u32 },
    #[refusal(4, 403, "level-too-low", "the packet is for viewers of level {min_level} and above")]
    Level { min_level: u32 },
    #[refusal(5, 403, "own-packet", "who gives a packet does not grab it in this room")]
    Own,
    #[refusal(6, 404, "packet-not-found", "there is no such packet in this room")]
    NotFound,
    #[refusal(7, 409, "share-lost", "a failure gave this share to somebody else before; grab another packet")]
    Lost,
    #[refusal(8, 400, "too-many-shares", "a packet has at most {shares_max} shares in this room")]
    Shares { shares_max: u32 },
    #[refusal(9, 400, "amount-out-of-range", "a packet in this room is from {amount_min} to {amount_max}")]
    Amount { amount_min: Amount, amount_max: Amount },
    #[refusal(
        10,
        400,
        "amount-too-small",
        "each share is 1 or more; give at least as much as there are shares, {shares}"
    )]
    Small { shares: u32 },
    #[refusal(
        11,
        400,
        "not-divisible",
        "equal shares need an amount that is a multiple of {shares}; random ones take any"
    )]
    Unequal { shares: u32 },
    #[refusal(
        12,
        400,
        "times-out-of-range",
        "`opensInMs` is at most {opens_in_ms_max}, `lastsMs` from 1000 to {lasts_ms_max}"
    )]
    Times { opens_in_ms_max: u64, lasts_ms_max: u64 },
}
