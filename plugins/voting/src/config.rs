//! What an operator may set in a room.

use greenroom_sdk::config;

/// The plugin's configuration in a room.
#[config]
pub(crate) struct Config {
    /// How many polls of the room may be open at the same time.
    #[default(3)]
    #[schemars(range(min = 1, max = 20))]
    pub(crate) open_max: u32,
    /// The room is told the sums of a poll once in so long at most.
    #[default(500)]
    #[schemars(range(min = 100, max = 10_000))]
    pub(crate) tally_every_ms: u32,
    /// The most that a vote may cost, in gold coins.
    #[default(100_000)]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub(crate) price_max: u32,
    /// The platform's share of a paid vote in basis points; the room's streamers get the rest, in equal parts.
    #[default(3_000)]
    #[schemars(range(max = 10_000))]
    pub(crate) platform_share_bps: u32,
    /// How long a poll that has ended waits for paid votes that are under way; those that come later are given back. 0 for not at all.
    #[default(60)]
    #[schemars(range(max = 600))]
    pub(crate) counting_max_s: u32,
}
