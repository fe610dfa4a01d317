//! Which question is open when, who is out, and who gets what: pure.

use std::collections::BTreeMap;

use greenroom_sdk::fair::Digest;
use greenroom_sdk::{Amount, EventId, Problem, positive_amount, stored};

use crate::player::Player;

/// All questions together: what one key of the cache has room for.
const BYTES_MAX: usize = 48 * 1024;

/// What somebody asks for who makes a quiz.
#[stored]
#[serde(deny_unknown_fields)]
pub(crate) struct Definition {
    pub(crate) event_id: EventId,
    #[schemars(length(min = 1, max = 100))]
    pub(crate) title: String,
    /// What the winners share. It is held now.
    #[serde(default)]
    #[schemars(schema_with = "positive_amount")]
    pub(crate) pot: Option<Amount>,
    #[schemars(length(min = 1, max = 30))]
    pub(crate) questions: Vec<Question>,
    /// Without it, who is out stays out.
    pub(crate) revival: Option<Revival>,
}

/// A question with its answer, which nobody sees before it is closed.
#[stored]
#[serde(deny_unknown_fields)]
pub(crate) struct Question {
    #[schemars(length(min = 1, max = 300))]
    pub(crate) text: String,
    #[schemars(length(min = 2, max = 6), inner(length(min = 1, max = 100)))]
    pub(crate) options: Vec<String>,
    /// The index of the right option, from 0.
    #[schemars(range(max = 5))]
    pub(crate) answer: u32,
    /// How long it is open.
    #[schemars(range(min = 5, max = 120))]
    pub(crate) seconds: u32,
}

/// How those who are out come back.
#[derive(Copy, Eq)]
#[stored]
#[serde(deny_unknown_fields)]
pub(crate) struct Revival {
    /// What it costs each time; it goes into the pot.
    #[schemars(schema_with = "positive_amount")]
    pub(crate) price: Amount,
    /// How often a player may.
    #[schemars(range(min = 1, max = 30))]
    pub(crate) times: u32,
}

/// Where a quiz is at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The question of that index, from 0, may be answered.
    Open(u32),
    /// It was the last one that was open, and the next is not yet.
    Closed(u32),
    /// All have been asked.
    Over,
}

impl Definition {
    /// What the schema cannot say.
    pub(crate) fn check(&self) -> Result<(), Problem> {
        let bytes = serde_json::to_vec(self).map_or(usize::MAX, |json| json.len());
        if bytes > BYTES_MAX {
            return Err(Problem::invalid(format!("body: it has {bytes} bytes; it may have up to {BYTES_MAX}")));
        }
        for (index, question) in self.questions.iter().enumerate() {
            if question.options.get(question.answer as usize).is_none() {
                let detail =
                    format!("body: `questions[{index}].answer` is none of its options, which are counted from 0");
                return Err(Problem::invalid(detail));
            }
        }
        Ok(())
    }

    /// When a question opens and closes, in milliseconds after the start.
    pub(crate) fn times(&self, question: u32, pause_s: u32) -> Option<(u64, u64)> {
        let mut begin = 0_u64;
        for (index, asked) in (0_u32..).zip(&self.questions) {
            let end = begin + u64::from(asked.seconds) * 1_000;
            if index == question {
                return Some((begin, end));
            }
            begin = end + u64::from(pause_s) * 1_000;
        }
        None
    }

    /// Where it is so long after the start.
    pub(crate) fn phase(&self, elapsed_ms: u64, pause_s: u32) -> Phase {
        let mut last = None;
        for question in 0_u32.. {
            let Some((begin, end)) = self.times(question, pause_s) else { break };
            if elapsed_ms < begin {
                break;
            }
            last = Some(if elapsed_ms < end { Phase::Open(question) } else { Phase::Closed(question) });
        }
        match last {
            Some(Phase::Closed(question)) if question as usize + 1 == self.questions.len() => Phase::Over,
            Some(phase) => phase,
            None => Phase::Open(0),
        }
    }

    /// The first question before the given one at which a player is out, revivals taken into account.
    pub(crate) fn out_at(&self, player: &Player, before: u32) -> Option<u32> {
        let asked = (0_u32..before).zip(&self.questions);
        let mut wrong = asked.filter(|(index, question)| player.answer(*index) != Some(question.answer));
        wrong.find(|(index, _)| !player.revived.contains(index)).map(|(index, _)| index)
    }

    /// Whether a player is left at the end.
    pub(crate) fn has_won(&self, player: &Player) -> bool {
        self.out_at(player, u32::try_from(self.questions.len()).unwrap_or(u32::MAX)).is_none()
    }

    /// What a player has paid for revivals.
    pub(crate) fn paid(&self, player: &Player) -> Result<Amount, Problem> {
        let price = self.revival.map_or(Amount::ZERO, |revival| revival.price);
        Ok(price.times(i64::try_from(player.revived.len()).unwrap_or(i64::MAX))?)
    }
}

/// Shares a pot among winners to the last coin: each gets the same, and the coins that are left go one each to those whose SHA-256 of
/// `<quiz id>` and `<user id>`, each followed by a line feed, come first.
pub(crate) fn shares(quiz_id: &str, pot: Amount, winners: &[i64]) -> Result<BTreeMap<i64, Amount>, Problem> {
    let count = i64::try_from(winners.len()).unwrap_or(i64::MAX);
    let (Some(each), Some(left)) = (pot.get().checked_div(count), pot.get().checked_rem(count)) else {
        return Ok(BTreeMap::new());
    };
    let mut order: Vec<(String, i64)> = winners
        .iter()
        .map(|user_id| (Digest::of([quiz_id.to_owned(), user_id.to_string()]).to_string(), *user_id))
        .collect();
    order.sort_unstable();
    let more = |place: usize| i64::from(i64::try_from(place).is_ok_and(|place| place < left));
    let shares = order.into_iter().enumerate();
    Ok(shares.map(|(place, (_, user_id))| (user_id, Amount::new(each + more(place)))).collect())
}

#[cfg(test)]
mod tests;
