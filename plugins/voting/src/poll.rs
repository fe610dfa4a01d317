//! What a poll is, and what may be asked for when one is made. Pure.

use greenroom_sdk::{Amount, EventId, Id, Role, positive_amount, stored};

use crate::ballot::Quota;
use crate::refusal::No;

const OPTIONS_MIN: usize = 2;
pub(crate) const OPTIONS_MAX: usize = 10;
/// Of one viewer in one poll.
pub(crate) const VOTES_MAX: u32 = 1_000;
const WEIGHT_MAX: u32 = 1_000;

/// For how many options one viewer may vote.
#[derive(Copy, Eq, Default)]
#[stored]
pub(crate) enum Choice {
    /// All votes of a viewer go to one option.
    #[default]
    Single,
    /// They may go to several.
    Multiple,
}

/// How many points a vote of each role is; 0 for no vote.
#[derive(Copy, Eq)]
#[stored]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Weights {
    #[schemars(range(max = WEIGHT_MAX))]
    pub(crate) viewer: u32,
    #[schemars(range(max = WEIGHT_MAX))]
    pub(crate) streamer: u32,
    #[schemars(range(max = WEIGHT_MAX))]
    pub(crate) operator: u32,
}

impl Default for Weights {
    fn default() -> Self {
        Self { viewer: 1, streamer: 1, operator: 1 }
    }
}

/// A poll that somebody wants to open.
#[derive(Eq)]
#[stored]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPoll {
    pub(crate) event_id: EventId,
    #[schemars(length(min = 1, max = 200))]
    pub(crate) title: String,
    /// Their numbers are 1, 2, 3, … in this order.
    #[schemars(length(min = OPTIONS_MIN, max = OPTIONS_MAX), inner(length(min = 1, max = 100)))]
    pub(crate) options: Vec<String>,
    #[schemars(range(min = 15, max = 1_800))]
    pub(crate) closes_in_s: u32,
    #[serde(default)]
    pub(crate) choice: Choice,
    /// Votes of one viewer; left out, one for a single choice, and as many as there can be for a multiple choice.
    #[schemars(range(min = 1, max = VOTES_MAX))]
    pub(crate) votes_max: Option<u32>,
    /// Votes of one viewer for the same option; left out, all of them for a single choice, and one for a multiple choice.
    #[schemars(range(min = 1, max = VOTES_MAX))]
    pub(crate) votes_per_option_max: Option<u32>,
    /// Whether a viewer may vote otherwise later; paid votes are final.
    #[serde(default)]
    pub(crate) changeable: bool,
    /// Whether nobody sees the sums of the options before the end.
    #[serde(default)]
    pub(crate) hidden: bool,
    #[serde(default)]
    pub(crate) weights: Weights,
    /// Gold coins for each vote; left out, votes are free.
    #[serde(default)]
    #[schemars(schema_with = "positive_amount")]
    pub(crate) price: Option<Amount>,
}

/// A poll. It never changes; how it ends is written elsewhere.
#[derive(Eq)]
#[stored]
pub(crate) struct Poll {
    pub(crate) poll_id: Id,
    pub(crate) room_id: Id,
    pub(crate) title: String,
    pub(crate) options: Vec<String>,
    pub(crate) choice: Choice,
    pub(crate) votes_max: u32,
    pub(crate) votes_per_option_max: u32,
    pub(crate) changeable: bool,
    pub(crate) hidden: bool,
    pub(crate) weights: Weights,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) price: Option<Amount>,
    /// Milliseconds since the Unix epoch, as all times here.
    pub(crate) opened_at_ms: u64,
    /// From then on no vote is taken.
    pub(crate) closes_at_ms: u64,
}

impl NewPoll {
    /// The poll, if it can be one.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub(crate) fn poll(&self, poll_id: Id, room_id: Id, now_ms: u64, price_max: u32) -> Result<Poll, String> {
        self.check_texts()?;
        self.check_price(price_max)?;
        if !(15..=1_800).contains(&self.closes_in_s) {
            return Err("body: `closesInS` must be from 15 to 1800".into());
        }
        let Weights { viewer, streamer, operator } = self.weights;
        let heaviest = viewer.max(streamer).max(operator);
        if !(1..=WEIGHT_MAX).contains(&heaviest) {
            return Err(format!("body: `weights` must be up to {WEIGHT_MAX}, and some role must have a vote"));
        }
        let quota = self.quota()?;
        Ok(Poll {
            poll_id,
            room_id,
            title: self.title.clone(),
            options: self.options.clone(),
            choice: quota.choice,
            votes_max: quota.votes_max,
            votes_per_option_max: quota.votes_per_option_max,
            changeable: self.changeable,
            hidden: self.hidden,
            weights: self.weights,
            price: self.price,
            opened_at_ms: now_ms,
            closes_at_ms: now_ms.saturating_add(u64::from(self.closes_in_s) * 1_000),
        })
    }

    fn check_texts(&self) -> Result<(), String> {
        if self.title.trim().is_empty() {
            return Err("body: `title` says nothing".into());
        }
        if !(OPTIONS_MIN..=OPTIONS_MAX).contains(&self.options.len()) {
            return Err(format!("body: `options` must be {OPTIONS_MIN} to {OPTIONS_MAX}"));
        }
        let mut texts: Vec<&str> = self.options.iter().map(|text| text.trim()).collect();
        texts.sort_unstable();
        texts.dedup();
        if texts.len() != self.options.len() || texts.contains(&"") {
            return Err("body: `options` must say something, each something else".into());
        }
        Ok(())
    }

    fn check_price(&self, price_max: u32) -> Result<(), String> {
        let Some(price) = self.price else { return Ok(()) };
        if !(1..=i64::from(price_max)).contains(&price.get()) {
            return Err(format!("body: `price` must be from 1 to {price_max}"));
        }
        if self.changeable {
            return Err("body: `changeable` is for free votes; paid ones are final".into());
        }
        Ok(())
    }

    fn quota(&self) -> Result<Quota, String> {
        let options = u32::try_from(self.options.len()).unwrap_or(u32::MAX);
        let (votes_max, votes_per_option_max) = match self.choice {
            Choice::Single => {
                let votes_max = self.votes_max.or(self.votes_per_option_max).unwrap_or(1);
                (votes_max, self.votes_per_option_max.unwrap_or(votes_max))
            }
            Choice::Multiple => {
                let each = self.votes_per_option_max.unwrap_or(1);
                (self.votes_max.unwrap_or(each.saturating_mul(options).min(VOTES_MAX)), each)
            }
        };
        if !(1..=VOTES_MAX).contains(&votes_max) || !(1..=votes_max).contains(&votes_per_option_max) {
            let bounds = format!("`votesMax` must be from 1 to {VOTES_MAX}, `votesPerOptionMax` from 1 to `votesMax`");
            return Err(format!("body: {bounds}"));
        }
        let chosen = if self.choice == Choice::Single { 1 } else { options };
        if votes_per_option_max.saturating_mul(chosen) < votes_max {
            return Err("body: `votesMax` can never be reached with this `votesPerOptionMax`".into());
        }
        Ok(Quota { choice: self.choice, votes_max, votes_per_option_max })
    }
}

impl Poll {
    pub(crate) fn quota(&self) -> Quota {
        let Self { choice, votes_max, votes_per_option_max, .. } = *self;
        Quota { choice, votes_max, votes_per_option_max }
    }

    /// The points of a vote of this role.
    pub(crate) fn weight(&self, role: Role) -> Result<u32, No> {
        let weight = match role {
            Role::Viewer => self.weights.viewer,
            Role::Streamer => self.weights.streamer,
            Role::Operator => self.weights.operator,
            Role::Service => 0,
        };
        if weight == 0 { Err(No::Voteless) } else { Ok(weight) }
    }

    /// Whether votes are taken at this moment, as far as time says.
    pub(crate) fn check_time(&self, now_ms: u64) -> Result<(), No> {
        if now_ms >= self.closes_at_ms { Err(No::Closed) } else { Ok(()) }
    }
}

#[cfg(test)]
pub(crate) mod tests;
