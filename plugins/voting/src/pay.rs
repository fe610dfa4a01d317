//! A vote that costs coins: two places are to be changed, the poll's shard and the payer's account, so it goes in three steps.
//!
//! 1. The vote is reserved in the voter's shard: ballot, quota and the mark that it is under way, under its event id. Stopped by the end.
//! 2. The coins are held, with the same event id. If they surely are not, the reservation is taken back.
//! 3. The hold's message is consumed (`settle`): in one step the vote counts or is returned, and the books follow that decision.
//!
//! Whoever repeats the event id finds the reservation and goes on where it was left. One that nobody goes on with uses the voter's quota,
//! and the poll's result waits for it for a while.

use greenroom_sdk::{Amount, Id, Made, Once, Problem, Step, Stopped, cache, ledger, serde_json, stored};

use crate::ballot::{self, Ballot, Line, Votes};
use crate::place;
use crate::refusal::No;
use crate::shares::{self, Share};
use crate::vote::{Standing, Vote, Voted};
use crate::{GOLD, TRIES_MAX, VOTE_TOPIC};

/// A paid vote in its voter's shard.
#[derive(Eq)]
#[stored]
pub(crate) struct Paid {
    pub(crate) state: Standing,
    /// None if it was returned without a reservation.
    pub(crate) choices: Vec<Votes>,
    pub(crate) lines: Vec<Line>,
    pub(crate) cost: Amount,
}

/// What the hold carries. Not for what was voted: the books can be read before a hidden result is told.
#[stored]
pub(crate) struct Payload {
    pub(crate) poll_id: Id,
    pub(crate) closes_at_ms: u64,
    pub(crate) shares: Vec<Share>,
}

/// A paid vote and its voter's ballot, as they are now.
pub(crate) struct Found {
    pub(crate) paid_bytes: Option<Vec<u8>>,
    pub(crate) ballot_bytes: Option<Vec<u8>>,
    pub(crate) paid: Option<Paid>,
    pub(crate) ballot: Ballot,
}

/// Reads both at once.
///
/// # Errors
/// As the cache has them.
pub(crate) fn find(shard: &str, user_id: i64, event_id: &str) -> Result<Found, Problem> {
    let keys = [place::paid_key(user_id, event_id), place::ballot_key(&user_id.to_string())];
    let values = cache::get_many(&keys.map(|key| (shard.to_owned(), key)))?;
    let [paid_bytes, ballot_bytes] =
        values.try_into().map_err(|_| Problem::failed("cache: two keys were asked for, and not two came back"))?;
    let paid = place::read(paid_bytes.as_deref())?;
    let ballot = place::read(ballot_bytes.as_deref())?.unwrap_or_default();
    Ok(Found { paid_bytes, ballot_bytes, paid, ballot })
}

/// Reserves and pays a vote, or goes on with one that was begun.
pub(crate) fn pay(vote: &Vote<'_>, price: Amount) -> Result<Once<Voted>, Problem> {
    let Vote { poll, caller, event_id, choices, .. } = vote;
    if vote.room.streamers.contains(&caller.user_id) {
        return Err(No::OwnPoll.into());
    }
    let shard = place::shards(vote.room.room_id, poll.poll_id).of(caller.user_id);
    for _ in 0..TRIES_MAX {
        let found = find(&shard, caller.user_id, event_id)?;
        if let Some(paid) = &found.paid {
            return go_on(vote, paid, &found.ballot);
        }
        let allowed = poll.check_time(vote.now_ms).and_then(|()| poll.weight(caller.role));
        let reserved = allowed.and_then(|weight| Ok((weight, found.ballot.reserving(poll.quota(), choices, weight)?)));
        let (weight, after) = match reserved {
            Ok(reserved) => reserved,
            Err(no) => return refused_or_known(vote, &shard, no),
        };
        let cost = price.times(choices.iter().map(|votes| i64::from(votes.votes)).sum())?;
        let lines = ballot::weighed(choices, weight);
        let paid = Paid { state: Standing::Pending, choices: choices.clone(), lines, cost };
        match reserve(vote, found, &after, &paid)? {
            Ok(_) => return hold(vote, &paid, &after),
            Err(Stopped::Check(0)) => return Err(No::Closed.into()),
            // Another request of this voter was faster.
            Err(_) => {}
        }
    }
    Err(Problem::overloaded("your other votes are being counted at the same time; repeat it"))
}

/// The two keys are not read at the same moment: what uses the quota may be this very vote, sent twice at once.
fn refused_or_known(vote: &Vote<'_>, shard: &str, no: No) -> Result<Once<Voted>, Problem> {
    let found = find(shard, vote.caller.user_id, vote.event_id)?;
    match &found.paid {
        Some(paid) => go_on(vote, paid, &found.ballot),
        None => Err(vote.refused(no)),
    }
}

fn reserve(vote: &Vote<'_>, found: Found, after: &Ballot, paid: &Paid) -> Result<Made<Vec<i64>>, Problem> {
    let (user_id, voter) = (vote.caller.user_id, vote.caller.user_id.to_string());
    let (paid_key, ballot_key) = (place::paid_key(user_id, vote.event_id), place::ballot_key(&voter));
    place::shards(vote.room.room_id, vote.poll.poll_id)
        .step(user_id)
        .lasting(place::kept(vote.poll.closes_at_ms, vote.now_ms))
        .absent(&paid_key)
        .expect(&ballot_key, found.ballot_bytes)
        .put(&paid_key, paid, None)?
        .put(&ballot_key, after, None)?
        .enter(place::VOTERS, &voter, None)
        .add(place::UNDER_WAY, 1, None)
        .commit()
}

/// A vote that was reserved before. Nothing is held for it any more once the poll's time is over.
fn go_on(vote: &Vote<'_>, paid: &Paid, ballot: &Ballot) -> Result<Once<Voted>, Problem> {
    let is_over = vote.poll.check_time(vote.now_ms).is_err();
    match paid.state {
        Standing::Returned => Err(No::Returned { cost: paid.cost }.into()),
        _ if paid.choices != vote.choices => Err(ledger::Error::EventIdReused.into()),
        Standing::Pending if !is_over => hold(vote, paid, ballot),
        Standing::Pending | Standing::Counted => {
            let outcome = ledger::find(payer(vote), vote.event_id, &content(vote))?.ok_or(No::Closed)?;
            Ok(answer(vote, paid, ballot, &outcome, true))
        }
    }
}

fn hold(vote: &Vote<'_>, paid: &Paid, ballot: &Ballot) -> Result<Once<Voted>, Problem> {
    let Vote { poll, room, event_id, .. } = vote;
    let shares = shares::shares(paid.cost, room.config.platform_share_bps, &room.streamers)?;
    let payload = Payload { poll_id: poll.poll_id, closes_at_ms: poll.closes_at_ms, shares };
    let request = ledger::HoldRequest {
        event_id: event_id.to_string(),
        payer: payer(vote),
        amount: paid.cost.get(),
        content: content(vote),
        topic: VOTE_TOPIC.into(),
        payload: serde_json::to_vec(&payload).map_err(|e| Problem::failed(format!("payload: {e}")))?,
        counters: Vec::new(),
    };
    match ledger::hold(&request) {
        Ok(outcome) => Ok(answer(vote, paid, ballot, &outcome, outcome.replayed)),
        // It may be held: the same event id finds out.
        Err(error @ (ledger::Error::Unavailable(_) | ledger::Error::Other(_))) => Err(error.into()),
        Err(error) => {
            take_back(vote, paid)?;
            Err(error.into())
        }
    }
}

/// Takes back a reservation for which nothing is held.
fn take_back(vote: &Vote<'_>, paid: &Paid) -> Result<(), Problem> {
    let user_id = vote.caller.user_id;
    let shard = place::shards(vote.room.room_id, vote.poll.poll_id).of(user_id);
    let (paid_key, ballot_key) = (place::paid_key(user_id, vote.event_id), place::ballot_key(&user_id.to_string()));
    for _ in 0..TRIES_MAX {
        let found = find(&shard, user_id, vote.event_id)?;
        // Somebody else has taken it back, or it was paid after all.
        if found.paid.as_ref() != Some(paid) {
            return Ok(());
        }
        let Some(after) = found.ballot.releasing(&paid.lines) else { return Ok(()) };
        let made = Step::in_shard(shard.as_str())
            .lasting(place::kept(vote.poll.closes_at_ms, vote.now_ms))
            .expect(&paid_key, found.paid_bytes)
            .expect(&ballot_key, found.ballot_bytes)
            .put(&ballot_key, &after, None)?
            .write(cache::Write::Delete(paid_key.clone()))
            .add(place::UNDER_WAY, -1, None)
            .commit()?;
        if made.is_ok() {
            return Ok(());
        }
    }
    Err(Problem::overloaded("your other votes are being counted at the same time; repeat it"))
}

fn answer(vote: &Vote<'_>, paid: &Paid, ballot: &Ballot, outcome: &ledger::HoldOutcome, replayed: bool) -> Once<Voted> {
    let (cost, balance) = (Some(paid.cost), Some(Amount::new(outcome.balance)));
    Once { answer: Voted { cost, balance, ..Voted::of(vote.poll, ballot, paid.state) }, replayed }
}

fn payer(vote: &Vote<'_>) -> ledger::Account {
    ledger::Account { user_id: vote.caller.user_id, asset_type: GOLD }
}

/// The canonical form of what was asked for.
fn content(vote: &Vote<'_>) -> Vec<u8> {
    let choices: Vec<String> = vote.choices.iter().map(|votes| format!("{}x{}", votes.option, votes.votes)).collect();
    format!("{}|{}|{}", vote.room.room_id, vote.poll.poll_id, choices.join(",")).into_bytes()
}
