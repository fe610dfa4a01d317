//! Sending likes: the way of a like, as `main` tells it.

use std::time::Duration;

use greenroom_sdk::{
    Body, Caller, EventId, Now, Once, Problem, Request, Room, Step, cache, ledger, read_json, request, route, stored,
};

use crate::liker::{Known, Liker};
use crate::settings::{COUNT_MAX, Settings};
use crate::{alarm, top, total, viewers};

/// How often the step is tried again because another request of this viewer was faster.
const TRIES: u32 = 5;
/// Parts of a stream's total are kept so long after their last like. No stream goes on for longer without one in each shard that has any;
/// a total that is written down is never lowered.
const KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

#[request]
pub(crate) struct Likes {
    event_id: EventId,
    /// Taps that the client has gathered since it last sent some.
    #[schemars(range(min = 1, max = COUNT_MAX))]
    count: u32,
}

#[derive(Copy, Eq)]
#[stored]
pub(crate) struct Liked {
    /// How many of them count; the rest was more than a viewer may send in this time.
    counted: u32,
}

/// Sends likes that the client has gathered; says how many of them count.
#[route(POST "likes", roles(viewer, streamer, operator), live)]
pub(crate) fn like(
    caller: Caller,
    Now(now_ms): Now,
    room: Room<Settings>,
    request: &Request,
    Body(likes): Body<Likes>,
) -> Result<Once<Liked>, Problem> {
    request.check_idempotency_key(&likes.event_id)?;
    let stream_id = &room.stream()?.id;
    for _ in 0..TRIES {
        if let Some(once) = attempt(caller.user_id, &likes, now_ms, &room, stream_id)? {
            // For a repetition, too: the first time may have ended between the step and this.
            if once.answer.counted > 0 {
                alarm::ring(&room, stream_id)?;
            }
            return Ok(once);
        }
    }
    Err(Problem::overloaded("you send likes from several places at once; try again"))
}

/// None if another request of this viewer was faster.
fn attempt(
    user_id: i64,
    likes: &Likes,
    now_ms: u64,
    room: &Room<Settings>,
    stream_id: &str,
) -> Result<Option<Once<Liked>>, Problem> {
    let Likes { event_id, count } = likes;
    let (shard, key) = (viewers(room.room_id).of(user_id), format!("liker/{user_id}"));
    let seen = cache::get(&shard, &key)?;
    let known = seen.as_deref().map(read).transpose()?.unwrap_or_else(|| Liker::new(now_ms, &room.config));
    let step = Step::in_shard(shard).expect(key.clone(), seen);
    match known.known(event_id, *count) {
        Known::Other => return Err(ledger::Error::EventIdReused.into()),
        // The step writes nothing; with it the host waits until the first time is durable.
        Known::Counted(counted) => {
            return Ok(step.commit()?.ok().map(|_| Once { answer: Liked { counted }, replayed: true }));
        }
        Known::No => {}
    }
    let (next, counted) = known.with(event_id, *count, now_ms, &room.config);
    let mut step = step.put(key, &next, Some(Liker::ttl(&room.config)))?;
    if counted > 0 {
        step = step.lasting(KEPT).add(total::key(stream_id), counted.into(), None);
        if room.config.top_len > 0 {
            step = step.write(top::score(stream_id, user_id, counted));
        }
    }
    Ok(step.commit()?.ok().map(|_| Once { answer: Liked { counted }, replayed: false }))
}

fn read(bytes: &[u8]) -> Result<Liker, Problem> {
    read_json(bytes).map_err(|e| Problem::failed(format!("what is known of the viewer: {e}")))
}
