//! Saying something: the way of a message, as `main` tells it.

use std::time::Duration;

use greenroom_sdk::room::Priority;
use greenroom_sdk::serde::de::DeserializeOwned;
use greenroom_sdk::serde_json;
use greenroom_sdk::{
    Body, Caller, Contexts, EventId, Now, Once, Problem, Request, Room, Step, cache, mq, read_json, request, route,
};

use crate::history::{self, Said};
use crate::pace::{Pace, Wait};
use crate::refusal::No;
use crate::restriction::Restriction;
use crate::settings::{Found, Settings, TEXT_LEN_MAX};
use crate::words::Words;
use crate::{TOPIC, TRIES, id, is_moderator, moderation, text, users};

/// A repetition is known for so long. Clients repeat within seconds, and a busy room says a lot in a day.
const REMEMBERED: Duration = Duration::from_secs(15 * 60);

/// A repetition pushes again for so long: clients repeat what had no answer at once, and the host knows a push again for about as long.
const SOON_MS: u64 = 10_000;

thread_local! {
    /// The word lists of the rooms that this instance serves.
    static WORDS: Contexts<Words> = const { Contexts::new() };
}

#[request]
pub(crate) struct Saying {
    event_id: EventId,
    /// What is said: one line, without blanks around it.
    #[schemars(length(min = 1, max = TEXT_LEN_MAX))]
    text: String,
}

/// Says something to everybody in the room.
#[route(POST "chat/messages", roles(viewer, streamer, operator))]
pub(crate) fn say(
    caller: Caller,
    Now(now_ms): Now,
    room: Room<Settings>,
    request: &Request,
    Body(saying): Body<Saying>,
) -> Result<Once<Said>, Problem> {
    let Saying { event_id, text } = saying;
    request.check_idempotency_key(&event_id)?;
    let writer = Writer { caller, shard: users(room.room_id).of(caller.user_id), event_id };
    let once = match writer.answered(&text)? {
        Some(known) => known,
        None => {
            let shown = shown(&text, request.context, &room.config)?;
            writer.say(&text, &shown, now_ms, &room)?
        }
    };
    writer.tell(&once, now_ms, &room)?;
    Ok(once)
}

/// The text as everybody will see it.
fn shown(text: &str, context: u64, settings: &Settings) -> Result<String, Problem> {
    let text = text::tidy(text, settings.text_len_max)?;
    let words = WORDS.with(|words| words.get_or_make(context, || Ok::<_, Problem>(Words::new(&settings.words))))?;
    match settings.words_found {
        Found::Mask => Ok(words.mask(text)),
        Found::Refuse if words.are_in(text) => Err(No::Word.into()),
        Found::Refuse => Ok(text.to_owned()),
    }
}

/// Who says something, and under which event id.
struct Writer {
    caller: Caller,
    shard: String,
    event_id: EventId,
}

impl Writer {
    /// The answer to a repetition, which no refusal may take back.
    fn answered(&self, text: &str) -> Result<Option<Once<Said>>, Problem> {
        Step::in_shard(self.shard.clone()).answered(self.caller, &self.event_id, &text)
    }

    fn say(&self, text: &str, shown: &str, now_ms: u64, room: &Room<Settings>) -> Result<Once<Said>, Problem> {
        for _ in 0..TRIES {
            match self.attempt(text, shown, now_ms, room) {
                Ok(Some(once)) => return Ok(once),
                Ok(None) => {}
                // A repetition at the same time may have taken the turn that this one is refused.
                Err(refusal) => return self.answered(text)?.ok_or(refusal),
            }
        }
        Err(Problem::overloaded("you write from several places at once; try again"))
    }

    /// None if a moderator or another request of this user was faster, so that what was decided on is no longer so.
    fn attempt(
        &self,
        text: &str,
        shown: &str,
        now_ms: u64,
        room: &Room<Settings>,
    ) -> Result<Option<Once<Said>>, Problem> {
        let user_id = self.caller.user_id;
        let (restriction_key, pace_key) = (moderation::key(user_id), format!("pace/{user_id}"));
        let [restriction, pace] = self.bytes([&restriction_key, &pace_key])?;
        let held: Restriction = parsed(restriction.as_deref())?;
        held.check(now_ms)?;
        let mut step = Step::in_shard(self.shard.clone()).remembering(REMEMBERED).expect(restriction_key, restriction);
        if !is_moderator(self.caller, room) {
            let next = parsed::<Pace>(pace.as_deref())?.with_message_at(now_ms, &room.config).map_err(too_fast)?;
            step = step.expect(pace_key.clone(), pace).put(pace_key, &next, Some(Pace::ttl(&room.config)))?;
        }
        let number = history::next_number(room.room_id)?;
        if number == 1 {
            moderation::bring_back()?;
        }
        let said = Said { number, user_id: id(self.caller)?, text: shown.to_owned(), at_ms: now_ms };
        Ok(step.once(self.caller, &self.event_id, &text, said)?.ok())
    }

    /// The bytes of some keys, in one host call.
    fn bytes<const N: usize>(&self, keys: [&str; N]) -> Result<[Option<Vec<u8>>; N], Problem> {
        let values = cache::get_many(&keys.map(|key| (self.shard.clone(), key.to_owned())))?;
        values.try_into().map_err(|_| Problem::failed("the cache gave another number of values than it was asked for"))
    }

    /// Tells other plugins, the history and everybody, unless the first time did so. Until the mark is there, a repetition does it again:
    /// other plugins know the event by its id, the history and the push by the number. A push leaves only when the call has ended, after the
    /// mark, so a repetition that comes soon pushes in any case; it is shown once.
    fn tell(&self, once: &Once<Said>, now_ms: u64, room: &Room<Settings>) -> Result<(), Problem> {
        let (said, mark) = (&once.answer, format!("told/{}/{}", self.caller.user_id, self.event_id));
        if once.replayed && cache::get(&self.shard, &mark)?.is_some() {
            let is_soon = now_ms.saturating_sub(said.at_ms) < SOON_MS;
            let is_shown = is_soon && !history::is_removed(room.room_id, said.number, &room.config)?;
            return if is_shown { push(said, room) } else { Ok(()) };
        }
        if history::keep(room.room_id, said, now_ms, &room.config)? {
            // With the time, as a room whose cache was lost counts from 1 again.
            let event_id = format!("{}:{}:{}", room.room_id, said.number, said.at_ms);
            // By viewer, so that the topic's load is spread, and each viewer's messages keep their order.
            let key = format!("{}/{}", room.room_id, said.user_id);
            mq::publish(TOPIC, &key, &event_id, &payload(said)?)?;
            push(said, room)?;
        }
        let _ = Step::in_shard(self.shard.clone()).put(mark, &true, Some(REMEMBERED))?.commit()?;
        Ok(())
    }
}

fn push(said: &Said, room: &Room<Settings>) -> Result<(), Problem> {
    room.broadcast(&format!("said/{}/{}", said.number, said.at_ms), "chat.said", said, Priority::Normal)
}

/// What other plugins read is what viewers see.
fn payload(said: &Said) -> Result<Vec<u8>, Problem> {
    serde_json::to_vec(said).map_err(|e| Problem::failed(format!("topic: {e}")))
}

fn parsed<T: DeserializeOwned + Default>(bytes: Option<&[u8]>) -> Result<T, Problem> {
    let fault = |e: String| Problem::failed(format!("what is known of the writer: {e}"));
    bytes.map_or_else(|| Ok(T::default()), |bytes| read_json(bytes).map_err(fault))
}

fn too_fast(Wait(wait_ms): Wait) -> Problem {
    let wait_ms = u32::try_from(wait_ms).unwrap_or(u32::MAX);
    No::TooFast { wait_ms, retry_after_ms: wait_ms }.into()
}
