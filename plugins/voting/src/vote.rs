//! Voting: one atomic step in the voter's own shard, with the answer to a repetition.

use greenroom_sdk::{
    Amount, Body, Caller, EventId, Id, Once, Path, Problem, Request, Room, Step, Stopped, answer, cache, request,
    route, stored,
};

use crate::ballot::{self, Ballot, Line, Votes};
use crate::config::Config;
use crate::place;
use crate::poll::{OPTIONS_MAX, Poll};
use crate::refusal::No;
use crate::{TRIES_MAX, live, pay, tally};

/// What a viewer wants to vote for.
#[request]
pub(crate) struct Ask {
    pub(crate) event_id: EventId,
    #[schemars(length(max = OPTIONS_MAX))]
    pub(crate) choices: Vec<Votes>,
}

/// Whether a vote counts.
#[derive(Copy, Eq)]
#[stored]
pub(crate) enum Standing {
    /// It counts.
    Counted,
    /// Its coins are held, and it is being counted: `poll.vote` tells the voter what became of it.
    Pending,
    /// It does not count, and its coins were given back.
    Returned,
}

/// What a viewer has voted.
#[derive(Eq)]
#[stored]
pub(crate) struct Voted {
    pub(crate) poll_id: Id,
    pub(crate) state: Standing,
    /// What counts of this voter.
    pub(crate) given: Vec<Line>,
    /// Paid votes of this voter that are under way.
    pub(crate) reserved: Vec<Line>,
    pub(crate) votes_left: u32,
    /// Of this vote.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cost: Option<Amount>,
    /// What the voter could still spend right after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) balance: Option<Amount>,
}

impl Voted {
    pub(crate) fn of(poll: &Poll, ballot: &Ballot, state: Standing) -> Self {
        let votes_left = ballot.votes_left(poll.quota());
        let Ballot { given, reserved } = ballot.clone();
        Self { poll_id: poll.poll_id, state, given, reserved, votes_left, cost: None, balance: None }
    }
}

/// A vote on its way.
pub(crate) struct Vote<'a> {
    pub(crate) poll: &'a Poll,
    pub(crate) room: &'a Room<Config>,
    pub(crate) caller: Caller,
    pub(crate) event_id: &'a EventId,
    /// In the order of the options.
    pub(crate) choices: Vec<Votes>,
    pub(crate) now_ms: u64,
}

impl Vote<'_> {
    /// What to tell the voter: that a poll is closed comes before all else, and is not known here if it was closed before its time.
    pub(crate) fn refused(&self, no: No) -> Problem {
        match place::course(self.room.room_id, self.poll.poll_id) {
            Ok(course) if course.end.is_some() => No::Closed.into(),
            Ok(_) => no.into(),
            Err(problem) => problem,
        }
    }
}

/// Gives votes to options besides those that the caller has given. Repeating the event id repeats the answer.
#[route(POST "polls/{pollId}/votes", roles(viewer, streamer, operator))]
pub(crate) fn add(
    request: &Request,
    room: Room<Config>,
    Path(poll_id): Path<Id>,
    Body(ask): Body<Ask>,
) -> Result<Once<Voted>, Problem> {
    if ask.choices.is_empty() {
        return Err(Problem::invalid("body: `choices` must name an option"));
    }
    let poll = place::find(room.room_id, poll_id)?;
    let vote = vote(request, &room, &poll, &ask)?;
    match poll.price {
        Some(price) => pay::pay(&vote, price),
        None => cast(&vote, "add", Ballot::plus),
    }
}

/// Gives votes in place of those that the caller has given; without choices it takes them back.
#[route(PUT "polls/{pollId}/votes", roles(viewer, streamer, operator))]
pub(crate) fn replace(
    request: &Request,
    room: Room<Config>,
    Path(poll_id): Path<Id>,
    Body(ask): Body<Ask>,
) -> Result<Once<Voted>, Problem> {
    let poll = place::find(room.room_id, poll_id)?;
    if !poll.changeable {
        return Err(No::Final.into());
    }
    cast(&vote(request, &room, &poll, &ask)?, "replace", Ballot::replaced)
}

fn vote<'a>(request: &Request, room: &'a Room<Config>, poll: &'a Poll, ask: &'a Ask) -> Result<Vote<'a>, Problem> {
    request.check_idempotency_key(&ask.event_id)?;
    let choices = ballot::in_order(ask.choices.clone(), poll.options.len())?;
    Ok(Vote { poll, room, caller: request.caller, event_id: &ask.event_id, choices, now_ms: request.now_ms })
}

type Rule = fn(&Ballot, ballot::Quota, &[Votes], u32) -> Result<Ballot, No>;

/// A free vote.
fn cast(vote: &Vote<'_>, name: &str, rule: Rule) -> Result<Once<Voted>, Problem> {
    let Vote { poll, caller, event_id, choices, .. } = vote;
    let shards = place::shards(vote.room.room_id, poll.poll_id);
    let shard = shards.of(caller.user_id);
    let (voter, content) = (caller.user_id.to_string(), (name, choices));
    let ballot_key = place::ballot_key(&voter);
    for _ in 0..TRIES_MAX {
        let bytes = cache::get(&shard, &ballot_key)?;
        let before: Ballot = place::read(bytes.as_deref())?.unwrap_or_default();
        let allowed = poll.check_time(vote.now_ms).and_then(|()| poll.weight(caller.role));
        let after = match allowed.and_then(|weight| rule(&before, poll.quota(), choices, weight)) {
            Ok(after) => after,
            // What was answered stays answered, whatever would be said now.
            Err(no) => {
                let known = Step::in_shard(shard).answered(*caller, event_id, &content)?;
                return known.map_or_else(|| Err(vote.refused(no)), Ok);
            }
        };
        let step = shards
            .step(caller.user_id)
            .lasting(place::kept(poll.closes_at_ms, vote.now_ms))
            .expect(&ballot_key, bytes)
            .put(&ballot_key, &after, None)?
            .enter(place::VOTERS, &voter, None);
        let answer = Voted::of(poll, &after, Standing::Counted);
        match tally::change(step, &before, &after).once(*caller, event_id, &content, answer)? {
            Ok(once) => {
                // For a repetition, too: the first time may have ended between the step and this.
                live::changed(&vote.room.config, vote.room.room_id, poll.poll_id)?;
                return Ok(once);
            }
            Err(Stopped::Check(0)) => return Err(No::Closed.into()),
            // The ballot was changed at the same time.
            Err(_) => {}
        }
    }
    Err(Problem::overloaded("your other votes are being counted at the same time; repeat it"))
}

/// What the caller has voted.
#[route(GET "polls/{pollId}/votes", roles(viewer, streamer, operator))]
pub(crate) fn mine(caller: Caller, room: Room<Config>, Path(poll_id): Path<Id>) -> Result<Mine, Problem> {
    let poll = place::find(room.room_id, poll_id)?;
    let shard = place::shards(room.room_id, poll_id).of(caller.user_id);
    let bytes = cache::get(&shard, &place::ballot_key(&caller.user_id.to_string()))?;
    let ballot: Ballot = place::read(bytes.as_deref())?.unwrap_or_default();
    let votes_left = ballot.votes_left(poll.quota());
    Ok(Mine { poll_id, given: ballot.given, reserved: ballot.reserved, votes_left })
}

/// The caller's ballot.
#[answer]
pub(crate) struct Mine {
    poll_id: Id,
    given: Vec<Line>,
    /// Paid votes that are under way.
    reserved: Vec<Line>,
    votes_left: u32,
}
