//! `POST gifts`: step 4 and 6 of the way of a gift.
//!
//! Everything about the money happens in one host call, `ledger.hold`: the reservation, the combo's counters and the
//! sender's cap are one atomic step. Before a request is refused for a reason that may not have been there the first time (the
//! price, a rule, the streamers), the ledger is asked whether the event id was answered before.

mod ask;

use std::borrow::Cow;
use std::rc::Rc;

use greenroom_sdk::{Amount, Body, Id, Problem, Request, Room, answer, ledger, logging, room, route};

use crate::catalogue::{self, Gift};
use crate::combo::{self, Hit};
use crate::payload::Payload;
use crate::rules::{self, Attempt, Config, Cost, Refusal};
use crate::{TOPIC, calendar};
use ask::Ask;

const MINUTE_MS: u64 = 60_000;

/// A gift that may be sent: what it is, to whom, at what cost.
struct Order {
    gift: Rc<Gift>,
    receivers: Vec<i64>,
    cost: Cost,
    stream_id: String,
    room_id: i64,
}

/// Sends a gift. Repeating the event id repeats the answer.
///
/// A repetition that would be refused today is answered from the ledger, without another push. Not `live`: the stream is looked for
/// here, so that a repeated request has its old answer after the stream too.
#[route(POST "gifts")]
pub(crate) fn send(request: &Request, Body(ask): Body<Ask>, room: Room<Config>) -> Result<Answer, Problem> {
    let ask = ask.checked()?;
    request.check_idempotency_key(ask.event_id())?;
    let content = ask.content(room.room_id);
    let gift = catalogue::find(ask.gift_id(), request.now_ms)?;
    let asset_type = gift.as_ref().map_or(catalogue::GOLD, |gift| gift.asset_type);
    let payer = ledger::Account { user_id: request.caller.user_id, asset_type };
    match order(&ask, gift, request, &room) {
        Ok(order) => {
            let outcome = hold(&ask, &order, request, &room.config, payer, content)?;
            tell(&ask, &order, request, &room.config, &outcome)?;
            Ok(Answer::new(&ask, asset_type, &outcome))
        }
        Err(refusal) => match ledger::find(payer, ask.event_id(), &content) {
            Ok(Some(outcome)) => Ok(Answer::new(&ask, asset_type, &outcome)),
            Ok(None) => Err(refusal),
            Err(error) => Err(error.into()),
        },
    }
}

/// Checks everything that is not the balance, in the order of precedence of the answers.
fn order(ask: &Ask, gift: Option<Rc<Gift>>, request: &Request, room: &Room<Config>) -> Result<Order, Problem> {
    let config = &room.config;
    let gift_id = ask.gift_id();
    let gift = gift.ok_or_else(|| Problem::new(404, 10004, "gift-not-found", format!("there is no gift {gift_id}")))?;
    let none = || Problem::new(409, 10002, "stream-not-live", "gifts can be sent while the room is live");
    let stream = room.stream.as_ref().ok_or_else(none)?;
    let caller = &request.caller;
    let (room_id, count) = (room.room_id, ask.count());
    let attempt = Attempt { room_id, gift_id, sender: caller.role.into(), level: caller.level, count };
    rules::check(config, &gift.send_rule, attempt).map_err(|refusal| not_allowed(refusal, gift_id))?;
    let receivers = receivers(ask, room)?;
    if receivers.contains(&caller.user_id) {
        let detail = format!("gift {gift_id} cannot be sent to oneself");
        return Err(Problem::new(403, 10005, "gift-not-allowed", detail));
    }
    // The shares are computed here only to refuse what would not fit, before anything is held.
    rules::share(gift.price, count, receivers.len(), config.platform_share_bps, config.points_per_coin)?;
    let cost = rules::cost(gift.price, count, receivers.len())?;
    if let Some(expected) = ask.expected_total().filter(|expected| *expected != cost.total) {
        let detail = format!("the gift costs {}, not {expected}", cost.total);
        let extra = serde_json::json!({ "total": cost.total, "price": gift.price });
        return Err(Problem::new(409, 10009, "price-changed", detail).with_extra(&extra));
    }
    Ok(Order { gift, receivers, cost, stream_id: stream.id.clone(), room_id })
}

fn not_allowed(refusal: Refusal, gift_id: Id) -> Problem {
    let why = match refusal {
        Refusal::NotInRoom => "is not among the gifts of this room".into(),
        Refusal::OtherRooms => "can only be sent in other rooms".into(),
        Refusal::Role => "cannot be sent by this role".into(),
        Refusal::Level(level) => format!("needs level {level}"),
        Refusal::Count(count) => format!("can be sent {count} at a time at most"),
    };
    Problem::new(403, 10005, "gift-not-allowed", format!("gift {gift_id} {why}"))
}

/// The streamers who were named, or the only one.
fn receivers(ask: &Ask, room: &room::Info) -> Result<Vec<i64>, Problem> {
    match ask.to_user_ids() {
        Some(named) => {
            if let Some(stranger) = named.iter().find(|id| !room.streamers.contains(&id.get())) {
                return Err(Problem::invalid(format!("body: `toUserIds`: {stranger} is no streamer of this room")));
            }
            Ok(named.iter().map(|id| id.get()).collect())
        }
        None => match room.streamers.as_slice() {
            [only] => Ok(vec![*only]),
            several => Err(Problem::invalid(format!(
                "body: `toUserIds` is needed, because the room has {} streamers",
                several.len()
            ))),
        },
    }
}

/// The one host call that moves money.
fn hold(
    ask: &Ask,
    order: &Order,
    request: &Request,
    config: &Config,
    payer: ledger::Account,
    content: Vec<u8>,
) -> Result<ledger::HoldOutcome, Problem> {
    let payload = Payload {
        stream_id: Cow::Borrowed(&order.stream_id),
        gift_id: order.gift.gift_id.get(),
        unit: order.gift.price.get(),
        count: ask.count(),
        receivers: order.receivers.clone(),
        share_bps: config.platform_share_bps,
        points_rate: config.points_per_coin,
        combo_id: ask.combo_id().map(Cow::Borrowed),
    };
    let payload = serde_json::to_vec(&payload).map_err(|e| Problem::failed(e.to_string()))?;
    let mut counters = Vec::new();
    if let Some(combo_id) = ask.combo_id() {
        counters = combo::counters(order.gift.gift_id, combo_id, ask.count(), order.cost.total, config.combo_window_ms);
    }
    counters.extend(caps(order, request.now_ms, config.per_minute_cap));
    let hold = ledger::HoldRequest {
        event_id: ask.event_id().into(),
        payer,
        amount: order.cost.total.get(),
        content,
        topic: TOPIC.into(),
        payload,
        counters,
    };
    ledger::hold(&hold).map_err(|error| match error {
        ledger::Error::LimitReached(_) => too_often(request.now_ms),
        other => other.into(),
    })
}

/// The sender's caps in this minute: the room's, and the gift's own.
fn caps(order: &Order, now_ms: u64, room_cap: u32) -> impl Iterator<Item = ledger::Counter> {
    let minute = now_ms / MINUTE_MS;
    let room_id = order.room_id;
    let cap = |key: String, max: u32| ledger::Counter { key, delta: 1, max: Some(i64::from(max)), ttl_ms: 60_000 };
    let in_room = (room_cap > 0).then(|| cap(format!("minute/{room_id}/{minute}"), room_cap));
    let gift_id = order.gift.gift_id;
    let of_gift = order.gift.send_rule.per_minute.map(|max| cap(format!("minute/{room_id}/{minute}/{gift_id}"), max));
    in_room.into_iter().chain(of_gift)
}

fn too_often(now_ms: u64) -> Problem {
    let left_ms = MINUTE_MS - now_ms % MINUTE_MS;
    Problem::rate_limited("too many gifts in this minute", u32::try_from(left_ms).unwrap_or(u32::MAX))
}

/// Step 6: the push. The money is held already, so what goes wrong here is logged and not told to the viewer; a repetition
/// of the request pushes again, and the room's history lets only one through.
fn tell(
    ask: &Ask,
    order: &Order,
    request: &Request,
    config: &Config,
    outcome: &ledger::HoldOutcome,
) -> Result<(), Problem> {
    let payer = request.caller.user_id;
    let hit = ask.combo_id().map(|combo_id| Hit {
        combo_id,
        gift_id: order.gift.gift_id,
        payer,
        event_id: ask.event_id(),
        count: ask.count(),
        amount: Amount::new(outcome.amount),
        is_last: ask.is_combo_end(),
        is_replayed: outcome.replayed,
    });
    let sent = Sent {
        event_id: ask.event_id(),
        from_user_id: payer.to_string(),
        to_user_ids: order.receivers.iter().map(ToString::to_string).collect(),
        gift_id: order.gift.gift_id,
        name: &order.gift.name,
        count: ask.count(),
        asset_type: order.gift.asset_type,
        total: Amount::new(outcome.amount),
        icon_url: &order.gift.icon_url,
        effects_url: &order.gift.effects_url,
        combo: ask.combo_id().map(|combo_id| Combo { combo_id, count: combo_count(ask, outcome) }),
        at: calendar::rfc3339(request.now_ms),
    };
    let data = serde_json::to_string(&sent).map_err(|e| Problem::failed(e.to_string()))?;
    // The payer is part of the key: an event id is only unique for each payer.
    let key = format!("{payer}/{}", ask.event_id());
    if let Err(error) = room::broadcast(&key, "gift.sent", &data, room::Priority::Normal) {
        logging::log(logging::Level::Warn, "gift.sent", &format!("not pushed: {error}"));
    }
    if let Some(hit) = hit
        && let Err(problem) = combo::after_hit(&hit, &outcome.counters, config.combo_window_ms)
    {
        logging::log(logging::Level::Warn, "combo", &format!("not followed up: {}", problem.detail));
    }
    Ok(())
}

/// The data of the push `gift.sent`.
#[answer]
struct Sent<'a> {
    event_id: &'a str,
    from_user_id: String,
    to_user_ids: Vec<String>,
    gift_id: Id,
    name: &'a str,
    count: u32,
    asset_type: u32,
    total: Amount,
    icon_url: &'a str,
    effects_url: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    combo: Option<Combo<'a>>,
    at: String,
}

#[answer]
struct Combo<'a> {
    combo_id: &'a str,
    count: i64,
}

/// What the sender is answered.
#[answer]
pub(crate) struct Answer {
    event_id: String,
    gift_id: Id,
    count: u32,
    asset_type: u32,
    /// What was paid, for all receivers.
    total: Amount,
    /// What could be spent right after.
    balance: Amount,
    /// How many of the gift the combo has so far.
    combo_count: i64,
    /// True if this event id was answered before.
    replayed: bool,
}

impl Answer {
    /// From the stored outcome alone, so that a repetition gets the same.
    fn new(ask: &Ask, asset_type: u32, outcome: &ledger::HoldOutcome) -> Self {
        Self {
            event_id: ask.event_id().into(),
            gift_id: ask.gift_id(),
            count: ask.count(),
            asset_type,
            total: Amount::new(outcome.amount),
            balance: Amount::new(outcome.balance),
            combo_count: combo_count(ask, outcome),
            replayed: outcome.replayed,
        }
    }
}

/// How many of the gift the combo has so far; a gift outside a combo is one of its own.
fn combo_count(ask: &Ask, outcome: &ledger::HoldOutcome) -> i64 {
    let counted = ask.combo_id().and_then(|_| outcome.counters.first().copied());
    counted.unwrap_or(i64::from(ask.count()))
}
