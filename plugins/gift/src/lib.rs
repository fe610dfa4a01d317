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

use std::rc::Rc;

use greenroom_sdk::{Context, Contexts, Message, Occasion, Plugin, Problem, Request, Response, Verdict};

use crate::rules::Config;

/// The topic on which sent gifts go from the hold to the books.
const TOPIC: &str = "gift.sent";

thread_local! {
    static CONTEXTS: Contexts<Context<Config>> = const { Contexts::new() };
}

/// The room and its configuration, read once for each snapshot.
fn context(request: &Request) -> Result<Rc<Context<Config>>, Problem> {
    CONTEXTS.with(|contexts| contexts.get_or_make(request.context, Context::read))
}

/// The plugin.
#[derive(Debug)]
pub struct Gift;

impl Plugin for Gift {
    fn api(request: Request) -> Result<Response, Problem> {
        match (request.method.as_str(), request.route.as_str()) {
            ("POST", "gifts") => send::send(&request),
            ("GET", "gifts") => catalogue::list(&request),
            ("GET", "gifts/ranking") => ranking::show(&request),
            ("PUT", "gifts/{giftId}") => catalogue::put(&request),
            (method, route) => Err(Problem::invalid(format!("{method} {route} is not a route of this plugin"))),
        }
    }

    fn consume(batch: Vec<Message>) -> Vec<Verdict> {
        settle::settle(batch)
    }

    fn on(occasion: Occasion) -> Result<(), String> {
        match occasion {
            Occasion::Enabled => catalogue::seed(),
            _ => Ok(()),
        }
    }

    fn fire(key: String, payload: Vec<u8>) -> Result<(), String> {
        combo::fire(&key, &payload)
    }
}

greenroom_sdk::raw_plugin!(Gift: api, consumer, lifecycle, timer_handler);
