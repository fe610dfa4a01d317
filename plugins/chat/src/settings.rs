//! What an operator may set in a room.

use greenroom_sdk::{config, stored};

/// The most characters that a message may be allowed to have: the schema of a message's text.
pub(crate) const TEXT_LEN_MAX: u32 = 500;
/// The most messages that a history may be allowed to have.
pub(crate) const HISTORY_LEN_MAX: u32 = 200;

/// The plugin's configuration in a room.
#[config]
pub(crate) struct Settings {
    /// Characters of one message at most.
    #[default(200)]
    #[schemars(range(min = 1, max = TEXT_LEN_MAX))]
    pub(crate) text_len_max: u32,
    /// Messages of one viewer within `windowMs` at most.
    #[default(5)]
    #[schemars(range(min = 1, max = 100))]
    pub(crate) messages_max: u32,
    /// The window of `messagesMax`, which moves with the clock.
    #[default(10_000)]
    #[schemars(range(min = 1_000, max = 3_600_000))]
    pub(crate) window_ms: u32,
    /// Slow mode: a viewer waits so long between two messages; 0 for off.
    #[schemars(range(max = 3_600_000))]
    pub(crate) slow_mode_ms: u32,
    /// Messages of the whole room in one second at most; 0 for no limit.
    #[default(100)]
    #[schemars(range(max = 100_000))]
    pub(crate) room_per_second_max: u32,
    /// How many messages are kept for those who enter.
    #[default(50)]
    #[schemars(range(min = 1, max = HISTORY_LEN_MAX))]
    pub(crate) history_len: u32,
    /// Words that are not to be seen, in any spelling that the filter knows; `word*`, `*word` and `*word*` also within longer words.
    #[schemars(length(max = 500), inner(length(min = 1, max = 64)))]
    pub(crate) words: Vec<String>,
    /// What is done about a message with such a word.
    pub(crate) words_found: Found,
}

/// What is done about a message with a word of the list.
#[derive(Copy, Eq, Default)]
#[stored]
pub(crate) enum Found {
    /// It is shown with stars in the word's place.
    #[default]
    Mask,
    /// It is refused.
    Refuse,
}
