//! The voting plugin: polls in a room. The way of a vote:
//!
//! 1. `open` writes a poll down (`poll` says what one is) and sets the timer of its end.
//! 2. `vote` adds the vote to the voter's ballot (`ballot`) in the voter's own shard: ballot, sums and the answer to a repetition are one
//!    atomic step, so a vote counts once whatever is repeated or raced.
//! 3. A vote that costs coins is reserved in that step instead, and `pay` holds the coins. `settle` decides in one step of the same shard
//!    whether it counts, and only then writes the books (`shares`) or gives the coins back.
//! 4. `live` tells the room the sums, at most so often.
//! 5. `close` ends the votes of all shards, waits for the paid votes that are under way, and publishes that the poll has ended. When that
//!    message is consumed, everything before it is durable: `result` adds up, writes the result into the plugin's table and tells the room.
//! 6. `recount` counts again from the single ballots, in pieces.
//!
//! `ballot`, `poll`, `shares` and `tally` are pure. Nothing that matters lives in memory; polls, which never change, are remembered there.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

mod ballot;
mod close;
mod config;
mod live;
mod open;
mod pay;
mod place;
mod poll;
mod recount;
mod refusal;
mod result;
mod settle;
mod shares;
mod show;
mod tally;
mod vote;

/// The topic of paid votes, from the hold to the books.
const VOTE_TOPIC: &str = "voting.vote";
/// The topic of polls that have ended, from the last vote to the result.
const CLOSED_TOPIC: &str = "voting.closed";
/// Gold coins.
const GOLD: u32 = 1;
/// How often a step is tried that somebody else's stops: only one viewer's own requests at the same time do.
const TRIES_MAX: usize = 16;

greenroom_sdk::plugin! {
    config: config::Config,
    routes: [
        open::open,
        show::list,
        show::one,
        show::results,
        vote::mine,
        vote::add,
        vote::replace,
        close::close,
        recount::start,
        recount::show,
    ],
    refusals: [refusal::No],
    timers: live::Alarm => live::fire,
    consumer: settle::consume,
}
