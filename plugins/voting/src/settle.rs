//! The consumer: decides for each paid vote whether it counts, then writes its books or gives its coins back; and concludes polls whose
//! votes have ended.
//!
//! The decision is one step in the voter's shard and is made once: whoever comes again finds it. The books follow it, each event once. So a
//! vote counts if and only if its coins have gone to the receivers.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use greenroom_sdk::{
    Amount, Id, Made, Message, Now, Problem, Room, Step, Stopped, Timer, Transfer, Verdict, answer, ledger, logging,
    read_json, room, settle,
};

use crate::ballot::Ballot;
use crate::config::Config;
use crate::live::{self, Alarm};
use crate::pay::{self, Paid, Payload};
use crate::vote::Standing;
use crate::{CLOSED_TOPIC, TRIES_MAX, place, result, tally};

/// How long the host waits before it brings a message again that could not be dealt with.
const RETRY_MS: u32 = 500;

/// What becomes of a message.
enum Dealt {
    /// Its books are to be written.
    Counted,
    Done(Verdict),
}

/// One verdict for each message.
pub(crate) fn consume(batch: Vec<Message>) -> Vec<Verdict> {
    let rooms = Rooms::default();
    let dealt: Vec<Dealt> = batch.iter().map(|message| deal(message, &rooms)).collect();
    let pairs = || batch.iter().zip(&dealt);
    let counted: Vec<Message> =
        pairs().filter(|(_, dealt)| matches!(dealt, Dealt::Counted)).map(|(message, _)| message.clone()).collect();
    let mut settled = settle(&counted, transfer, |message| counts(message, &rooms)).into_iter();
    rooms.end_polls();
    let verdict = |dealt: Dealt| match dealt {
        Dealt::Counted => settled.next().unwrap_or(Verdict::RetryAfter(RETRY_MS)),
        Dealt::Done(verdict) => verdict,
    };
    dealt.into_iter().map(verdict).collect()
}

fn deal(message: &Message, rooms: &Rooms) -> Dealt {
    let dealt = if message.topic == CLOSED_TOPIC {
        result::conclude(message).map(|()| Dealt::Done(Verdict::Ack))
    } else {
        let Ok(payload) = read_json::<Payload>(&message.payload) else {
            return Dealt::Done(Verdict::Reject("its payload is no paid vote's".into()));
        };
        decide(message, &payload).and_then(|(state, paid)| match state {
            Standing::Counted => Ok(Dealt::Counted),
            _ => give_back(message, &payload, paid.as_ref(), rooms).map(Dealt::Done),
        })
    };
    dealt.unwrap_or_else(|problem| {
        let text = format!("{}: {}", message.event_id, problem.detail);
        logging::log(logging::Level::Warn, &message.topic, &text);
        Dealt::Done(Verdict::RetryAfter(RETRY_MS))
    })
}

/// Whether the vote counts: what was decided before, or what is decided now.
fn decide(message: &Message, payload: &Payload) -> Result<(Standing, Option<Paid>), Problem> {
    let shard = place::shards(message.room_id, payload.poll_id).of(message.payer);
    let mut is_sealed = false;
    for _ in 0..TRIES_MAX {
        let found = pay::find(&shard, message.payer, &message.event_id)?;
        let Some(before) = found.paid else {
            if let Ok(paid) = unreserved(message, payload, &shard)? {
                return Ok((Standing::Returned, Some(paid)));
            }
            continue;
        };
        if before.state != Standing::Pending {
            return Ok((before.state, Some(before)));
        }
        let (paid, ballot) = decided(&before, &found.ballot, is_sealed);
        let state = paid.state;
        let mut step = Step::in_shard(shard.as_str()).lasting(place::kept(payload.closes_at_ms, Now::of_this_call().0));
        if state == Standing::Counted {
            step = step.absent(place::SEALED);
        }
        let (paid_key, ballot_key) =
            (place::paid_key(message.payer, &message.event_id), place::ballot_key(&message.payer.to_string()));
        let step = step
            .expect(&paid_key, found.paid_bytes)
            .expect(&ballot_key, found.ballot_bytes)
            .put(&paid_key, &paid, None)?
            .put(&ballot_key, &ballot, None)?
            .add(place::UNDER_WAY, -1, None);
        match tally::change(step, &found.ballot, &ballot).commit()? {
            Ok(_) => return Ok((state, Some(paid))),
            // Looked at first only when the vote is to count.
            Err(Stopped::Check(0)) if state == Standing::Counted => is_sealed = true,
            Err(_) => {}
        }
    }
    Err(Problem::overloaded("the voter's other votes are being counted at the same time"))
}

/// A reserved vote counts unless the poll is sealed.
fn decided(paid: &Paid, ballot: &Ballot, is_sealed: bool) -> (Paid, Ballot) {
    let counted = if is_sealed { None } else { ballot.counting(&paid.lines) };
    let state = if counted.is_some() { Standing::Counted } else { Standing::Returned };
    let after = counted.or_else(|| ballot.releasing(&paid.lines)).unwrap_or_else(|| ballot.clone());
    (Paid { state, ..paid.clone() }, after)
}

/// Its reservation was taken back while another request of the same event id held, or is forgotten: it is returned, and whoever repeats it
/// is told so.
fn unreserved(message: &Message, payload: &Payload, shard: &str) -> Result<Made<Paid>, Problem> {
    let cost = Amount::new(message.held.as_ref().map_or(0, |held| held.amount));
    let paid = Paid { state: Standing::Returned, choices: Vec::new(), lines: Vec::new(), cost };
    let (key, kept) =
        (place::paid_key(message.payer, &message.event_id), place::kept(payload.closes_at_ms, Now::of_this_call().0));
    let made = Step::in_shard(shard).absent(&key).put(&key, &paid, Some(kept))?.commit()?;
    Ok(made.map(|_| paid))
}

fn give_back(message: &Message, payload: &Payload, paid: Option<&Paid>, rooms: &Rooms) -> Result<Verdict, Problem> {
    let Some(held) = &message.held else { return Ok(Verdict::Reject("the event holds nothing".into())) };
    let payer = ledger::Account { user_id: message.payer, asset_type: held.asset_type };
    if ledger::void(payer, &message.event_id)? == ledger::VoidOutcome::AlreadyPosted {
        return Ok(Verdict::Reject("the vote was paid, but is not counted: pay the voter back".into()));
    }
    rooms.of(message.room_id, payload.poll_id)?.iter().for_each(|room| {
        tell(room, message, payload, Standing::Returned, paid);
    });
    Ok(Verdict::Ack)
}

fn transfer(message: &Message) -> Result<Transfer, String> {
    let payload: Payload = read_json(&message.payload)?;
    let transfer = Transfer::new("pollVote", payload.poll_id.to_string());
    Ok(payload.shares.iter().fold(transfer, |transfer, share| transfer.to(share.user_id, share.amount)))
}

/// What follows once the books are written.
fn counts(message: &Message, rooms: &Rooms) -> Result<(), Problem> {
    let payload: Payload = read_json(&message.payload).map_err(Problem::failed)?;
    let Some(room) = rooms.of(message.room_id, payload.poll_id)? else { return Ok(()) };
    tell(&room, message, &payload, Standing::Counted, None);
    live::changed(&room.config, room.room_id, payload.poll_id)
}

/// What became of a vote, for its voter alone.
fn tell(room: &Room<Config>, message: &Message, payload: &Payload, state: Standing, paid: Option<&Paid>) {
    #[answer]
    struct Became<'a> {
        event_id: &'a str,
        poll_id: Id,
        state: Standing,
        #[serde(skip_serializing_if = "Option::is_none")]
        cost: Option<Amount>,
    }
    let cost = paid.map(|paid| paid.cost);
    let became = Became { event_id: &message.event_id, poll_id: payload.poll_id, state, cost };
    let key = format!("vote/{}/{}", message.payer, message.event_id);
    if let Err(problem) = room.send(message.payer, &key, "poll.vote", &became, room::Priority::High) {
        logging::log(logging::Level::Warn, "poll.vote", &format!("not pushed: {}", problem.detail));
    }
}

/// The rooms of a batch, and the polls of which it has dealt with votes.
#[derive(Default)]
struct Rooms {
    found: RefCell<BTreeMap<i64, Option<Rc<Room<Config>>>>>,
    polls: RefCell<BTreeSet<(i64, Id)>>,
}

impl Rooms {
    /// The room in which a paid vote was given; none if polls are not enabled there any more.
    fn of(&self, room_id: i64, poll_id: Id) -> Result<Option<Rc<Room<Config>>>, Problem> {
        if let Some(known) = self.found.borrow().get(&room_id) {
            if known.is_some() {
                self.polls.borrow_mut().insert((room_id, poll_id));
            }
            return Ok(known.clone());
        }
        let found = Room::find(room_id)?.map(Rc::new);
        self.found.borrow_mut().insert(room_id, found.clone());
        if found.is_some() {
            self.polls.borrow_mut().insert((room_id, poll_id));
        }
        Ok(found)
    }

    /// Has polls looked at whose time is over: this may have been their last vote. Their own timer looks, too.
    fn end_polls(&self) {
        for (room_id, poll_id) in self.polls.borrow().iter() {
            let looked = place::course(*room_id, *poll_id).and_then(|course| match course.end {
                Some(end) if end.result.is_none() => {
                    Alarm::Close { poll_id: *poll_id, tries: 0 }.ensure_in(*room_id, Duration::ZERO)
                }
                _ => Ok(()),
            });
            if let Err(problem) = looked {
                logging::log(logging::Level::Warn, "voting.closed", &problem.detail);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ballot::{Quota, Votes, weighed};
    use crate::poll::Choice;

    #[test]
    fn a_reserved_vote_counts_or_leaves_no_trace_once_the_poll_is_sealed() {
        let quota = Quota { choice: Choice::Single, votes_max: 3, votes_per_option_max: 3 };
        let (first, choices) = (Votes { option: 2, votes: 1 }, vec![Votes { option: 2, votes: 2 }]);
        let before = Ballot::default().plus(quota, &[first], 1).unwrap();
        let reserved = before.reserving(quota, &choices, 1).unwrap();
        let lines = weighed(&choices, 1);
        let paid = Paid { state: Standing::Pending, choices: choices.clone(), lines, cost: Amount::new(20) };
        let (counted, after) = decided(&paid, &reserved, false);
        assert_eq!((counted.state, after), (Standing::Counted, before.plus(quota, &choices, 1).unwrap()));
        let (returned, after) = decided(&paid, &reserved, true);
        assert_eq!((returned.state, &after), (Standing::Returned, &before));
        // A ballot that has lost the reservation cannot count it.
        assert_eq!(decided(&paid, &before, false), (returned, before));
    }
}
