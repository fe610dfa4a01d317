//! What moderators do: remove messages, mute, ban, and lift it. Only these routes' roles may; the host sees to it that a streamer acts in
//! their own room, and writes what was done into the room's audit.
//!
//! The cache enforces a restriction, in the user's own shard; the table remembers it beyond the cache and lists it. When the plugin is
//! enabled, a stream starts, or a message has the number 1, what the cache does not have is brought back from the table: the room's count
//! begins anew only if the cache was lost.

use std::time::Duration;

use greenroom_sdk::db::{self, Value};
use greenroom_sdk::room::Priority;
use greenroom_sdk::{
    Body, Caller, Cursor, Id, Now, Occasion, Page, Path, Problem, Query, Room, Step, Timer, answer, cache, logging,
    read_json, request, route, stored,
};

use crate::history;
use crate::refusal::No;
use crate::restriction::{Change, Restriction};
use crate::settings::Settings;
use crate::{TRIES, users};

/// 30 days.
const MUTE_SECONDS_MAX: u32 = 30 * 24 * 60 * 60;
const LIMIT_MAX: u32 = 100;
/// Occasions are told before the room is changed, and a timer that fires before that finds no plugin there.
const RESTORE_AFTER: Duration = Duration::from_secs(1);
/// Restrictions that are brought back in one firing of the timer: as many steps of the cache, one after the other.
const RESTORED_AT_ONCE: i64 = 100;

/// The key of a user's restriction, in the user's shard.
pub(crate) fn key(user_id: i64) -> String {
    format!("restriction/{user_id}")
}

/// What is held against a user in this room.
#[answer]
pub(crate) struct Held {
    user_id: Id,
    /// Milliseconds since the Unix epoch; not there if the user is not muted.
    #[serde(skip_serializing_if = "Option::is_none")]
    muted_until_ms: Option<u64>,
    /// Until it is lifted.
    is_banned: bool,
}

impl Held {
    fn new(user_id: Id, restriction: Restriction, now_ms: u64) -> Self {
        let Restriction { muted_until_ms, is_banned, .. } = restriction;
        Self { user_id, muted_until_ms: (muted_until_ms > now_ms).then_some(muted_until_ms), is_banned }
    }
}

/// What is held against the caller.
pub(crate) fn held(caller: Caller, now_ms: u64, room_id: i64) -> Result<Held, Problem> {
    let seen = cache::get(&users(room_id).of(caller.user_id), &key(caller.user_id))?;
    let restriction = seen.as_deref().map(read).transpose()?.unwrap_or_default();
    Ok(Held::new(crate::id(caller)?, restriction, now_ms))
}

#[answer]
struct Removed {
    number: i64,
}

/// Removes a message: it is gone from the history, and everybody's screen is told. A repetition changes nothing.
#[route(DELETE "chat/messages/{number}", roles(operator, streamer))]
pub(crate) fn remove(room: Room<Settings>, Path(number): Path<Id>) -> Result<(), Problem> {
    let number = number.get();
    history::remove(room.room_id, number, &room.config)?;
    room.broadcast(&format!("removed/{number}"), "chat.removed", &Removed { number }, Priority::High)
}

#[request]
pub(crate) struct Mute {
    /// From now on, up to 30 days.
    #[schemars(range(min = 1, max = MUTE_SECONDS_MAX))]
    seconds: u32,
}

/// Mutes a user for a time from now on, whatever was before.
#[route(PUT "chat/mutes/{userId}", roles(operator, streamer))]
pub(crate) fn mute(
    caller: Caller,
    Now(now_ms): Now,
    room: Room<Settings>,
    Path(user_id): Path<Id>,
    Body(mute): Body<Mute>,
) -> Result<Held, Problem> {
    change(caller, now_ms, &room, user_id, Change::Mute(Duration::from_secs(mute.seconds.into())))
}

/// Lifts a user's mute.
#[route(DELETE "chat/mutes/{userId}", roles(operator, streamer))]
pub(crate) fn unmute(
    caller: Caller,
    Now(now_ms): Now,
    room: Room<Settings>,
    Path(user_id): Path<Id>,
) -> Result<Held, Problem> {
    change(caller, now_ms, &room, user_id, Change::Unmute)
}

/// Bans a user from the chat until it is lifted.
#[route(PUT "chat/bans/{userId}", roles(operator, streamer))]
pub(crate) fn ban(
    caller: Caller,
    Now(now_ms): Now,
    room: Room<Settings>,
    Path(user_id): Path<Id>,
) -> Result<Held, Problem> {
    change(caller, now_ms, &room, user_id, Change::Ban)
}

/// Lifts a user's ban.
#[route(DELETE "chat/bans/{userId}", roles(operator, streamer))]
pub(crate) fn unban(
    caller: Caller,
    Now(now_ms): Now,
    room: Room<Settings>,
    Path(user_id): Path<Id>,
) -> Result<Held, Problem> {
    change(caller, now_ms, &room, user_id, Change::Unban)
}

/// A repetition makes a new revision of the same, so what an earlier try left half done is done then.
fn change(caller: Caller, now_ms: u64, room: &Room<Settings>, user_id: Id, change: Change) -> Result<Held, Problem> {
    let is_tightened = matches!(change, Change::Mute(_) | Change::Ban);
    if is_tightened && room.streamers.contains(&user_id.get()) {
        return Err(No::Streamer { user_id: user_id.get() }.into());
    }
    let (shard, key) = (users(room.room_id).of(user_id.get()), key(user_id.get()));
    for _ in 0..TRIES {
        let seen = cache::get(&shard, &key)?;
        let before = seen.as_deref().map(read).transpose()?.unwrap_or_default();
        let after = before.changed(change, now_ms);
        let step =
            Step::in_shard(shard.clone()).expect(key.clone(), seen).put(key.clone(), &after, after.ttl(now_ms))?;
        if step.commit()?.is_ok() {
            write_down(caller, room, user_id, after)?;
            let held = Held::new(user_id, after, now_ms);
            let push = format!("restricted/{user_id}/{}", after.revision);
            room.send(user_id.get(), &push, "chat.restricted", &held, Priority::High)?;
            return Ok(held);
        }
    }
    Err(Problem::overloaded("several moderators act on this user at once; try again"))
}

fn read(bytes: &[u8]) -> Result<Restriction, Problem> {
    read_json(bytes).map_err(|e| Problem::failed(format!("a restriction: {e}")))
}

fn write_down(caller: Caller, room: &Room<Settings>, user_id: Id, restriction: Restriction) -> Result<(), Problem> {
    let Restriction { revision, muted_until_ms, is_banned } = restriction;
    let params = vec![
        Value::Integer(room.room_id),
        Value::Integer(user_id.get()),
        integer(revision),
        integer(muted_until_ms),
        Value::Integer(is_banned.into()),
        Value::Integer(caller.user_id),
    ];
    let _ = db::transact(&[db::Step { statement: "put-restriction".into(), params, expected_rows: None }])?;
    Ok(())
}

fn integer(value: u64) -> Value {
    Value::Integer(i64::try_from(value).unwrap_or(i64::MAX))
}

#[request]
pub(crate) struct Asked {
    #[serde(default = "limit")]
    #[schemars(range(min = 1, max = LIMIT_MAX))]
    limit: u32,
    /// From the page before.
    cursor: Option<Cursor<Id>>,
}

fn limit() -> u32 {
    20
}

#[answer]
pub(crate) struct Entry {
    #[serde(flatten)]
    held: Held,
    /// The moderator who changed it last.
    by_user_id: Id,
}

/// Who is muted or banned in this room, by user id.
#[route(GET "chat/restrictions", roles(operator, streamer))]
pub(crate) fn list(
    Query(asked): Query<Asked>,
    Now(now_ms): Now,
    room: Room<Settings>,
) -> Result<Page<Entry, Id>, Problem> {
    if !(1..=LIMIT_MAX).contains(&asked.limit) {
        return Err(Problem::invalid(format!("query: `limit` must be from 1 to {LIMIT_MAX}")));
    }
    let after = asked.cursor.map_or(0, |Cursor(after)| after.get());
    let rows = rows(room.room_id, after, now_ms, asked.limit.into())?;
    let is_full = rows.len() == usize::try_from(asked.limit).unwrap_or(usize::MAX);
    let next_cursor = rows.last().filter(|_| is_full).map(|row| Cursor(row.user_id));
    let entry = |row: Row| Entry { held: Held::new(row.user_id, row.restriction, now_ms), by_user_id: row.by_user_id };
    Ok(Page { items: rows.into_iter().map(entry).collect(), next_cursor })
}

/// A row of the table.
struct Row {
    user_id: Id,
    restriction: Restriction,
    by_user_id: Id,
}

fn rows(room_id: i64, after: i64, now_ms: u64, limit: i64) -> Result<Vec<Row>, Problem> {
    let params = [Value::Integer(room_id), Value::Integer(after), integer(now_ms), Value::Integer(limit)];
    let rows = db::query("restrictions", &params)?;
    rows.iter().map(|row| parsed(row).ok_or_else(|| Problem::failed("a row of restrictions is malformed"))).collect()
}

fn parsed(row: &[Value]) -> Option<Row> {
    let [user_id, revision, muted_until_ms, is_banned, by_user_id] = row else { return None };
    let number = |value: &Value| if let Value::Integer(number) = value { Some(*number) } else { None };
    let time = |value: &Value| number(value).and_then(|number| u64::try_from(number).ok());
    Some(Row {
        user_id: Id::new(number(user_id)?)?,
        restriction: Restriction {
            revision: time(revision)?,
            muted_until_ms: time(muted_until_ms)?,
            is_banned: number(is_banned)? != 0,
        },
        by_user_id: Id::new(number(by_user_id)?)?,
    })
}

/// Brings restrictions back, from the one after this user.
#[derive(Timer)]
#[stored]
pub(crate) enum Alarm {
    #[timer("restore/{after}")]
    Restore { after: i64 },
}

/// No stream is kept from starting because the cache does not answer now: if it has lost the room, the room's first message sees that.
pub(crate) fn on(_: Room<Settings>, occasion: Occasion) -> Result<(), Problem> {
    if matches!(occasion, Occasion::Enabled | Occasion::StreamStarted)
        && let Err(problem) = bring_back()
    {
        logging::log(logging::Level::Warn, "restrictions", &format!("not brought back now: {}", problem.detail));
    }
    Ok(())
}

/// Has restrictions brought back in a moment, and not in this call.
pub(crate) fn bring_back() -> Result<(), Problem> {
    Alarm::Restore { after: 0 }.set(RESTORE_AFTER)
}

/// Brings restrictions back that the cache does not have, in pieces; may be repeated.
pub(crate) fn restore(room: Room<Settings>, Alarm::Restore { after }: Alarm) -> Result<(), Problem> {
    let Now(now_ms) = Now::of_this_call();
    let rows = rows(room.room_id, after, now_ms, RESTORED_AT_ONCE)?;
    for Row { user_id, restriction, .. } in &rows {
        let (shard, key) = (users(room.room_id).of(user_id.get()), key(user_id.get()));
        // What is there is as late or later.
        let _ = Step::in_shard(shard).absent(key.clone()).put(key, restriction, restriction.ttl(now_ms))?.commit()?;
    }
    match rows.last() {
        Some(last) if i64::try_from(rows.len()) == Ok(RESTORED_AT_ONCE) => {
            Alarm::Restore { after: last.user_id.get() }.set(Duration::from_millis(1))
        }
        _ => Ok(()),
    }
}
