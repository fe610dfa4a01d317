//! The score: each gift counts once, and both rooms see it as it moves.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use greenroom_sdk::{
    Document, Message, Now, Problem, Room, Stopped, Timer, Verdict, logging, room::Priority, stored, tell_every,
    too_soon,
};

use crate::battle::{self, Battle, key, of_room};
use crate::{Alarm, Settings};

const RETRY_MS: u32 = 500;

/// Counts a batch of gifts. One verdict for each.
pub(crate) fn count(batch: Vec<Message>) -> Vec<Verdict> {
    let mut battles: BTreeMap<i64, Option<Battle>> = BTreeMap::new();
    let mut verdict = |message: &Message| match counted(message, &mut battles) {
        Ok(()) => Verdict::Ack,
        Err(problem) if problem.status == 503 => Verdict::RetryAfter(RETRY_MS),
        Err(problem) => {
            logging::log(logging::Level::Warn, "score", &format!("{}: {}", message.event_id, problem.detail));
            Verdict::Ack
        }
    };
    batch.iter().map(&mut verdict).collect()
}

fn counted(message: &Message, battles: &mut BTreeMap<i64, Option<Battle>>) -> Result<(), Problem> {
    let room_id = message.room_id;
    let battle = match battles.entry(room_id) {
        Entry::Occupied(known) => known.into_mut(),
        Entry::Vacant(new) => new.insert(of_room(room_id)?),
    };
    let Some(battle) = battle else { return Ok(()) };
    let held = message.held.as_ref().filter(|held| held.asset_type == battle.asset_type);
    let Some(held) = held.filter(|_| battle.is_live_at(message.at_ms)) else { return Ok(()) };
    // An event id is only unique for each payer.
    let gift = format!("gift/{}/{}", message.payer, message.event_id);
    let step = battle.shards().step(message.payer).lasting(battle::KEPT).absent(gift.clone()).put(gift, &true, None)?;
    match step.add(key(room_id), held.amount, None).commit()? {
        // Check 0 is the end, check 1 this gift, which was counted before.
        Err(Stopped::Check(0)) => Ok(()),
        Ok(_) | Err(_) => {
            tell_every(battle.score_period(), room_id, &Alarm::Score { battle_id: battle.battle_id.clone() })
        }
    }
}

/// When both rooms were shown the score last.
#[derive(Copy, Eq)]
#[stored]
struct Told {
    at_ms: u64,
}

/// Shows both rooms the score, unless they were shown one less than a period ago: either room has a timer. Then this one's comes again.
pub(crate) fn tell(room: &Room<Settings>, battle_id: &str) -> Result<(), Problem> {
    let Some(battle) = battle::find(battle_id)?.filter(|battle| battle.status == battle::Status::Live) else {
        return Ok(());
    };
    let mut wait = None;
    told(battle_id).edit(|told| {
        wait = told.and_then(|told| too_soon(told.at_ms, battle.score_period()));
        Ok(wait.is_none().then(|| Told { at_ms: Now::of_this_call().0 }))
    })?;
    if let Some(wait) = wait {
        return Alarm::Score { battle_id: battle_id.into() }.ensure_in(room.room_id, wait);
    }
    let scores = battle.scores()?;
    // The same score is shown once, also if a crash has told of it before.
    let [a, b] = scores;
    battle.broadcast(&format!("{battle_id}/score/{a}/{b}"), "pk.score", &battle.view(scores), Priority::Low)
}

fn told(battle_id: &str) -> Document<Told> {
    Document::new(format!("battle/{battle_id}"), "told", battle::KEPT)
}
