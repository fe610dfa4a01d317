//! Red packets: a sum that a viewer or the streamer gives away in shares, one for each who is quick enough.
//!
//! The way of a packet: `fund` holds the sum from who gives it. Once the books have it in the packet's pot, `open` seals the packet: it
//! makes the secret, whose commitment everybody sees from then on, and sets the timer of the close. `grab` numbers those who come, in one
//! atomic step of the packet's shard, and pays share number n from the pot to the nth. `close` ends that for good, pays again what a crash
//! may have left out, gives back the rest, and reveals the secret. `shares` is pure: what number n is worth follows from the secret
//! and what is public. `money` knows accounts and books, `table` what outlives the cache.
//!
//! Each payment has one event id, made of packet and number, and an amount that follows from the number: repeated a hundred times it is
//! paid once, and all of them together are never more than what was put in.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

mod close;
mod definition;
mod fund;
mod grab;
mod money;
mod open;
mod packet;
mod refusal;
mod rules;
mod shares;
mod show;
mod table;

use greenroom_sdk::{Problem, Room, Timer, stored};

use crate::definition::PacketId;
use crate::rules::Settings;

/// What happens to a packet in time.
#[derive(Timer)]
#[stored]
enum Alarm {
    /// The countdown is over.
    #[timer("open/{packet_id}")]
    Open { packet_id: PacketId },
    /// Nobody grabs any more.
    #[timer("close/{packet_id}")]
    Close { packet_id: PacketId },
    /// Pays and writes down the next of those who came, after so many of them.
    #[timer("pay/{packet_id}")]
    Pay { packet_id: PacketId, after: u32 },
    /// Tells the room how many shares are gone.
    #[timer("tally/{packet_id}")]
    Tally { packet_id: PacketId },
}

fn fire(room: Room<Settings>, alarm: Alarm) -> Result<(), Problem> {
    match alarm {
        Alarm::Open { packet_id } => open::tell(&room, &packet_id),
        Alarm::Close { packet_id } => close::close(&room, &packet_id),
        Alarm::Pay { packet_id, after } => close::pay(&room, &packet_id, after),
        Alarm::Tally { packet_id } => grab::tell(&room, &packet_id),
    }
}

greenroom_sdk::plugin! {
    config: Settings,
    routes: [fund::fund, grab::grab, close::close_early, show::one, show::list, show::grabs],
    refusals: [refusal::No],
    timers: Alarm => fire,
    consumer: money::settle,
}
