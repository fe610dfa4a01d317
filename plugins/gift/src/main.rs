//! The gift plugin: steps 4, 6 and 8 of the way of a gift.
//!
//! `send` prices a gift from the catalogue and holds the sum; `settle` turns the held events into balanced books; `combo`
//! closes combos; `ranking` counts contributions. `rules` is pure: what may be sent, what it costs, who gets what.
//! Nothing that matters lives in memory; the catalogue and the rooms' configurations are only remembered for a while.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

mod calendar;
mod catalogue;
mod combo;
mod payload;
mod ranking;
mod rules;
mod send;
mod settle;

use greenroom_sdk::{Occasion, Problem, Room};

use crate::rules::Config;

/// The topic on which sent gifts go from the hold to the books.
const TOPIC: &str = "gift.sent";

fn on(_: Room<Config>, occasion: Occasion) -> Result<(), Problem> {
    match occasion {
        Occasion::Enabled => catalogue::seed(),
        _ => Ok(()),
    }
}

greenroom_sdk::plugin! {
    config: Config,
    routes: [catalogue::list, send::send, ranking::show, catalogue::put],
    timers: combo::Open => combo::fire,
    consumer: settle::settle,
    lifecycle: on,
}
