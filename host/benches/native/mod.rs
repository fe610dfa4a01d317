//! The work of the gift plugin's `POST gifts`, as a host would do it that has no plugins: what a warm call is held against.
//!
//! The same JSON in and out, the same checks of a request without a combo and of a gift without conditions, the same digest, hold,
//! payload, wait for the disk and push. It leaves out what only plugins need: the instance, its limits, the circuits, the copying in and
//! out, and the look at the catalogue's stamp every half second.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use greenroom::adapters::embedded::SystemClock;
use greenroom::domain::{Account, Amount, Audience, ContentDigest, EventId, Priority, PushMessage, RoomId, UserId};
use greenroom::ports::cache::Hold;
use greenroom::ports::clock::Clock;
use greenroom::ports::push_bus::PushBus;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::house::{GOLD, House, STREAMER};

const SHARE_BPS: i64 = 3_000;
const POINTS_RATE: i64 = 1;
const COUNT_MAX: i64 = 9_999;
const STREAM: &str = "0192f3c1-7d2a-7000-8000-000000000001";

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Ask {
    event_id: String,
    gift_id: String,
    count: i64,
    to_user_ids: Option<Vec<i64>>,
    combo_id: Option<String>,
    #[serde(default)]
    combo_end: bool,
    expected_total: Option<i64>,
}

struct Gift {
    gift_id: i64,
    name: &'static str,
    price: i64,
    icon_url: String,
    effects_url: String,
    roles: HashSet<u8>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Payload<'a> {
    stream_id: &'a str,
    gift_id: i64,
    unit: i64,
    count: i64,
    receivers: &'a [i64],
    share_bps: i64,
    points_rate: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Sent<'a> {
    event_id: &'a str,
    from_user_id: String,
    to_user_ids: Vec<String>,
    gift_id: &'a str,
    name: &'a str,
    count: i64,
    asset_type: u32,
    total: String,
    icon_url: &'a str,
    effects_url: &'a str,
    at: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    event_id: &'a str,
    gift_id: &'a str,
    count: i64,
    asset_type: u32,
    total: String,
    balance: String,
    combo_count: i64,
    replayed: bool,
}

/// The catalogue and what the work is done over.
pub struct Native {
    house: Arc<House>,
    catalogue: BTreeMap<i64, Gift>,
    topic: Arc<str>,
    plugin: Arc<str>,
    event: Arc<str>,
}

impl Native {
    pub fn new(house: Arc<House>) -> Self {
        let gift = |index: i64| Gift {
            gift_id: 2000 + index,
            name: "Rose",
            price: 10,
            icon_url: format!("/assets/gifts/{index}.png"),
            effects_url: format!("/assets/gifts/{index}.json"),
            roles: HashSet::new(),
        };
        let catalogue = (1..=12).map(|index| (2000 + index, gift(index))).collect();
        Self { house, catalogue, topic: "gift.sent".into(), plugin: "native".into(), event: "gift.sent".into() }
    }

    /// Sends a gift, and gives the body of the answer once it is durable.
    pub async fn send(&self, body: &[u8], payer: UserId) -> Bytes {
        let now_ms = SystemClock.now_ms();
        let ask: Ask = serde_json::from_slice(body).unwrap();
        let gift = ask.gift_id.parse().ok().and_then(|id: i64| self.catalogue.get(&id)).unwrap();
        let (receivers, total) = order(&ask, gift);
        let content = format!("7|{}|{}|||0", ask.gift_id, ask.count);
        let account = Account { user_id: payer, asset_type: GOLD };
        let payload = Payload {
            stream_id: STREAM,
            gift_id: gift.gift_id,
            unit: gift.price,
            count: ask.count,
            receivers: &receivers,
            share_bps: SHARE_BPS,
            points_rate: POINTS_RATE,
        };
        let hold = Hold {
            event_id: EventId::new(&ask.event_id).unwrap(),
            payer: account,
            amount: Amount(total),
            digest: ContentDigest::of(&self.topic, account, content.as_bytes()),
            plugin: self.plugin.clone(),
            counters: Vec::new(),
            topic: self.topic.clone(),
            room_id: Some(RoomId(7)),
            payload: serde_json::to_vec(&payload).unwrap().into(),
            now_ms,
        };
        let held = self.house.ledger.hold(hold).await.unwrap();
        let push = self.push(&ask, gift, &receivers, held.outcome.amount, payer, now_ms);
        let answer = Answer {
            event_id: &ask.event_id,
            gift_id: &ask.gift_id,
            count: ask.count,
            asset_type: GOLD.0,
            total: held.outcome.amount.to_string(),
            balance: held.outcome.balance.to_string(),
            combo_count: ask.count,
            replayed: held.replayed,
        };
        let answer = serde_json::to_vec(&answer).unwrap();
        self.house.cache.durable(held.position).await.unwrap();
        self.house.push_bus.publish(vec![push]).await.unwrap();
        answer.into()
    }

    fn push(
        &self,
        ask: &Ask,
        gift: &Gift,
        receivers: &[i64],
        total: Amount,
        payer: UserId,
        now_ms: u64,
    ) -> PushMessage {
        let sent = Sent {
            event_id: &ask.event_id,
            from_user_id: payer.to_string(),
            to_user_ids: receivers.iter().map(ToString::to_string).collect(),
            gift_id: &ask.gift_id,
            name: gift.name,
            count: ask.count,
            asset_type: GOLD.0,
            total: total.to_string(),
            icon_url: &gift.icon_url,
            effects_url: &gift.effects_url,
            at: Timestamp::from_millisecond(now_ms as i64).unwrap().to_string(),
        };
        PushMessage {
            room_id: RoomId(7),
            audience: Audience::Room,
            key: format!("{payer}/{}", ask.event_id).into(),
            event: self.event.clone(),
            data: serde_json::to_string(&sent).unwrap().into(),
            priority: Priority::Normal,
        }
    }
}

/// Checks the request, and gives who receives and what it costs.
fn order(ask: &Ask, gift: &Gift) -> (Vec<i64>, i64) {
    let named = ask.event_id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':'));
    assert!(named && !ask.event_id.is_empty() && ask.event_id.len() <= 64);
    assert!((1..=COUNT_MAX).contains(&ask.count) && gift.roles.is_empty());
    assert!(ask.combo_id.is_none() && !ask.combo_end && ask.to_user_ids.is_none());
    let receivers = vec![STREAMER.0];
    let each = gift.price.checked_mul(ask.count).unwrap();
    let total = each.checked_mul(receivers.len() as i64).unwrap();
    let platform = i64::try_from(i128::from(each) * i128::from(SHARE_BPS) / 10_000).unwrap();
    assert!(each.checked_sub(platform).unwrap() >= 0 && total.checked_mul(POINTS_RATE).is_some());
    assert!(ask.expected_total.is_none_or(|expected| expected == total));
    (receivers, total)
}
