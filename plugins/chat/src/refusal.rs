//! What the plugin refuses.

use greenroom_sdk::Refusal;

/// Each case says what to do.
#[derive(Debug, PartialEq, Eq, Refusal)]
pub(crate) enum No {
    #[refusal(1, 403, "muted", "you are muted in this room for another {left_s} seconds")]
    Muted { left_s: u64, until_ms: u64, retry_after_ms: u32 },
    #[refusal(2, 403, "banned", "you are banned from this room's chat until its moderators lift it")]
    Banned,
    #[refusal(3, 429, "too-fast", "you have written as often as this room allows; write again in {wait_ms} ms")]
    TooFast { wait_ms: u32, retry_after_ms: u32 },
    #[refusal(4, 429, "room-busy", "too many write in this room in this second; send it again with the same event id")]
    RoomBusy { retry_after_ms: u32 },
    #[refusal(5, 409, "text-empty", "there is nothing to read in the message; write something")]
    Empty,
    #[refusal(
        6,
        409,
        "text-too-long",
        "a message may have {text_len_max} characters here, and this one has {has}; make it shorter"
    )]
    TooLong { text_len_max: u32, has: u64 },
    #[refusal(7, 409, "text-control", "the message has control characters, such as line breaks; leave them out")]
    Control,
    #[refusal(8, 409, "word-refused", "the message has a word that is not wanted in this room; say it in other words")]
    Word,
    #[refusal(9, 404, "message-not-found", "there is no message {number} in this room")]
    Unsaid { number: i64 },
    #[refusal(10, 409, "moderator", "user {user_id} is a streamer of this room, who cannot be muted or banned in it")]
    Streamer { user_id: i64 },
}
