//! The score: each gift counts once, and both rooms see it as it moves.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

use greenroom_sdk::{Message, Problem, Stopped, Verdict, logging, room::Priority, tell_every};

use crate::Alarm;
use crate::battle::{self, Battle, key, of_room};

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
            let period = Duration::from_millis(battle.score_every_ms.into());
            tell_every(period, room_id, &Alarm::Score { battle_id: battle.battle_id.clone() })
        }
    }
}

/// Shows both rooms the score.
pub(crate) fn tell(battle_id: &str) -> Result<(), Problem> {
    let Some(battle) = battle::find(battle_id)?.filter(|battle| battle.status == battle::Status::Live) else {
        return Ok(());
    };
    let scores = battle.scores()?;
    // The same score is shown once, though both rooms have a timer.
    let [a, b] = scores;
    battle.broadcast(&format!("{battle_id}/score/{a}/{b}"), "pk.score", &battle.view(scores), Priority::Low)
}
