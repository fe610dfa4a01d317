//! When the room is told, and when totals are written down: timers that coalesce whatever happens in their period.

use std::time::Duration;

use greenroom_sdk::{Problem, Room, Timer, stored, tell_every};

use crate::settings::Settings;
use crate::{top, total};

/// How often a total is written into the table at most: with the quarter that a change may wait for the next period, within a minute.
const WRITE_PERIOD: Duration = Duration::from_secs(48);
/// How often top likers are looked for at most: it reads all shards' rankings.
const TOP_PERIOD: Duration = Duration::from_secs(5);

/// Something has changed in a stream.
#[derive(Timer)]
#[stored]
pub(crate) enum Alarm {
    #[timer("total/{stream_id}")]
    Total { stream_id: String },
    #[timer("write/{stream_id}")]
    Write { stream_id: String },
    #[timer("top/{stream_id}")]
    Top { stream_id: String },
}

/// Says that likes of a stream were counted.
pub(crate) fn ring(room: &Room<Settings>, stream_id: &str) -> Result<(), Problem> {
    let stream_id = || stream_id.to_owned();
    tell_every(room.config.push_period(), room.room_id, &Alarm::Total { stream_id: stream_id() })?;
    tell_every(WRITE_PERIOD, room.room_id, &Alarm::Write { stream_id: stream_id() })?;
    if room.config.top_len > 0 {
        tell_every(TOP_PERIOD, room.room_id, &Alarm::Top { stream_id: stream_id() })?;
    }
    Ok(())
}

/// Each may be repeated.
pub(crate) fn fire(room: Room<Settings>, alarm: Alarm) -> Result<(), Problem> {
    match alarm {
        Alarm::Total { stream_id } => total::tell(&room, stream_id),
        Alarm::Write { stream_id } => total::write_down(&room, stream_id),
        Alarm::Top { stream_id } => top::tell(&room, stream_id),
    }
}
