//! What an operator may set in a room.

use std::time::Duration;

use greenroom_sdk::config;

/// The most likes of one request, whatever the room allows: the schema of a request's count.
pub(crate) const COUNT_MAX: u32 = 10_000;
/// The most top likers that a room may show.
pub(crate) const TOP_LEN_MAX: u32 = 100;

/// The plugin's configuration in a room.
#[config]
pub(crate) struct Settings {
    /// Likes of one viewer in a second at most; what is beyond is not counted.
    #[default(10)]
    #[schemars(range(min = 1, max = 1_000))]
    pub(crate) per_second: u32,
    /// For how long a client may gather likes: so many seconds' worth may come at once.
    #[default(3_000)]
    #[schemars(range(min = 1_000, max = 60_000))]
    pub(crate) gather_ms: u32,
    /// How often the room is told its total at most.
    #[default(2)]
    #[schemars(range(min = 1, max = 10))]
    pub(crate) pushes_per_second: u32,
    /// How many top likers the room shows; 0 for none, and then none are counted.
    #[schemars(range(max = TOP_LEN_MAX))]
    pub(crate) top_len: u32,
}

impl Settings {
    /// The time between two pushes of the total.
    pub(crate) fn push_period(&self) -> Duration {
        Duration::from_secs(1) / self.pushes_per_second.max(1)
    }
}
