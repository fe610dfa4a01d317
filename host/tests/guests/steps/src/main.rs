//! A plugin for tests of the SDK against a real host: a step made once in the shard of a user, the sums of all shards, a tally that is
//! told once in a period, a close after which nothing changes, voters in the order in which they came, a consumer that acts in the
//! rooms of its messages, and very many timers.

mod bells;

use std::time::Duration;

use greenroom_sdk::{
    Body, Caller, EventId, Message, Once, Problem, Refusal, Room, Shards, Step, Stopped, Timer, Verdict, answer,
    config, mq, request, room::Priority, route, stored, tell_every,
};

/// How often the sums are told at most.
const PERIOD: Duration = Duration::from_millis(500);
/// How long votes are kept after the close.
const KEPT: Duration = Duration::from_secs(60 * 60);
/// How many may be the first in each shard.
const FIRST_MAX: u32 = 3;
/// Votes of one user.
const VOTES_MAX: i64 = 1;
const TOPIC: &str = "steps.said";

#[config]
struct Settings {}

#[request]
struct Vote {
    event_id: EventId,
    #[schemars(range(min = 0, max = 1))]
    option: u32,
}

#[stored]
struct Voted {
    option: u32,
}

#[answer]
struct Sums {
    options: Vec<i64>,
}

#[derive(Debug, Refusal)]
enum No {
    #[refusal(1, 409, "voted-for-it", "option {option} has this vote already")]
    ForIt { option: u32 },
    #[refusal(2, 409, "no-votes-left", "{votes_max} votes are all")]
    NoneLeft { votes_max: i64 },
    #[refusal(3, 409, "closed", "the vote is closed")]
    Closed {},
    #[refusal(4, 409, "too-late", "{first_max} came before")]
    TooLate { first_max: u32 },
}

#[derive(Timer)]
#[stored]
enum Alarm {
    #[timer("sums")]
    Sums {},
    #[timer("bell/{number}")]
    Bell { number: u32 },
}

fn shards(room_id: i64) -> Shards {
    Shards::of_thing(format!("poll/{room_id}"))
}

fn sums(room_id: i64) -> Result<Sums, Problem> {
    Ok(Sums { options: shards(room_id).sums(&["option/0", "option/1"])? })
}

/// Votes for an option; the same event id has the same answer.
#[route(POST "steps/votes")]
fn vote(caller: Caller, room: Room<Settings>, Body(vote): Body<Vote>) -> Result<Once<Voted>, Problem> {
    let option = vote.option;
    let made = shards(room.room_id)
        .step(caller.user_id)
        .absent(format!("voter/{}/{option}", caller.user_id))
        .put(format!("voter/{}/{option}", caller.user_id), &Voted { option }, None)?
        .add(format!("option/{option}"), 1, None)
        .add(format!("votes/{}", caller.user_id), 1, Some(VOTES_MAX))
        .once(caller, &vote.event_id, &option, Voted { option })?;
    let once = made.map_err(|stopped| match stopped {
        Stopped::Check(0) => No::Closed {}.into(),
        Stopped::Check(1) => No::ForIt { option }.into(),
        Stopped::Limit(2) => No::NoneLeft { votes_max: VOTES_MAX }.into(),
        other => Problem::failed(format!("{other:?}")),
    })?;
    // For a repetition, too: the first time may have ended between the step and this.
    tell_every(PERIOD, room.room_id, &Alarm::Sums {})?;
    Ok(once)
}

/// Ends voting.
#[route(POST "steps/close", roles(streamer, operator))]
fn close(room: Room<Settings>) -> Result<Sums, Problem> {
    shards(room.room_id).close(KEPT)?;
    sums(room.room_id)
}

#[answer]
struct Place {
    number: i64,
}

/// The caller's place among those who asked.
#[route(POST "steps/places")]
fn place(caller: Caller, room: Room<Settings>) -> Result<Place, Problem> {
    let shard = format!("places/{}", room.room_id);
    let step = Step::in_shard(shard).lasting(KEPT).enter("first", caller.user_id.to_string(), Some(FIRST_MAX));
    match step.commit()? {
        Ok(numbers) => Ok(Place { number: numbers.first().copied().unwrap_or_default() }),
        Err(_) => Err(No::TooLate { first_max: FIRST_MAX }.into()),
    }
}

/// The votes of each option.
#[route(GET "steps/votes")]
fn votes(room: Room<Settings>) -> Result<Sums, Problem> {
    sums(room.room_id)
}

/// Has the consumer push and tell in the room.
#[route(POST "steps/words")]
fn say(caller: Caller, room: Room<Settings>, Body(said): Body<Vote>) -> Result<(), Problem> {
    let key = format!("{}/{}", room.room_id, caller.user_id);
    Ok(mq::publish(TOPIC, &key, &said.event_id, said.event_id.as_bytes())?)
}

fn hear(batch: Vec<Message>) -> Vec<Verdict> {
    batch
        .iter()
        .map(|message| heard(message).map_or_else(|fault| Verdict::Reject(fault.detail), |()| Verdict::Ack))
        .collect()
}

fn heard(message: &Message) -> Result<(), Problem> {
    let room = Room::<Settings>::find(message.room_id)?;
    let room = room.ok_or_else(|| Problem::invalid(format!("not enabled in room {}", message.room_id)))?;
    room.broadcast(&message.event_id, "steps.heard", &message.event_id, Priority::Normal)?;
    tell_every(PERIOD, room.room_id, &Alarm::Sums {})
}

fn fire(room: Room<Settings>, alarm: Alarm) -> Result<(), Problem> {
    match alarm {
        Alarm::Sums {} => tell(&room),
        Alarm::Bell { number } => bells::ring(room.room_id, number),
    }
}

fn tell(room: &Room<Settings>) -> Result<(), Problem> {
    let sums = sums(room.room_id)?;
    room.broadcast(&format!("{:?}", sums.options), "steps.sums", &sums, Priority::Low)
}

greenroom_sdk::plugin! {
    config: Settings,
    routes: [vote, votes, close, place, say, bells::hang, bells::rung],
    refusals: [No],
    timers: Alarm => fire,
    consumer: hear,
}
