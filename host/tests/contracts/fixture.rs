//! Values that the contracts of cache and queue share. Users and names are new in each test, so that backends may be shared.

use std::sync::Arc;

use bytes::Bytes;
use greenroom::domain::{Account, Amount, AssetType, ContentDigest, Event, EventId, Held, Outcome, UserId};
use greenroom::ports::cache::{Cache, Error, Hold, HoldResult, Position, Settled, Shard};

/// A time in the past of every clock: 2024.
pub(crate) const NOW_MS: u64 = 1_720_000_000_000;

pub(crate) fn new_account() -> Account {
    Account { user_id: UserId(i64::from(rand::random::<u32>()) + 1), asset_type: AssetType(1) }
}

pub(crate) fn new_name(prefix: &str) -> String {
    format!("{prefix}{:016x}", rand::random::<u64>())
}

pub(crate) fn event_id(text: &str) -> EventId {
    EventId::new(text).unwrap()
}

pub(crate) fn settled(balance: i64, version: i64) -> Settled {
    Settled { balance: Amount(balance), version }
}

pub(crate) fn hold_of(payer: Account, id: &str, amount: i64) -> Hold {
    Hold {
        event_id: event_id(id),
        payer,
        amount: Amount(amount),
        digest: ContentDigest::of("gift.sent", payer, id.as_bytes()),
        plugin: "gift".into(),
        counters: Vec::new(),
        topic: "gift.sent".into(),
        room_id: None,
        payload: Bytes::copy_from_slice(id.as_bytes()),
        now_ms: NOW_MS,
    }
}

/// An account that is cached with a balance at version 1.
pub(crate) async fn funded(cache: &dyn Cache, balance: i64) -> Account {
    let account = new_account();
    fill(cache, account, balance, 1).await;
    account
}

pub(crate) async fn fill(cache: &dyn Cache, account: Account, balance: i64, version: i64) {
    let lease = cache.lease(account).await.unwrap().expect("nobody else loads it");
    assert!(cache.fill(account, lease, Some(settled(balance, version)), &[]).await.unwrap());
}

/// Holding as the ledger does, but without asking a database.
pub(crate) trait HoldNow: Cache {
    /// Under the epoch of now.
    async fn hold_now(&self, hold: Hold) -> Result<HoldResult, Error> {
        loop {
            let epoch = self.epoch(hold.payer.user_id).await?;
            match self.hold(hold.clone(), epoch).await? {
                HoldResult::OtherEpoch => {}
                result => return Ok(result),
            }
        }
    }
}

impl<C: Cache + ?Sized> HoldNow for C {}

pub(crate) async fn held(cache: &dyn Cache, hold: Hold) -> (Outcome, Position) {
    match cache.hold_now(hold).await.unwrap() {
        HoldResult::Held(outcome, position) => (outcome, position),
        other => panic!("not held: {other:?}"),
    }
}

pub(crate) fn new_shard(plugin: &str) -> Shard {
    Shard { plugin: plugin.into(), name: new_name("room/").into() }
}

pub(crate) fn told(topic: &str, key: &str, id: &str) -> Event {
    Event {
        event_id: event_id(id),
        topic: topic.into(),
        key: key.into(),
        room_id: None,
        at_ms: NOW_MS,
        held: None,
        payload: Bytes::copy_from_slice(id.as_bytes()),
    }
}

pub(crate) fn paid(topic: &str, payer: Account, id: &str, amount: i64) -> Event {
    let outcome = Outcome { amount: Amount(amount), balance: Amount(0), counters: Vec::new() };
    let digest = ContentDigest::of(topic, payer, id.as_bytes());
    let key: Arc<str> = payer.user_id.to_string().into();
    Event { key, held: Some(Held { payer, digest, outcome }), ..told(topic, "", id) }
}
