//! The likes plugin: viewers tap, clients gather the taps and send a count, and the room sees its total grow.
//!
//! The way of a like, in `like`:
//! 1. What is known of the viewer is read from the viewer's own shard: how many likes they may still send (`liker`), and what they sent
//!    last, so that a repetition counts once.
//! 2. One step in that shard takes the likes from the allowance and adds them to the shard's part of the stream's total.
//! 3. A timer for the end of the period is set, unless there is one (`total`): it adds up all shards and pushes once, however many likes
//!    there were. Others write the total down and, if the room wants them, find the top likers (`top`).
//!
//! A viewer touches one shard of 64; reading totals and top likers reads one key that the timers have written. `liker` is pure.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

mod alarm;
mod like;
mod liker;
mod settings;
mod top;
mod total;

use greenroom_sdk::{Refusal, Shards};

use crate::settings::Settings;

/// What the plugin refuses.
#[derive(Debug, Refusal)]
enum No {
    #[refusal(1, 404, "stream-without-likes", "no likes are known of stream {stream_id} of this room")]
    NoLikes { stream_id: String },
}

/// Where the viewers of a room are, each with their part of the totals.
fn viewers(room_id: i64) -> Shards {
    Shards::of_thing(format!("likes/{room_id}"))
}

/// Where what is shown of a room is.
fn room_shard(room_id: i64) -> String {
    format!("room/{room_id}")
}

greenroom_sdk::plugin! {
    config: Settings,
    routes: [like::like, total::show, total::show_stream, top::show],
    refusals: [No],
    timers: alarm::Alarm => alarm::fire,
}
