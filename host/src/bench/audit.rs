//! After the load: every acknowledged gift is paid exactly once, and nobody paid anything else.
//!
//! First the gifts whose answer was lost are sent again, as any client would, until their outcome is known. Then, for each
//! viewer, nothing may be held any more, and the balance must be what was recharged less what was acknowledged.
//! Both waits are bounded. At last the server's own reconciliation, if it offers one, must find no difference.

use std::time::Duration;

use futures::future::try_join_all;
use serde::Serialize;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::Error;
use super::load::{Client, Load};
use super::message::Verdict;
use super::plan::Gift;
use super::setup::Api;

/// Between two looks at a viewer whose gifts are not settled yet, or at a gift that is still unclear.
const PAUSE: Duration = Duration::from_millis(50);
/// Viewers whose faults are listed; all are counted.
const LISTED_MAX: usize = 20;

/// What the audit found.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Audit {
    pub(super) viewers: usize,
    /// Distinct gifts that were acknowledged, those that were asked for again included.
    pub(super) acknowledged: u64,
    /// Gifts that were acknowledged as new more than once.
    pub(super) acknowledged_twice: u64,
    /// Gifts whose outcome stayed unknown.
    pub(super) unclear: u64,
    /// Viewers with something still held at the end of the wait.
    pub(super) unsettled: u64,
    /// Viewers whose balance is not what it must be.
    pub(super) wrong_balances: u64,
    /// From the end of the load until nothing was held, in milliseconds.
    pub(super) settle_ms: u64,
    /// Differences that the server's own reconciliation found; none if it offers none.
    pub(super) differences: Option<usize>,
    /// The first faults in words.
    pub(super) faults: Vec<String>,
}

impl Audit {
    /// Whether everything is as it must be.
    pub(super) fn is_clean(&self) -> bool {
        self.acknowledged_twice + self.unclear + self.unsettled + self.wrong_balances == 0
            && self.differences.unwrap_or(0) == 0
    }
}

/// Spendable and held, in the asset's smallest unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Assets {
    spendable: i64,
    held: i64,
}

/// Clears up what is unclear, waits until all is settled, and compares; `patience` bounds each of the two waits.
pub(super) async fn audit(
    load: &Load,
    unclear: &[Gift],
    forgotten: u64,
    callers: Callers,
    money: Money,
    patience: Duration,
) -> Result<Audit, Error> {
    let loaded = Instant::now();
    let Callers { service, mut operator } = callers;
    let unknown = clear_up(load, unclear, loaded + patience).await + forgotten;
    let mut audit = Audit {
        viewers: load.cast.viewers.len(),
        acknowledged: load.outcomes.acknowledged(),
        acknowledged_twice: load.outcomes.faults(),
        unclear: unknown,
        unsettled: 0,
        wrong_balances: 0,
        settle_ms: 0,
        differences: None,
        faults: Vec::new(),
    };
    let deadline = Instant::now() + patience;
    let looks = load.cast.viewers.chunks(load.cast.viewers.len().div_ceil(service.len()).max(1));
    let looks = service.into_iter().zip(looks).map(|(api, viewers)| settled(api, viewers, money.asset_type, deadline));
    let found = try_join_all(looks).await?.into_iter().flatten();
    for (index, (viewer, assets)) in load.cast.viewers.iter().zip(found).enumerate() {
        let expected = money.recharged.saturating_sub(load.outcomes.spent(index));
        audit.compare(*viewer, assets, expected);
    }
    audit.settle_ms = u64::try_from(loaded.elapsed().as_millis()).unwrap_or(u64::MAX);
    audit.differences = match operator.call("GET", "/v1/reconciliation", None).await {
        Ok(books) => books.get("differences").and_then(Value::as_array).map(Vec::len),
        Err(Error::Refused { status: 404, .. }) => None,
        Err(error) => return Err(error),
    };
    Ok(audit)
}

/// Who asks.
pub(super) struct Callers {
    /// For the viewers' assets: at least one. They ask side by side, because looking at all viewers is part of what is timed.
    pub(super) service: Vec<Api>,
    /// For the server's own reconciliation.
    pub(super) operator: Api,
}

/// What each viewer was given.
#[derive(Debug, Clone, Copy)]
pub(super) struct Money {
    pub(super) asset_type: u32,
    pub(super) recharged: i64,
}

impl Audit {
    fn compare(&mut self, viewer: i64, assets: Assets, expected: i64) {
        if assets.held != 0 {
            self.unsettled += 1;
            self.list(format!("viewer {viewer}: {} still held", assets.held));
        }
        if assets.spendable != expected {
            self.wrong_balances += 1;
            self.list(format!("viewer {viewer}: has {}, must have {expected}", assets.spendable));
        }
    }

    fn list(&mut self, fault: String) {
        if self.faults.len() < LISTED_MAX {
            self.faults.push(fault);
        }
    }
}

/// Sends unclear gifts again until each has an outcome; gives the number of those that have none at the deadline.
async fn clear_up(load: &Load, unclear: &[Gift], deadline: Instant) -> u64 {
    let mut client = Client::new(&load.cast.authority);
    let mut unknown = 0;
    for gift in unclear {
        while load.outcomes.is_unclear(gift) {
            match client.send(&load.cast, gift).await {
                Ok(Verdict::Acknowledged { total, replayed }) => load.outcomes.acknowledge(gift, total, replayed),
                Ok(Verdict::Refused(_)) => load.outcomes.refuse(gift),
                Ok(Verdict::Unclear(_)) | Err(_) if Instant::now() < deadline => sleep(PAUSE).await,
                Ok(Verdict::Unclear(_)) | Err(_) => {
                    unknown += 1;
                    break;
                }
            }
        }
    }
    unknown
}

/// The assets of these viewers, each once nothing is held any more or the deadline has passed.
async fn settled(mut api: Api, viewers: &[i64], asset_type: u32, deadline: Instant) -> Result<Vec<Assets>, Error> {
    let mut found = Vec::with_capacity(viewers.len());
    for viewer in viewers {
        found.push(settled_one(&mut api, *viewer, asset_type, deadline).await?);
    }
    Ok(found)
}

async fn settled_one(api: &mut Api, viewer: i64, asset_type: u32, deadline: Instant) -> Result<Assets, Error> {
    let path = format!("/v1/users/{viewer}/assets");
    loop {
        let answer = api.call("GET", &path, None).await?;
        let assets = assets(&answer, asset_type).ok_or(Error::NoAssets { viewer })?;
        if assets.held == 0 || Instant::now() >= deadline {
            return Ok(assets);
        }
        sleep(PAUSE).await;
    }
}

/// The entry of the asset type, wherever the answer has its list.
fn assets(answer: &Value, asset_type: u32) -> Option<Assets> {
    let lists = match answer {
        Value::Array(list) => vec![list],
        Value::Object(fields) => fields.values().filter_map(Value::as_array).collect(),
        _ => Vec::new(),
    };
    let is_it = |entry: &&Value| entry.get("assetType").and_then(integer) == Some(i64::from(asset_type));
    let entry = lists.into_iter().flatten().find(is_it)?;
    Some(Assets { spendable: integer(entry.get("spendable")?)?, held: integer(entry.get("held")?)? })
}

/// 64-bit numbers come as strings.
fn integer(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_assets_of_the_right_type_are_read() {
        let answer = json!({ "userId": "7", "assets": [
            { "assetType": 2, "spendable": "1", "held": "0", "settled": "1" },
            { "assetType": 1, "spendable": "990", "held": "10", "settled": "1000" },
        ]});
        assert_eq!(assets(&answer, 1), Some(Assets { spendable: 990, held: 10 }));
        assert_eq!(assets(&answer, 3), None);
    }

    #[test]
    fn a_held_amount_and_a_wrong_balance_are_faults_and_a_right_one_is_not() {
        let mut audit = Audit {
            viewers: 2,
            acknowledged: 1,
            acknowledged_twice: 0,
            unclear: 0,
            unsettled: 0,
            wrong_balances: 0,
            settle_ms: 0,
            differences: None,
            faults: Vec::new(),
        };
        audit.compare(1, Assets { spendable: 990, held: 0 }, 990);
        assert!(audit.is_clean());
        audit.compare(2, Assets { spendable: 980, held: 10 }, 990);
        assert_eq!((audit.unsettled, audit.wrong_balances, audit.is_clean()), (1, 1, false));
        assert_eq!(audit.faults[1], "viewer 2: has 980, must have 990");
    }
}
