//! Top likers of a stream, if the room shows them: a ranking in each shard, put together once in a while.
//!
//! Every viewer is in the ranking of one shard, so the first of all are among the first of each.

use std::time::Duration;

use greenroom_sdk::room::Priority;
use greenroom_sdk::{Id, Problem, Room, Step, cache, read_json, route, stored};

use crate::settings::Settings;
use crate::{room_shard, viewers};

/// Rankings are kept so long after their last like.
const KEPT: Duration = Duration::from_secs(2 * 24 * 60 * 60);

/// The viewers with the most likes.
#[derive(Eq)]
#[stored]
pub(crate) struct Top {
    stream_id: String,
    /// The most first; of equals, in the order of their ids as text.
    likers: Vec<Place>,
}

#[derive(Eq)]
#[stored]
struct Place {
    user_id: Id,
    likes: i64,
}

fn key(stream_id: &str) -> String {
    format!("top/{stream_id}")
}

/// So many likes of a viewer.
pub(crate) fn score(stream_id: &str, user_id: i64, counted: u32) -> cache::Write {
    let ttl_ms = u32::try_from(KEPT.as_millis()).ok();
    cache::Write::RankAdd(cache::Score {
        key: key(stream_id),
        member: user_id.to_string(),
        delta: counted.into(),
        ttl_ms,
    })
}

/// Finds them, and tells the room.
pub(crate) fn tell(room: &Room<Settings>, stream_id: String) -> Result<(), Problem> {
    let (key, len) = (key(&stream_id), room.config.top_len);
    let mut likers = Vec::new();
    for shard in viewers(room.room_id).all() {
        likers.extend(cache::top(&shard, &key, 0, len)?.into_iter().map(|ranked| (ranked.score, ranked.member)));
    }
    let top = Top { stream_id, likers: first(likers, len) };
    let _ = Step::in_shard(room_shard(room.room_id)).put(key, &top, Some(KEPT))?.commit()?;
    let sum = top.likers.iter().fold(0_i64, |sum, place| sum.saturating_add(place.likes));
    room.broadcast(&format!("top/{}/{sum}", top.stream_id), "likes.top", &top, Priority::Low)
}

fn first(mut likers: Vec<(i64, String)>, len: u32) -> Vec<Place> {
    // As the shards' rankings have it, else a cut among equals would not be the same there.
    likers.sort_unstable_by(|(a, left), (b, right)| b.cmp(a).then_with(|| left.cmp(right)));
    likers.truncate(usize::try_from(len).unwrap_or(usize::MAX));
    likers.into_iter().filter_map(|(likes, member)| Some(Place { user_id: Id::parse(&member)?, likes })).collect()
}

/// The viewers with the most likes in the live stream, as the room was told last; nobody if the room does not show them.
#[route(GET "likes/top", live)]
pub(crate) fn show(room: Room<Settings>) -> Result<Top, Problem> {
    let stream_id = room.stream()?.id.clone();
    match cache::get(&room_shard(room.room_id), &key(&stream_id))? {
        Some(bytes) => read_json(&bytes).map_err(|e| Problem::failed(format!("top likers: {e}"))),
        None => Ok(Top { stream_id, likers: Vec::new() }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_first_of_all_are_among_the_first_of_each_shard(
            likes in prop::collection::btree_map(1_i64..10_000, 1_i64..50, 0..200),
            len in 1_u32..20,
        ) {
            let all: Vec<_> = likes.iter().map(|(user_id, likes)| (*likes, user_id.to_string())).collect();
            let mut of_shards = Vec::new();
            for shard in 0..4 {
                let there = all.iter().filter(|(_, user_id)| user_id.parse::<i64>().unwrap() % 4 == shard).cloned();
                of_shards.extend(first(there.collect(), len).into_iter().map(|place| (place.likes, place.user_id.to_string())));
            }
            prop_assert_eq!(first(of_shards, len), first(all, len));
        }
    }
}
