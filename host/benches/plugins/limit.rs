//! The limit over HTTP: bare axum routes with the same JSON in and out, in the generator's process.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::Path;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use greenroom::bench::bare::Bare;
use serde::{Deserialize, Serialize};

use crate::generator::{self, Script};

/// Answers a second of bare axum to the same requests.
pub async fn rate(script: &Arc<impl Script>, duration: Duration) -> f64 {
    let router = Router::new()
        .route("/v1/rooms/{room}/polls/{poll}/votes", post(vote))
        .route("/v1/rooms/{room}/packets/{packet}/grabs", post(grab))
        .route("/v1/rooms/{room}/closed/{packet}/grabs", post(refuse))
        .route("/v1/rooms/{room}/likes", post(like));
    let bare = Bare::serve(router).await.unwrap();
    let ran = generator::run(&bare.address.to_string(), script, duration).await;
    bare.stop().await;
    ran.rate()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Vote {
    #[serde(rename = "eventId")]
    _event_id: String,
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    option: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Voted {
    poll_id: String,
    state: &'static str,
    given: Vec<Line>,
    reserved: Vec<Line>,
    votes_left: u32,
    replayed: bool,
}

#[derive(Serialize)]
struct Line {
    option: u32,
    votes: u32,
    points: i64,
}

async fn vote(Path((_, poll_id)): Path<(String, String)>, Json(vote): Json<Vote>) -> Json<Voted> {
    let given = vote.choices.iter().map(|choice| Line { option: choice.option, votes: 1, points: 1 }).collect();
    Json(Voted { poll_id, state: "counted", given, reserved: Vec::new(), votes_left: 0, replayed: false })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Grabbed {
    packet_id: String,
    number: u32,
    asset_type: u32,
    amount: &'static str,
    replayed: bool,
}

async fn grab(Path((_, packet_id)): Path<(String, String)>) -> Json<Grabbed> {
    Json(Grabbed { packet_id, number: 1, asset_type: 1, amount: "213", replayed: false })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Refused {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: &'static str,
    err_code: u32,
    extra: Shares,
}

#[derive(Serialize)]
struct Shares {
    shares: u32,
}

async fn refuse(Path((_, _packet_id)): Path<(String, String)>) -> (StatusCode, Json<Refused>) {
    let refused = Refused {
        r#type: "/problems/packet-empty",
        title: "packet empty",
        status: 409,
        detail: "all 500 shares of this packet are gone",
        err_code: 50_001,
        extra: Shares { shares: 500 },
    };
    (StatusCode::CONFLICT, Json(refused))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Likes {
    #[serde(rename = "eventId")]
    _event_id: String,
    count: u32,
}

#[derive(Serialize)]
struct Liked {
    counted: u32,
    replayed: bool,
}

async fn like(Json(likes): Json<Likes>) -> Json<Liked> {
    Json(Liked { counted: likes.count, replayed: false })
}
