//! What is kept of a battle: in the cache while it goes on, and in the database once it has ended.

use std::time::Duration;

use greenroom_sdk::{Amount, Document, Id, Path, Problem, Room, Shards, answer, db, read_json, room, route, stored};

use crate::rules::{Side, TieRule};
use crate::{No, Settings};

/// A battle begins so long after it is accepted, and goes on so long after a tie is found. By then it is written down, unless the cache is
/// slower than that, so no host that comes to a gift of the battle takes it for one of before. What clocks of hosts differ by comes off it.
pub(crate) const LEAD: Duration = Duration::from_secs(1);
/// How long the keys of a battle are kept: longer than it may go on.
pub(crate) const KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How far it is.
#[derive(Copy, Eq)]
#[stored]
pub(crate) enum Status {
    Invited,
    Live,
    Ended,
}

/// A battle.
#[stored]
pub(crate) struct Battle {
    pub(crate) battle_id: String,
    pub(crate) challenger: Contestant,
    pub(crate) challenged: Contestant,
    pub(crate) status: Status,
    pub(crate) duration_s: u32,
    /// Until when it may be accepted.
    pub(crate) accept_until_ms: u64,
    pub(crate) started_at_ms: Option<u64>,
    /// Moved by overtime.
    pub(crate) ends_at_ms: Option<u64>,
    pub(crate) overtimes: u32,
    #[serde(default)]
    pub(crate) breaks: Vec<Break>,
    /// None for a draw, and until it has ended.
    pub(crate) winner: Option<Side>,
    pub(crate) tie: TieRule,
    pub(crate) asset_type: u32,
    pub(crate) drain_s: u32,
    pub(crate) score_every_ms: u32,
}

/// The time between an end and its overtime. Gifts that are sent in it count nothing.
#[derive(Copy, Eq)]
#[stored]
pub(crate) struct Break {
    pub(crate) from_ms: u64,
    pub(crate) to_ms: u64,
}

/// A side.
#[stored]
pub(crate) struct Contestant {
    pub(crate) room_id: Id,
    /// The final score, once it has ended; what it is before is in the shards.
    pub(crate) score: Amount,
}

/// The battle of a room.
#[stored]
struct Current {
    battle_id: String,
    /// No other takes the room while it goes on.
    is_kept: bool,
}

/// What everybody may see of it.
#[answer]
pub(crate) struct View {
    pub(crate) battle_id: String,
    pub(crate) status: Status,
    pub(crate) challenger: Contestant,
    pub(crate) challenged: Contestant,
    pub(crate) accept_until_ms: u64,
    /// A moment after it was accepted.
    pub(crate) started_at_ms: Option<u64>,
    pub(crate) ends_at_ms: Option<u64>,
    /// How often the time was extended because of a tie.
    pub(crate) overtimes: u32,
    /// The times between the start and the end in which gifts count nothing: before each overtime.
    pub(crate) breaks: Vec<Break>,
    pub(crate) winner: Option<Side>,
}

impl Battle {
    pub(crate) fn shards(&self) -> Shards {
        Shards::of_thing(format!("battle/{}", self.battle_id))
    }

    /// Whether a gift that the host accepted at that time counts.
    pub(crate) fn is_live_at(&self, ms: u64) -> bool {
        let time = self.started_at_ms.zip(self.ends_at_ms);
        let is_break = self.breaks.iter().any(|between| (between.from_ms..between.to_ms).contains(&ms));
        self.status == Status::Live && !is_break && time.is_some_and(|(from, to)| (from..to).contains(&ms))
    }

    /// Begins it, in a moment. False if it has begun before.
    pub(crate) fn begin(&mut self, now_ms: u64) -> bool {
        if self.status != Status::Invited {
            return false;
        }
        let starts_at_ms = now_ms.saturating_add(millis(LEAD));
        self.status = Status::Live;
        self.started_at_ms = Some(starts_at_ms);
        self.ends_at_ms = Some(starts_at_ms.saturating_add(u64::from(self.duration_s) * 1_000));
        true
    }

    /// Goes on for so many seconds after so many overtimes, in a moment. False if it does already, or has ended.
    pub(crate) fn go_on(&mut self, overtimes: u32, seconds: u32, now_ms: u64) -> bool {
        let Some(from_ms) = self.ends_at_ms.filter(|_| self.status == Status::Live && self.overtimes == overtimes)
        else {
            return false;
        };
        let to_ms = now_ms.saturating_add(millis(LEAD));
        self.breaks.push(Break { from_ms, to_ms });
        self.overtimes += 1;
        self.ends_at_ms = Some(to_ms.saturating_add(u64::from(seconds) * 1_000));
        true
    }

    pub(crate) fn score_period(&self) -> Duration {
        Duration::from_millis(self.score_every_ms.into())
    }

    pub(crate) fn rooms(&self) -> [i64; 2] {
        [self.challenger.room_id.get(), self.challenged.room_id.get()]
    }

    /// The scores of challenger and challenged as they are now.
    pub(crate) fn scores(&self) -> Result<[Amount; 2], Problem> {
        if self.status == Status::Ended {
            return Ok([self.challenger.score, self.challenged.score]);
        }
        let sums = self.shards().sums(&self.rooms().map(key))?;
        let [a, b] = sums.as_slice() else { return Err(Problem::failed("a battle has two scores")) };
        Ok([Amount::new(*a), Amount::new(*b)])
    }

    pub(crate) fn view(&self, scores: [Amount; 2]) -> View {
        let [challenger, challenged] = scores;
        View {
            battle_id: self.battle_id.clone(),
            status: self.status,
            challenger: Contestant { score: challenger, ..self.challenger.clone() },
            challenged: Contestant { score: challenged, ..self.challenged.clone() },
            accept_until_ms: self.accept_until_ms,
            started_at_ms: self.started_at_ms,
            ends_at_ms: self.ends_at_ms,
            overtimes: self.overtimes,
            breaks: self.breaks.clone(),
            winner: self.winner,
        }
    }

    /// Pushes to both rooms; one in which the plugin is not enabled any more is passed over.
    pub(crate) fn broadcast(
        &self,
        key: &str,
        event: &str,
        view: &View,
        priority: room::Priority,
    ) -> Result<(), Problem> {
        for room_id in self.rooms() {
            if let Some(room) = Room::<Settings>::find(room_id)? {
                room.broadcast(key, event, view, priority)?;
            }
        }
        Ok(())
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The counter of a room's score, in each shard of the battle.
pub(crate) fn key(room_id: i64) -> String {
    format!("score/{room_id}")
}

/// In the cache.
pub(crate) fn document(battle_id: &str) -> Document<Battle> {
    Document::new(format!("battle/{battle_id}"), "state", KEPT)
}

/// The battle of that id, wherever it is kept.
pub(crate) fn find(battle_id: &str) -> Result<Option<Battle>, Problem> {
    if let Some(battle) = document(battle_id).read()? {
        return Ok(Some(battle));
    }
    match db::query("find-battle", &[db::Value::Text(battle_id.into())])?.first().map(Vec::as_slice) {
        Some([db::Value::Text(record)]) => {
            read_json(record.as_bytes()).map(Some).map_err(|e| Problem::failed(format!("a battle: {e}")))
        }
        _ => Ok(None),
    }
}

/// Changes it if `change` says so; gives it as it is then. The change may be made up several times.
pub(crate) fn change(battle_id: &str, change: impl Fn(&mut Battle) -> bool) -> Result<Option<Battle>, Problem> {
    let changed =
        document(battle_id).edit(|found| Ok(found.and_then(|mut battle| change(&mut battle).then_some(battle))))?;
    if changed.is_some() { Ok(changed) } else { find(battle_id) }
}

/// Keeps an ended battle in the database. May be repeated; the first record stays.
pub(crate) fn record(battle: &Battle) -> Result<(), Problem> {
    let record = serde_json::to_string(battle).map_err(|e| Problem::failed(format!("a battle: {e}")))?;
    let ended_at = battle.ends_at_ms.and_then(|ms| i64::try_from(ms).ok()).unwrap_or_default();
    let params = [db::Value::Text(battle.battle_id.clone()), db::Value::Integer(ended_at), db::Value::Text(record)];
    db::transact(&[db::Step { statement: "put-battle".into(), params: params.to_vec(), expected_rows: None }])?;
    Ok(())
}

/// The battle that a room is in, or was in last.
pub(crate) fn of_room(room_id: i64) -> Result<Option<Battle>, Problem> {
    current_of(room_id).read()?.map(|current| find(&current.battle_id)).transpose().map(Option::flatten)
}

fn current_of(room_id: i64) -> Document<Current> {
    Document::new(format!("room/{room_id}"), "current", KEPT)
}

/// Makes a battle the one of a room, unless the room is in another that goes on. False if it is. Until it is [`keep`]ed another may take the room.
pub(crate) fn claim(room_id: i64, battle_id: &str) -> Result<bool, Problem> {
    let claimed = current_of(room_id).edit(|current| {
        if let Some(current) = &current {
            if current.battle_id == battle_id {
                return Ok(Some(current.clone()));
            }
            if current.is_kept && find(&current.battle_id)?.is_some_and(|other| other.status == Status::Live) {
                return Ok(None);
            }
        }
        Ok(Some(Current { battle_id: battle_id.into(), is_kept: false }))
    });
    Ok(claimed?.is_some())
}

/// Keeps a room for a battle that has begun, until it has ended. False if another has taken the room since it was claimed.
pub(crate) fn keep(room_id: i64, battle_id: &str) -> Result<bool, Problem> {
    let kept = current_of(room_id).edit(|current| {
        let current = current.filter(|current| current.battle_id == battle_id);
        Ok(current.map(|current| Current { is_kept: true, ..current }))
    });
    Ok(kept?.is_some())
}

/// A battle with its score.
#[route(GET "pks/{battleId}")]
pub(crate) fn show(_: Room<Settings>, Path(battle_id): Path<String>) -> Result<View, Problem> {
    let battle = find(&battle_id)?.ok_or(No::NotFound { battle_id })?;
    Ok(battle.view(battle.scores()?))
}

/// The battle that the room is in, or was in last.
#[route(GET "pk")]
pub(crate) fn current(room: Room<Settings>) -> Result<View, Problem> {
    let battle = of_room(room.room_id)?.ok_or(No::NotFound { battle_id: "of this room".into() })?;
    Ok(battle.view(battle.scores()?))
}
