//! What a user has, and how it came to be.

use std::sync::Arc;

use axum::Json as Written;
use axum::extract::{Path, State};
use axum::http::Uri;
use greenroom_manifest::Role;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::problem::{FORBIDDEN, Problem};
use super::wire::{Id, Page, query, time, user_id};
use super::{App, Identity, cursor};
use crate::domain::{AssetType, Part, UserId};
use crate::ledger::Balance;
use crate::ports::db::{Record, RecordCursor};

/// A user's balances.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Assets {
    #[schema(value_type = String)]
    user_id: Id,
    assets: Vec<Asset>,
}

/// One balance, in the asset's smallest unit.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Asset {
    #[schema(value_type = u32)]
    asset_type: AssetType,
    /// Settled less held.
    #[schema(value_type = String)]
    spendable: Id,
    /// Reserved by events on their way.
    #[schema(value_type = String)]
    held: Id,
    /// As booked.
    #[schema(value_type = String)]
    settled: Id,
}

/// A page of records, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Records {
    records: Vec<Line>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// One line of the ledger.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Line {
    event_id: String,
    #[schema(value_type = String)]
    payer_id: Id,
    /// The part of this user: 1 payer, 2 receiver, 3 system.
    op_user_type: i16,
    #[schema(value_type = u32)]
    asset_type: AssetType,
    #[schema(value_type = String)]
    delta: Id,
    event_type: String,
    biz_id: String,
    biz_type: u32,
    obj_id: String,
    /// What the plugin noted.
    #[schema(value_type = Object)]
    record: Value,
    at: String,
}

impl Asset {
    fn new((asset_type, balance): (AssetType, Balance)) -> Self {
        let Balance { spendable, held, settled } = balance;
        Self { asset_type, spendable: spendable.into(), held: held.into(), settled: settled.into() }
    }
}

impl From<Record> for Line {
    fn from(record: Record) -> Self {
        let op_user_type = match record.part {
            Part::Payer => 1,
            Part::Receiver => 2,
            Part::System => 3,
        };
        Self {
            event_id: record.event_id.as_str().to_owned(),
            payer_id: record.payer.into(),
            op_user_type,
            asset_type: record.account.asset_type,
            delta: record.delta.into(),
            event_type: record.event_type,
            biz_id: record.biz_id,
            biz_type: record.biz_type,
            obj_id: record.obj_id,
            record: serde_json::from_str(&record.record_json).unwrap_or(Value::String(record.record_json)),
            at: time(record.at_ms),
        }
    }
}

/// The user of a path, if the caller may look: the user, operators and services.
fn own_user(who: &Identity, user: &str) -> Result<UserId, Problem> {
    let may_see_all = matches!(who.caller.role, Role::Operator | Role::Service);
    // The platform's own accounts have ids below zero.
    let system = user.parse().ok().filter(|id| *id < 0 && may_see_all).map(UserId);
    let user = match system {
        Some(user) => user,
        None if user == "me" => who.user(),
        None => user_id(user)?,
    };
    if user == who.user() || may_see_all {
        return Ok(user);
    }
    Err(Problem::new(FORBIDDEN, "only the user, operators and services may see a user's assets"))
}

/// What can be spent, what is held and what is settled, for each asset type.
#[utoipa::path(get, path = "/v1/users/{user}/assets", tag = "assets",
    params(("user" = String, Path, description = "User id, or `me`")),
    responses((status = 200, description = "The balances.", body = Assets)))]
pub(super) async fn balances(
    State(app): State<Arc<App>>,
    who: Identity,
    Path(user): Path<String>,
) -> Result<Written<Assets>, Problem> {
    let user = own_user(&who, &user)?;
    let balances = app.state.ledger.balances(user).await?;
    Ok(Written(Assets { user_id: user.into(), assets: balances.into_iter().map(Asset::new).collect() }))
}

/// The user's ledger, newest first.
#[utoipa::path(get, path = "/v1/users/{user}/asset-records", tag = "assets",
    params(("user" = String, Path, description = "User id, or `me`"), ("cursor" = Option<String>, Query),
        ("limit" = Option<u32>, Query), ("assetType" = Option<u32>, Query)),
    responses((status = 200, description = "A page.", body = Records)))]
pub(super) async fn records(
    State(app): State<Arc<App>>,
    who: Identity,
    Path(user): Path<String>,
    uri: Uri,
) -> Result<Written<Records>, Problem> {
    let user = own_user(&who, &user)?;
    let page: Page = query(&uri)?;
    let parse = |text: &String| text.parse().map_err(|_| Problem::invalid("assetType", "it is an integer"));
    let asset = page.asset_type.as_ref().map(parse).transpose()?.map(AssetType);
    let scope = format!("records:{user}:{}", asset.map_or_else(String::new, |asset| asset.to_string()));
    let after = page.place(&scope)?.map(RecordCursor);
    let (records, next) = app.state.ledger.records(user, asset, after.as_ref(), page.limit()?).await?;
    let next_cursor = next.map(|place| cursor::write(&scope, &place.0));
    Ok(Written(Records { records: records.into_iter().map(Line::from).collect(), next_cursor }))
}
