//! What is kept of somebody who plays, in their shard.

use greenroom_sdk::{Problem, cache, read_json, stored};

use crate::quiz::Quiz;

/// The ranking of a shard's players: the listing of those who have answered the first question.
pub(crate) const PLAYERS: &str = "players";
/// Players that are read in one call.
const PAGE: u32 = 1_000;

/// The answers of a player, and the questions at which they were revived.
#[derive(Default, Eq)]
#[stored]
pub(crate) struct Player {
    /// By question; none for one that was not answered.
    pub(crate) answers: Vec<Option<u32>>,
    pub(crate) revived: Vec<u32>,
}

impl Player {
    pub(crate) fn answer(&self, question: u32) -> Option<u32> {
        self.answers.get(question as usize).copied().flatten()
    }

    /// With an answer more.
    pub(crate) fn answered(mut self, question: u32, option: u32) -> Self {
        let place = question as usize;
        if self.answers.len() <= place {
            self.answers.resize(place + 1, None);
        }
        if let Some(answer) = self.answers.get_mut(place) {
            *answer = Some(option);
        }
        self
    }
}

pub(crate) fn key(user_id: i64) -> String {
    format!("player/{user_id}")
}

/// A player with the bytes that are kept; none of who does not play.
pub(crate) fn find(quiz: &Quiz, user_id: i64) -> Result<(Option<Vec<u8>>, Player), Problem> {
    match cache::get(&quiz.shards().of(user_id), &key(user_id))? {
        Some(bytes) => {
            let player = parsed(&bytes)?;
            Ok((Some(bytes), player))
        }
        None => Ok((None, Player::default())),
    }
}

fn parsed(bytes: &[u8]) -> Result<Player, Problem> {
    read_json(bytes).map_err(|e| Problem::failed(format!("a player: {e}")))
}

/// All who play, in ascending order of their ids. Once the shards are closed they do not change any more.
pub(crate) fn all(quiz: &Quiz) -> Result<Vec<(i64, Player)>, Problem> {
    let mut all = Vec::new();
    for shard in quiz.shards().all() {
        for page in 0.. {
            let listed = cache::top(&shard, PLAYERS, page * PAGE, PAGE)?;
            let ids: Result<Vec<i64>, _> = listed.iter().map(|ranked| ranked.member.parse::<i64>()).collect();
            let ids = ids.map_err(|e| Problem::failed(format!("a player's id: {e}")))?;
            let keys: Vec<(String, String)> = ids.iter().map(|user_id| (shard.clone(), key(*user_id))).collect();
            for (user_id, bytes) in ids.into_iter().zip(cache::get_many(&keys)?) {
                let bytes =
                    bytes.ok_or_else(|| Problem::failed(format!("player {user_id} is listed and not there")))?;
                all.push((user_id, parsed(&bytes)?));
            }
            if listed.len() < PAGE as usize {
                break;
            }
        }
    }
    all.sort_unstable_by_key(|(user_id, _)| *user_id);
    Ok(all)
}
