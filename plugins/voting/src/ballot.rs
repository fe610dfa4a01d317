//! One viewer's votes in one poll: what may be added or changed, and what that changes in the sums. Pure.

use std::collections::BTreeMap;

use greenroom_sdk::{Problem, stored};

use crate::poll::{Choice, VOTES_MAX};
use crate::refusal::No;

/// What one viewer may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quota {
    pub(crate) choice: Choice,
    pub(crate) votes_max: u32,
    pub(crate) votes_per_option_max: u32,
}

/// Votes for an option that somebody wants to give.
#[derive(Copy, Eq)]
#[stored]
#[serde(deny_unknown_fields)]
pub(crate) struct Votes {
    /// Its number, from 1.
    #[schemars(range(min = 1, max = 10))]
    pub(crate) option: u32,
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = VOTES_MAX))]
    pub(crate) votes: u32,
}

fn one() -> u32 {
    1
}

/// The same votes in one form: in the order of the options.
///
/// # Errors
/// If there is no such option, or one is there twice.
pub(crate) fn in_order(mut votes: Vec<Votes>, options: usize) -> Result<Vec<Votes>, Problem> {
    votes.sort_unstable_by_key(|votes| votes.option);
    let options = u32::try_from(options).unwrap_or(u32::MAX);
    for pair in votes.windows(2) {
        if let [a, b] = pair
            && a.option == b.option
        {
            return Err(Problem::invalid(format!("body: `choices` has option {} twice", a.option)));
        }
    }
    for Votes { option, votes } in &votes {
        if !(1..=options).contains(option) {
            return Err(Problem::invalid(format!("body: `choices`: there is no option {option}; 1 to {options}")));
        }
        if !(1..=VOTES_MAX).contains(votes) {
            return Err(Problem::invalid(format!("body: `choices`: `votes` must be from 1 to {VOTES_MAX}")));
        }
    }
    Ok(votes)
}

/// Votes for an option, and their points by the weight that the voter had.
#[derive(Copy, Eq)]
#[stored]
pub(crate) struct Line {
    pub(crate) option: u32,
    pub(crate) votes: u32,
    pub(crate) points: i64,
}

/// The votes with their points.
pub(crate) fn weighed(votes: &[Votes], weight: u32) -> Vec<Line> {
    let line = |Votes { option, votes }: &Votes| Line {
        option: *option,
        votes: *votes,
        points: i64::from(*votes).saturating_mul(i64::from(weight)),
    };
    votes.iter().map(line).collect()
}

/// What a viewer has given. Lines are in the order of the options, and none is of 0 votes.
#[derive(Eq, Default)]
#[stored]
pub(crate) struct Ballot {
    /// What counts.
    pub(crate) given: Vec<Line>,
    /// Paid votes that are under way: they use the quota, and do not count yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) reserved: Vec<Line>,
}

/// What a change of a ballot changes in the sums of one option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) option: u32,
    pub(crate) votes: i64,
    pub(crate) points: i64,
}

impl Ballot {
    /// With these votes besides.
    ///
    /// # Errors
    /// If that is more than the quota.
    pub(crate) fn plus(&self, quota: Quota, votes: &[Votes], weight: u32) -> Result<Self, No> {
        let after = Self { given: sum(&self.given, &weighed(votes, weight)), ..self.clone() };
        self.check(quota, votes)?;
        Ok(after)
    }

    /// With these votes instead.
    ///
    /// # Errors
    /// If that is more than the quota.
    pub(crate) fn replaced(&self, quota: Quota, votes: &[Votes], weight: u32) -> Result<Self, No> {
        Self { given: Vec::new(), reserved: self.reserved.clone() }.plus(quota, votes, weight)
    }

    /// With these votes reserved.
    ///
    /// # Errors
    /// If that is more than the quota.
    pub(crate) fn reserving(&self, quota: Quota, votes: &[Votes], weight: u32) -> Result<Self, No> {
        self.check(quota, votes)?;
        Ok(Self { reserved: sum(&self.reserved, &weighed(votes, weight)), ..self.clone() })
    }

    /// With votes that were reserved counted; none if they were not.
    pub(crate) fn counting(&self, lines: &[Line]) -> Option<Self> {
        let reserved = less(&self.reserved, lines)?;
        Some(Self { given: sum(&self.given, lines), reserved })
    }

    /// Without votes that were reserved; none if they were not.
    pub(crate) fn releasing(&self, lines: &[Line]) -> Option<Self> {
        Some(Self { given: self.given.clone(), reserved: less(&self.reserved, lines)? })
    }

    /// The votes that may still be given.
    pub(crate) fn votes_left(&self, quota: Quota) -> u32 {
        quota.votes_max.saturating_sub(total(&self.all()))
    }

    /// The first reason in the order: another option, too many for one, too many in all.
    fn check(&self, quota: Quota, votes: &[Votes]) -> Result<(), No> {
        let before = self.all();
        let after = sum(&before, &weighed(votes, 0));
        if quota.choice == Choice::Single && after.len() > 1 {
            let option = before.first().or(after.first()).map_or(0, |line| line.option);
            return Err(No::SingleChoice { option });
        }
        let votes_per_option_max = quota.votes_per_option_max;
        if total(&after) > quota.votes_max {
            return Err(No::QuotaReached { votes_max: quota.votes_max, votes_left: self.votes_left(quota) });
        }
        if let Some(line) = after.iter().find(|line| line.votes > votes_per_option_max) {
            return Err(No::OptionQuotaReached { option: line.option, votes_per_option_max });
        }
        Ok(())
    }

    fn all(&self) -> Vec<Line> {
        sum(&self.given, &self.reserved)
    }

    /// What becomes of the sums if this ballot becomes that one: of the voters, and of each option that changes.
    pub(crate) fn difference(&self, after: &Self) -> (i64, Vec<Difference>) {
        let mut options: BTreeMap<u32, (i64, i64)> = BTreeMap::new();
        for (lines, sign) in [(&self.given, -1), (&after.given, 1)] {
            for line in lines {
                let (votes, points) = options.entry(line.option).or_default();
                *votes += sign * i64::from(line.votes);
                *points = points.saturating_add(sign * line.points);
            }
        }
        let changed = options.into_iter().filter(|(_, change)| *change != (0, 0));
        let differences = changed.map(|(option, (votes, points))| Difference { option, votes, points }).collect();
        (i64::from(!after.given.is_empty()) - i64::from(!self.given.is_empty()), differences)
    }
}

fn total(lines: &[Line]) -> u32 {
    lines.iter().fold(0, |sum: u32, line| sum.saturating_add(line.votes))
}

fn sum(lines: &[Line], more: &[Line]) -> Vec<Line> {
    let mut options: BTreeMap<u32, Line> = BTreeMap::new();
    for line in lines.iter().chain(more) {
        let sum = options.entry(line.option).or_insert(Line { votes: 0, points: 0, ..*line });
        sum.votes = sum.votes.saturating_add(line.votes);
        sum.points = sum.points.saturating_add(line.points);
    }
    options.into_values().collect()
}

fn less(lines: &[Line], fewer: &[Line]) -> Option<Vec<Line>> {
    let mut left = lines.to_vec();
    for line in fewer {
        let from = left.iter_mut().find(|other| other.option == line.option)?;
        from.votes = from.votes.checked_sub(line.votes)?;
        from.points = from.points.checked_sub(line.points)?;
    }
    left.retain(|line| line.votes > 0);
    Some(left)
}

#[cfg(test)]
mod tests;
