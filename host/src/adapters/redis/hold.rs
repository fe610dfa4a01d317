//! The first phase: one script reserves, remembers, and appends.

use super::cache::{RedisCache, millis, unavailable};
use super::event::{Known, encode, identity};
use super::key_space::expiry;
use super::reply::Reply;
use super::scripts::{Call, HOLD, HOLD_WITH_COUNTERS};
use crate::domain::{Amount, Event, Held, Outcome};
use crate::ports::cache::{Epoch, Error, Hold, HoldResult, Shard};

impl RedisCache {
    pub(super) async fn make_hold(&self, hold: Hold, epoch: Epoch) -> Result<HoldResult, Error> {
        let keys = self.keys.of_user(hold.payer.user_id);
        let trace = keys.outcome(hold.payer.user_id, &hold.event_id);
        let shard = Shard { plugin: hold.plugin.clone(), name: format!("user/{}", hold.payer.user_id).into() };
        let identity = identity(hold.digest, hold.payer.asset_type);
        let names = [keys.epoch(), trace, keys.account(hold.payer), keys.outbox(), keys.shard(&shard)];
        let script = if hold.counters.is_empty() { &HOLD } else { &HOLD_WITH_COUNTERS };
        let mut call = Call::new(script, &names.each_ref().map(String::as_str))
            .arg(&identity)
            .arg(hold.amount.0)
            .arg(hold.event_id.as_str())
            .arg(millis(self.settings.outcome_lifetime))
            .arg(self.outbox_share())
            .arg(encode(&event_of(&hold)).map_err(unavailable)?)
            .arg(hold.now_ms)
            .arg(epoch.number);
        for counter in &hold.counters {
            let (expires, ttl) = expiry(hold.now_ms, Some(counter.ttl_ms));
            call.push(&*counter.key);
            call.push(counter.delta);
            call.push(counter.max.map(|max| max.to_string()).unwrap_or_default());
            call.push((expires, ttl));
        }
        let mut answer = Reply::new(self.server.run(call).await.map_err(unavailable)?).map_err(unavailable)?;
        let [_, trace, ..] = names;
        self.read_held(&mut answer, keys.bucket, trace, &identity)
    }

    fn read_held(&self, answer: &mut Reply, bucket: u32, trace: String, identity: &str) -> Result<HoldResult, Error> {
        let kind = answer.text().map_err(unavailable)?;
        match kind.as_str() {
            "held" | "known" => {
                let told = answer.text().map_err(unavailable)?;
                let known = Known::read(&told).map_err(unavailable)?;
                if known.identity != identity {
                    return Ok(HoldResult::Reused);
                }
                let position = self.position_of(bucket, trace, &known);
                if kind == "known" {
                    return Ok(HoldResult::Replayed(known.outcome, position));
                }
                self.steps.append(bucket);
                Ok(HoldResult::Held(known.outcome, position))
            }
            "recovering" => {
                self.forget_epoch(bucket);
                Ok(HoldResult::Recovering)
            }
            "epoch" => {
                self.forget_epoch(bucket);
                Ok(HoldResult::OtherEpoch)
            }
            "miss" => Ok(HoldResult::Miss),
            "none" => Ok(HoldResult::NoAccount),
            "insufficient" => Ok(HoldResult::Insufficient(Amount(answer.number().map_err(unavailable)?))),
            "full" => Err(Error::Full("the outbox")),
            "limit" | "kind" => {
                let key = answer.text().map_err(unavailable)?;
                if kind == "kind" {
                    return Err(Error::WrongKind(key));
                }
                Ok(HoldResult::LimitReached(answer.number().map_err(unavailable)?))
            }
            other => Err(Error::Unavailable(format!("strange answer: {other}"))),
        }
    }
}

/// The event without what only the script will know.
fn event_of(hold: &Hold) -> Event {
    let outcome = Outcome { amount: hold.amount, balance: Amount::ZERO, counters: Vec::new() };
    Event {
        event_id: hold.event_id.clone(),
        topic: hold.topic.clone(),
        key: hold.payer.user_id.to_string().into(),
        room_id: hold.room_id,
        at_ms: hold.now_ms,
        held: Some(Held { payer: hold.payer, digest: hold.digest, outcome }),
        payload: hold.payload.clone(),
    }
}
