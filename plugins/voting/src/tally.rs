//! The sums of a poll: kept as counters in the shards of its voters, and counted again from ballots. Pure but for [`read`].

use greenroom_sdk::{Overflow, Problem, Shards, Step, stored};

use crate::ballot::Ballot;

/// Grows with every change of a ballot: a tally with a greater one is newer.
const VERSION: &str = "version";
const VOTERS: &str = "voters";

/// Of one option.
#[derive(Copy, Eq, Default)]
#[stored]
pub(crate) struct Sum {
    pub(crate) votes: i64,
    /// The votes by their weights.
    pub(crate) points: i64,
}

/// Of a poll.
#[derive(Eq, Default)]
#[stored]
pub(crate) struct Tally {
    /// Viewers whose votes count.
    pub(crate) voters: i64,
    /// In the order of the options.
    pub(crate) options: Vec<Sum>,
}

impl Tally {
    /// Without votes.
    pub(crate) fn of(options: usize) -> Self {
        Self { voters: 0, options: vec![Sum::default(); options] }
    }

    /// Adds what counts of a ballot.
    ///
    /// # Errors
    /// If it does not fit, or is for an option that is not there.
    pub(crate) fn count(&mut self, ballot: &Ballot) -> Result<(), Overflow> {
        self.voters = self.voters.checked_add(i64::from(!ballot.given.is_empty())).ok_or(Overflow)?;
        for line in &ballot.given {
            let place = (line.option as usize).checked_sub(1).ok_or(Overflow)?;
            let sum = self.options.get_mut(place).ok_or(Overflow)?;
            sum.votes = sum.votes.checked_add(line.votes.into()).ok_or(Overflow)?;
            sum.points = sum.points.checked_add(line.points).ok_or(Overflow)?;
        }
        Ok(())
    }
}

/// Adds to a step what a change of the step's ballot changes in the sums.
pub(crate) fn change(step: Step, before: &Ballot, after: &Ballot) -> Step {
    let (voters, differences) = before.difference(after);
    let mut step = step.add(VERSION, 1, None);
    if voters != 0 {
        step = step.add(VOTERS, voters, None);
    }
    for change in differences {
        step = step.add(votes_key(change.option), change.votes, None);
        step = step.add(points_key(change.option), change.points, None);
    }
    step
}

/// Version and sums over all shards: one host call. Exact once the poll is closed.
pub(crate) fn read(shards: &Shards, options: usize) -> Result<(i64, Tally), Problem> {
    let numbers = 1..=u32::try_from(options).unwrap_or(u32::MAX);
    let mut keys = vec![VERSION.to_owned(), VOTERS.to_owned()];
    keys.extend(numbers.flat_map(|option| [votes_key(option), points_key(option)]));
    let sums = shards.sums(&keys)?;
    match sums.as_slice() {
        [version, voters, options @ ..] => {
            let (pairs, _) = options.as_chunks::<2>();
            let options = pairs.iter().map(|[votes, points]| Sum { votes: *votes, points: *points }).collect();
            Ok((*version, Tally { voters: *voters, options }))
        }
        _ => Err(Problem::failed("the sums of a poll are not there")),
    }
}

fn votes_key(option: u32) -> String {
    format!("votes/{option}")
}

fn points_key(option: u32) -> String {
    format!("points/{option}")
}
