//! The generator against real servers: bare axum, and a small ledger that can be made to cheat.

use std::collections::{HashMap, HashSet};

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::*;

fn args(extra: &[&str]) -> Args {
    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }
    let words = ["bench", "--duration", "20", "--connections", "8", "--viewers", "50"].iter().chain(extra);
    <Cli as clap::Parser>::try_parse_from(words).unwrap().args
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_loop_sends_every_gift_of_the_plan() {
    let report = run_bare(&args(&["--bare", "--gifts-max", "2000"])).await.unwrap();
    assert_eq!(report.acknowledged, 2000);
    assert!(report.answers > 2000 && report.answers < 2300, "{report}");
    assert!(report.errors.is_empty(), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_loop_takes_as_long_as_its_schedule() {
    let args = args(&["--bare", "--gifts-max", "500", "--rate", "500", "--duplicates-permille", "0"]);
    let report = run_bare(&args).await.unwrap();
    assert_eq!(report.answers, 500);
    assert!((0.99..5.0).contains(&report.seconds), "{report}");
}

#[test]
fn only_plain_http_addresses_are_accepted() {
    assert_eq!(authority("http://localhost:8080/").unwrap(), "localhost:8080");
    for wrong in ["https://localhost:8080", "localhost:8080", "http://localhost", "http://localhost:1/v1"] {
        assert!(authority(wrong).is_err(), "{wrong}");
    }
}

const SECRET: &str = "thirty-two bytes of a test secret";

/// What is wrong with the small server.
#[derive(Clone, Copy, PartialEq)]
enum Flaw {
    None,
    /// Pays for every copy of a gift.
    PaysTwice,
    /// Loses the answer of every tenth gift after it has taken effect.
    LosesAnswers,
    /// Never settles the last gift.
    KeepsHold,
}

#[derive(Default)]
struct Books {
    balances: HashMap<String, i64>,
    paid: HashSet<String>,
}

/// A ledger of balances and of the gifts that were paid, behind the interface that the generator uses.
#[derive(Clone)]
struct Small {
    flaw: Flaw,
    books: Arc<Mutex<Books>>,
}

async fn recharge(State(small): State<Small>, Json(body): Json<Value>) -> Json<Value> {
    let amount: i64 = body["amount"].as_str().unwrap().parse().unwrap();
    small.books.lock().balances.insert(body["userId"].as_str().unwrap().into(), amount);
    Json(json!({}))
}

async fn gift(State(small): State<Small>, headers: HeaderMap, Json(body): Json<Value>) -> (StatusCode, Json<Value>) {
    let token = headers["authorization"].to_str().unwrap().strip_prefix("Bearer ").unwrap();
    let key = jsonwebtoken::DecodingKey::from_secret(SECRET.as_bytes());
    let viewer: HashMap<String, Value> =
        jsonwebtoken::decode(token, &key, &jsonwebtoken::Validation::default()).unwrap().claims;
    let Books { balances, paid } = &mut *small.books.lock();
    let replayed = !paid.insert(body["eventId"].as_str().unwrap().into());
    if !replayed || small.flaw == Flaw::PaysTwice {
        *balances.get_mut(viewer["sub"].as_str().unwrap()).unwrap() -= 10;
    }
    if small.flaw == Flaw::LosesAnswers && !replayed && paid.len() % 10 == 0 {
        return (StatusCode::GATEWAY_TIMEOUT, Json(json!({ "errCode": 40002 })));
    }
    (StatusCode::OK, Json(json!({ "total": "10", "replayed": replayed })))
}

async fn assets(State(small): State<Small>, Path(user): Path<String>) -> Json<Value> {
    let held = if small.flaw == Flaw::KeepsHold { "10" } else { "0" };
    let balance = small.books.lock().balances[&user].to_string();
    Json(json!({ "userId": user, "assets": [{ "assetType": 1, "spendable": balance, "held": held }] }))
}

async fn bench_small(flaw: Flaw) -> Report {
    let small = Small { flaw, books: Arc::default() };
    let router = Router::new()
        .route("/v1/rooms", post(|| async { Json(json!({})) }))
        .route("/v1/rooms/{room}/streams", post(|| async { Json(json!({})) }))
        .route("/v1/rooms/{room}/gifts", post(gift))
        .route("/v1/recharges", post(recharge))
        .route("/v1/users/{user}/assets", get(assets))
        .with_state(small);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    let task = tokio::spawn(async move { axum::serve(listener, router).await });
    let patience = if flaw == Flaw::KeepsHold { "1" } else { "20" };
    let extra = ["--server", &server, "--secret", SECRET, "--gifts-max", "2000", "--patience", patience];
    let report = run_server(&args(&[&extra[..], &["--duplicates-permille", "200"]].concat())).await.unwrap();
    task.abort();
    report
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_honest_server_passes_the_audit() {
    let report = bench_small(Flaw::None).await;
    let audit = report.audit.as_ref().unwrap();
    assert!(audit.is_clean() && audit.acknowledged == 2000 && report.replays > 200, "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_pays_for_copies_is_found_out() {
    let report = bench_small(Flaw::PaysTwice).await;
    let audit = report.audit.as_ref().unwrap();
    assert!(audit.wrong_balances > 40 && !audit.faults.is_empty(), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gifts_whose_answer_was_lost_are_asked_for_again_and_counted_once() {
    let report = bench_small(Flaw::LosesAnswers).await;
    assert!(report.errors["40002"] > 100, "{report}");
    let audit = report.audit.as_ref().unwrap();
    assert!(audit.is_clean() && audit.acknowledged == 2000, "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_stays_held_is_a_fault() {
    let report = bench_small(Flaw::KeepsHold).await;
    assert_eq!(report.audit.as_ref().unwrap().unsettled, 50, "{report}");
}
