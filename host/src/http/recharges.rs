//! `POST /v1/recharges`: a paid order becomes value, once.

use std::sync::Arc;

use axum::Json as Written;
use axum::extract::State;
use greenroom_manifest::Role;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::problem::Problem;
use super::wire::{Id, Json, Text};
use super::{App, Identity};
use crate::domain::{Account, Amount, AssetType, EventId, UserId};
use crate::ledger::Credit;

/// A paid order.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Recharge {
    /// Unique among all recharges; repeating it credits nothing.
    #[schema(value_type = String)]
    event_id: EventId,
    #[schema(value_type = String)]
    user_id: Id,
    #[schema(value_type = u32)]
    asset_type: AssetType,
    /// 1 or more, in the asset's smallest unit.
    #[schema(value_type = String)]
    amount: Id,
    /// Such as `orderApple`.
    event_type: String,
    #[schema(value_type = String)]
    order_id: Text,
    #[schema(value_type = String)]
    transaction_id: Text,
}

/// What it came to.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Recharged {
    #[schema(value_type = String)]
    event_id: EventId,
    #[schema(value_type = String)]
    user_id: Id,
    #[schema(value_type = u32)]
    asset_type: AssetType,
    #[schema(value_type = String)]
    amount: Id,
    /// What can be spent now.
    #[schema(value_type = String)]
    balance: Id,
    /// Whether it had been credited before.
    replayed: bool,
}

/// Credits a paid order, once.
#[utoipa::path(post, path = "/v1/recharges", tag = "assets", request_body = Recharge, responses(
    (status = 200, description = "Credited, now or before.", body = Recharged),
    (status = 422, description = "`event-id-reused`")))]
pub(super) async fn credit(
    State(app): State<Arc<App>>,
    who: Identity,
    Json(body): Json<Recharge>,
) -> Result<Written<Recharged>, Problem> {
    who.require(&[Role::Service])?;
    if body.user_id.0 < 1 {
        return Err(Problem::invalid("/userId", "a user id is an integer of 1 or more"));
    }
    if body.amount.0 < 1 {
        return Err(Problem::invalid("/amount", "it must be 1 or more"));
    }
    if body.event_type.is_empty() || body.event_type.len() > 64 {
        return Err(Problem::invalid("/eventType", "1 to 64 bytes"));
    }
    let credit = Credit {
        event_id: body.event_id,
        account: Account { user_id: UserId(body.user_id.0), asset_type: body.asset_type },
        amount: Amount(body.amount.0),
        event_type: body.event_type,
        order_id: body.order_id.0,
        transaction_id: body.transaction_id.0,
    };
    let (balance, replayed) = app.state.ledger.credit(&credit).await?;
    Ok(Written(Recharged {
        event_id: credit.event_id,
        user_id: body.user_id,
        asset_type: body.asset_type,
        amount: body.amount,
        balance: balance.spendable.into(),
        replayed,
    }))
}
