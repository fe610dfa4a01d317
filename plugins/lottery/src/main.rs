//! The lottery plugin: who enters, who wins what, and a draw that everybody can compute again.
//!
//! The way of a lottery: `create` holds the coins of its prizes and opens it; `enter` and `listen` take in who clicks, buys a ticket,
//! says the word or sends the gift; `close` ends entering and publishes the digest of the list; `draw` (pure) finds the winners from the
//! secret whose commitment was published at the beginning; `pay` empties the pot, to the last coin. `lottery` is what is kept of it,
//! `entrants` the list, `rules` what may be asked for.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

mod close;
mod create;
mod draw;
mod enter;
mod entrants;
mod listen;
mod lottery;
mod pay;
mod read;
mod rules;

use greenroom_sdk::{Problem, Refusal, Room, Timer, config, stored};

/// The topic of everything that moves coins: prizes put in, tickets, payments.
const TOPIC: &str = "lottery.money";
/// Where the platform's share goes; a system account of the host.
const PLATFORM: i64 = -2;

/// What an operator may set in a room.
#[config]
struct Settings {
    /// The currency of prizes and tickets; 1 is gold coins.
    #[default(1)]
    #[schemars(range(min = 1, max = 2_147_483_647))]
    asset_type: u32,
    /// The platform's share of the tickets, in basis points: 5000 is half. The streamers share the rest.
    #[default(5_000)]
    #[schemars(range(max = 10_000))]
    platform_share_bps: u32,
    /// How long after the close what was sent before is still taken in, in seconds: gifts, words and tickets arrive a little later.
    #[default(3)]
    #[schemars(range(max = 60))]
    drain_s: u32,
    /// How long the digest of the list is public before the draw, in seconds.
    #[default(3)]
    #[schemars(range(min = 1, max = 3_600))]
    draw_delay_s: u32,
    /// Lotteries that are open in a room at the same time.
    #[default(10)]
    #[schemars(range(min = 1, max = 50))]
    open_max: u32,
}

#[derive(Debug, Refusal)]
enum No {
    #[refusal(1, 404, "lottery-not-found", "there is no lottery {lottery_id} in this room")]
    NotFound { lottery_id: String },
    #[refusal(2, 409, "lottery-not-open", "lottery {lottery_id} is {status}: it takes nobody in")]
    NotOpen { lottery_id: String, status: String },
    #[refusal(3, 409, "no-chances-left", "a viewer has {chances_max} chances at most in this lottery")]
    AllUsed { chances_max: u32 },
    #[refusal(4, 409, "lottery-full", "the lottery has {chances_max} chances, and all are taken")]
    Full { chances_max: u32 },
    #[refusal(5, 409, "other-entry", "this lottery is entered by {entry}")]
    OtherEntry { entry: String },
    #[refusal(6, 409, "lottery-over", "lottery {lottery_id} is {status}: this cannot be done any more")]
    Over { lottery_id: String, status: String },
    #[refusal(7, 409, "entering-not-over", "the list is public once entering is over")]
    StillOpen {},
    #[refusal(8, 409, "too-many-lotteries", "{open_max} lotteries are open in this room; end one of them first")]
    TooMany { open_max: u32 },
}

#[derive(Timer)]
#[stored]
enum Alarm {
    #[timer("close/{lottery_id}")]
    Close { lottery_id: String },
    #[timer("draw/{lottery_id}")]
    Draw { lottery_id: String },
    /// Goes on with what may have ended half-way when it was made.
    #[timer("open/{lottery_id}")]
    Open { lottery_id: String },
    /// The same when it was cancelled.
    #[timer("cancel/{lottery_id}")]
    Cancel { lottery_id: String },
    #[timer("pay/{lottery_id}")]
    Pay { lottery_id: String, from: u32 },
}

fn ring(room: Room<Settings>, alarm: Alarm) -> Result<(), Problem> {
    match alarm {
        Alarm::Close { lottery_id } => close::close(&room, &lottery_id),
        Alarm::Draw { lottery_id } => close::draw(&room, &lottery_id),
        Alarm::Open { lottery_id } => create::go_on(&room, &lottery_id),
        Alarm::Cancel { lottery_id } => close::go_on(&room, &lottery_id),
        Alarm::Pay { lottery_id, from } => pay::pay(&room, &lottery_id, from),
    }
}

greenroom_sdk::plugin! {
    config: Settings,
    routes: [
        create::create, read::list, read::show, read::mine, read::entered, enter::enter, close::draw_now, close::cancel,
    ],
    refusals: [No],
    timers: Alarm => ring,
    consumer: listen::listen,
}
