//! `POST /v1/asset-changes`: the batch interface of payments.
//!
//! One payer's changes are made one after another, in the order of the batch, so that the first is the one whose money is there;
//! different payers' at the same time. A change that is refused is a result like any other; only a request that is none is refused
//! as a whole. An event that is in the batch twice is made once and told twice.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json as Written;
use axum::extract::{Request, State};
use futures::future::{join_all, try_join};
use futures::{StreamExt, stream};
use greenroom_manifest::Role;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::problem::{Problem, TOO_LARGE};
use super::wire::{Id, Text, json};
use super::{App, Identity, body};
use crate::domain::{Account, Amount, AssetType, EventId, UserId};
use crate::ledger::{self, Answer, Transfer};

/// Changes of one batch.
const CHANGES_MAX: usize = 1_000;
/// Payers whose changes are made at the same time.
const PAYERS_AT_ONCE: usize = 64;

/// Up to 1,000 changes.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Batch {
    biz_asset_changes: Vec<Change>,
}

/// A transfer from one user to another.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Change {
    /// Unique for the payer; repeating it changes nothing.
    event_id: String,
    /// Who asks.
    #[schema(value_type = String)]
    op_user_id: Id,
    /// Such as `interactGift`.
    event_type: String,
    /// Such as the room.
    #[schema(value_type = String)]
    biz_id: Text,
    /// 1 live interaction, 2 recharge.
    biz_type: u32,
    /// Such as the gift.
    #[schema(value_type = String)]
    obj_id: Text,
    /// The payer; `incr` is below zero.
    op_user_asset_change: Side,
    /// The receiver; `incr` is the opposite.
    to_user_asset_change: Side,
}

/// One side of a transfer.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Side {
    #[schema(value_type = String)]
    user_id: Id,
    #[schema(value_type = u32)]
    asset_type: AssetType,
    #[schema(value_type = String)]
    incr: Id,
}

/// One result for each change, in order.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Results {
    biz_asset_change_res_list: Vec<Outcome>,
}

/// What became of a change.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Outcome {
    event_id: String,
    /// Whether the value is changed, now or before.
    change_res: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    fail_msg: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    err_code: Option<u32>,
    /// What the payer can spend after it; left out if that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    op_user_asset: Option<Asset>,
}

/// What a user can spend.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Asset {
    #[schema(value_type = String)]
    user_id: Id,
    #[schema(value_type = u32)]
    asset_type: AssetType,
    #[schema(value_type = String)]
    balance: Id,
}

/// Changes the assets of up to 1,000 events; each result says for itself whether it was done.
#[utoipa::path(post, path = "/v1/asset-changes", tag = "assets", request_body = Batch, responses(
    (status = 200, description = "One result for each change, in order.", body = Results),
    (status = 400, description = "`invalid-request`: nothing was done."),
    (status = 413, description = "`too-large`: nothing was done.")))]
pub(super) async fn apply(
    State(app): State<Arc<App>>,
    who: Identity,
    request: Request,
) -> Result<Written<Results>, Problem> {
    who.require(&[Role::Service])?;
    let (parts, body) = request.into_parts();
    body::require_type(&parts.headers, "application/json")?;
    let settings = &app.settings;
    let bytes = body::read(body, &parts.headers, settings.batch_bytes_max, settings.body_timeout).await?;
    let batch: Batch = json(&bytes)?;
    if batch.biz_asset_changes.len() > CHANGES_MAX {
        return Err(Problem::new(TOO_LARGE, format!("`/bizAssetChanges`: at most {CHANGES_MAX} changes")));
    }
    let mut by_payer: BTreeMap<i64, Vec<(usize, Change)>> = BTreeMap::new();
    for (at, change) in batch.biz_asset_changes.into_iter().enumerate() {
        by_payer.entry(change.op_user_asset_change.user_id.0).or_default().push((at, change));
    }
    let one_payer = |changes: Vec<(usize, Change)>| {
        let app = app.clone();
        async move {
            let mut held = Vec::with_capacity(changes.len());
            for (at, change) in changes {
                held.push((at, app.hold(change).await));
            }
            // Only now, and together: one wait serves all that were held before it.
            join_all(held.into_iter().map(async |(at, held)| (at, app.outcome(held).await))).await
        }
    };
    let payers = stream::iter(by_payer.into_values().map(one_payer)).buffer_unordered(PAYERS_AT_ONCE);
    let mut outcomes: Vec<(usize, Outcome)> = payers.concat().await;
    outcomes.sort_unstable_by_key(|(at, _)| *at);
    Ok(Written(Results { biz_asset_change_res_list: outcomes.into_iter().map(|(_, outcome)| outcome).collect() }))
}

/// A change that was asked of the ledger.
struct Held {
    event_id: String,
    payer: Account,
    answer: Result<(EventId, Answer), ledger::Error>,
}

impl App {
    async fn hold(&self, change: Change) -> Held {
        let event_id = change.event_id.clone();
        let side = &change.op_user_asset_change;
        let payer = Account { user_id: UserId(side.user_id.0), asset_type: side.asset_type };
        let answer = match transfer(change, payer) {
            Ok(transfer) => self.state.ledger.transfer(&transfer).await.map(|answer| (transfer.event_id, answer)),
            Err(fault) => Err(ledger::Error::Invalid(fault)),
        };
        Held { event_id, payer, answer }
    }

    /// What is told of it, once it may be.
    async fn outcome(&self, Held { event_id, payer, answer }: Held) -> Outcome {
        let made = match answer {
            Ok((event_id, answer)) => {
                let ledger = &self.state.ledger;
                let tellable = ledger.tellable(payer.user_id, &event_id, answer.digest);
                try_join(ledger.durable(answer.position), tellable).await.map(|_| answer)
            }
            Err(error) => Err(error),
        };
        let asset = |balance: Amount| Asset {
            user_id: payer.user_id.into(),
            asset_type: payer.asset_type,
            balance: balance.into(),
        };
        match made {
            Ok(answer) => Outcome {
                event_id,
                change_res: true,
                fail_msg: None,
                err_code: None,
                op_user_asset: Some(asset(answer.outcome.balance)),
            },
            Err(error) => {
                let balance = self.balance_after(payer, &error).await;
                let problem = Problem::from(error);
                Outcome {
                    event_id,
                    change_res: false,
                    fail_msg: Some(problem.detail().to_owned()),
                    err_code: Some(problem.code()),
                    op_user_asset: balance.map(asset),
                }
            }
        }
    }

    async fn balance_after(&self, payer: Account, error: &ledger::Error) -> Option<Amount> {
        match error {
            ledger::Error::Insufficient { balance, .. } => Some(*balance),
            ledger::Error::Reused(_) | ledger::Error::Invalid(_) if payer.user_id.0 > 0 => {
                self.state.ledger.balance(payer).await.ok().map(|balance| balance.spendable)
            }
            _ => None,
        }
    }
}

/// Checks a change and makes a transfer of it.
fn transfer(change: Change, payer: Account) -> Result<Transfer, String> {
    let Change {
        event_id,
        op_user_id,
        event_type,
        biz_id,
        biz_type,
        obj_id,
        op_user_asset_change: from,
        to_user_asset_change: to,
    } = change;
    let event_id = EventId::new(&event_id).map_err(|fault| format!("eventId: {fault}"))?;
    let amount = Amount(from.incr.0).negated().ok().filter(|amount| amount.is_positive());
    let amount = amount.ok_or("opUserAssetChange.incr: it must be below zero")?;
    if to.incr.0 != amount.0 {
        return Err(format!("toUserAssetChange.incr: it must be {amount}, the opposite of the payer's"));
    }
    if to.asset_type != from.asset_type {
        return Err("toUserAssetChange.assetType: it must be the payer's".to_owned());
    }
    for (name, id) in
        [("opUserId", op_user_id), ("opUserAssetChange.userId", from.user_id), ("toUserAssetChange.userId", to.user_id)]
    {
        if id.0 < 1 {
            return Err(format!("{name}: a user id is an integer of 1 or more"));
        }
    }
    if from.user_id == to.user_id {
        return Err("toUserAssetChange.userId: it must be another user than the payer".to_owned());
    }
    if event_type.is_empty() || event_type.len() > 64 {
        return Err("eventType: 1 to 64 bytes".to_owned());
    }
    Ok(Transfer {
        event_id,
        payer,
        receiver: UserId(to.user_id.0),
        amount,
        event_type,
        biz_id: biz_id.0,
        biz_type,
        obj_id: obj_id.0,
        by: UserId(op_user_id.0),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn checked(edit: impl FnOnce(&mut Value)) -> Result<Transfer, String> {
        let mut change = json!({
            "eventId": "e1", "opUserId": 1, "eventType": "interactGift", "bizId": 7, "bizType": 1, "objId": "2002",
            "opUserAssetChange": {"userId": "1", "assetType": 1, "incr": -10},
            "toUserAssetChange": {"userId": "77", "assetType": 1, "incr": "10"},
        });
        edit(&mut change);
        let change: Change = serde_json::from_value(change).unwrap();
        let side = &change.op_user_asset_change;
        let payer = Account { user_id: UserId(side.user_id.0), asset_type: side.asset_type };
        transfer(change, payer)
    }

    #[test]
    fn a_change_is_a_transfer_between_two_users() {
        let transfer = checked(|_| {}).unwrap();
        assert_eq!((transfer.amount, transfer.receiver, &*transfer.biz_id), (Amount(10), UserId(77), "7"));
    }

    #[test]
    fn a_change_that_makes_or_loses_value_is_refused() {
        let from = |value: Value| checked(move |c| c["opUserAssetChange"]["incr"] = value).unwrap_err();
        for incr in [json!(10), json!(0), json!("-9"), json!(i64::MIN)] {
            assert!(from(incr.clone()).contains("incr"), "{incr}");
        }
        assert!(checked(|c| c["toUserAssetChange"]["assetType"] = json!(2)).unwrap_err().contains("assetType"));
        assert!(checked(|c| c["toUserAssetChange"]["userId"] = json!(1)).unwrap_err().contains("another user"));
        assert!(
            checked(|c| c["opUserAssetChange"]["userId"] = json!(-1)).unwrap_err().contains("opUserAssetChange.userId")
        );
        assert!(checked(|c| c["eventId"] = json!("a b")).unwrap_err().contains("eventId"));
    }
}
