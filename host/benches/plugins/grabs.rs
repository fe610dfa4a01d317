//! Grabs of red packets: very many clicks on one of 500 shares, most of which come too late, and packets whose every click is a share.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::generator::{self, Ran, Script};
use crate::house::{Goal, Row};
use crate::limit;
use crate::stage::{self, Stage, Viewers};
use crate::support::event_id;

const GIVER: i64 = 1;
const AMOUNT: i64 = 1_000_000;
/// More than this machine answers in a second.
const CLICKS_PER_S: usize = 60_000;
const LARGE: usize = 10_000;
const ROUNDS_MAX: usize = 100;

struct Grabs {
    path: String,
    viewers: Arc<Viewers>,
    clicks: usize,
    /// By number: who has it, and how much.
    shares: Mutex<BTreeMap<u32, (i64, i64)>>,
    refused: AtomicUsize,
}

#[derive(Deserialize)]
struct Grabbed<'a> {
    number: u32,
    amount: &'a str,
    replayed: bool,
}

#[derive(Deserialize)]
struct Refused<'a> {
    r#type: &'a str,
}

impl Grabs {
    fn new(path: String, viewers: &Arc<Viewers>, clicks: usize) -> Arc<Self> {
        let (shares, refused) = (Mutex::default(), AtomicUsize::new(0));
        Arc::new(Self { path, viewers: viewers.clone(), clicks, shares, refused })
    }

    /// A limit's: the answers are looked at in the same way, and not kept.
    fn of_bare(path: &str, viewers: &Arc<Viewers>) -> Arc<Self> {
        Self::new(stage::path(path), viewers, usize::MAX)
    }
}

impl Script for Grabs {
    fn write(&self, number: usize, request: &mut Vec<u8>) -> bool {
        generator::post(request, &self.path, self.viewers.token(number), "");
        number < self.clicks
    }

    fn answered(&self, number: usize, status: u16, body: &[u8]) {
        match status {
            200 => {
                let grabbed: Grabbed<'_> = serde_json::from_slice(body).unwrap();
                let share = (Viewers::user_id(number), grabbed.amount.parse().unwrap());
                let before = self.shares.lock().insert(grabbed.number, share);
                let is_limit = self.clicks == usize::MAX;
                assert!(is_limit || (before.is_none() && !grabbed.replayed), "a share twice");
            }
            409 => {
                let refused: Refused<'_> = serde_json::from_slice(body).unwrap();
                assert_eq!(refused.r#type, "/problems/packet-empty");
                self.refused.fetch_add(1, Ordering::Relaxed);
            }
            _ => panic!("{status} {}", String::from_utf8_lossy(body)),
        }
    }
}

pub async fn measure(duration: Duration) {
    let config = json!({ "sharesMax": LARGE, "perMinuteCap": 0 });
    let stage = Stage::open("packet", config).await;
    stage.server.recharge(GIVER, AMOUNT * 1_000).await;
    let viewers = stage.viewers(CLICKS_PER_S * duration.as_secs() as usize);
    many_clicks(&stage, &viewers, duration).await;
    all_shares(&stage, &viewers, duration).await;
    stage.server.reconciles().await;
    stage.close();
}

async fn many_clicks(stage: &Stage, viewers: &Arc<Viewers>, duration: Duration) {
    let bare = limit::rate(&Grabs::of_bare("closed/1/grabs", viewers), duration).await;
    let (_, ran) = grab(stage, viewers, 500, viewers.len(), duration).await;
    Row {
        name: "grabs, 500 shares",
        figure: ran.rate(),
        unit: "/s",
        limit: Some(bare),
        ratio: Some(ran.rate() / bare),
        goal: Goal::None,
        contains: "answers to clicks of distinct viewers on one packet of 500 random shares over HTTP, 64 connections; 500 succeed, all \
                   others come too late; then shares, sum and books are exact; limit: a bare axum route with the same refusal",
    }
    .print();
}

async fn all_shares(stage: &Stage, viewers: &Arc<Viewers>, duration: Duration) {
    let bare = limit::rate(&Grabs::of_bare("packets/1/grabs", viewers), duration).await;
    let mut all = Ran { answers: 0, seconds: 0.0 };
    for _ in 0..ROUNDS_MAX {
        let (grabs, ran) = grab(stage, viewers, LARGE, LARGE, Duration::from_secs(600)).await;
        assert_eq!((ran.answers, grabs.refused.load(Ordering::Relaxed)), (LARGE, 0));
        all = Ran { answers: all.answers + ran.answers, seconds: all.seconds + ran.seconds };
        if all.seconds >= duration.as_secs_f64() {
            break;
        }
    }
    Row {
        name: "grabs that succeed",
        figure: all.rate(),
        unit: "/s",
        limit: Some(bare),
        ratio: Some(all.rate() / bare),
        goal: Goal::None,
        contains: "durable shares of packets of 10,000, one after the other, grabbed by as many viewers; the books are written meanwhile and \
                   after; then shares, sum and books are exact; limit: a bare axum route with the same JSON out",
    }
    .print();
}

/// Gives a packet, has it grabbed, and counts: by number, by sum, and as the server lists it once all is paid.
async fn grab(
    stage: &Stage,
    viewers: &Arc<Viewers>,
    shares: usize,
    clicks: usize,
    duration: Duration,
) -> (Arc<Grabs>, Ran) {
    let giver = stage.server.viewer(GIVER);
    let ask = json!({ "eventId": event_id(), "kind": "random", "amount": AMOUNT.to_string(), "shares": shares });
    let given = giver.ok(Method::POST, &stage::path("packets"), ask).await;
    let packet = stage::path(&format!("packets/{}", given["packetId"].as_str().unwrap()));
    let show = async || giver.call(Method::GET, &packet, Value::Null).await.1;
    stage::until(show, |packet| packet["state"] == "open").await;
    let grabs = Grabs::new(format!("{packet}/grabs"), viewers, clicks);
    let ran = generator::run(&stage.authority, &grabs, duration).await;
    let ended = stage::until(show, |packet| packet.get("outcome").is_some()).await;
    assert_eq!((&ended["outcome"]["grabbed"], &ended["outcome"]["returned"]), (&json!(shares), &json!("0")));
    let had = std::mem::take(&mut *grabs.shares.lock());
    let (last, sum) = (had.last_key_value().map(|(number, _)| *number), had.values().map(|(_, amount)| amount).sum());
    assert_eq!((had.len(), last.map(|last| last as usize), sum), (shares, Some(shares), AMOUNT));
    assert_eq!(listed(stage, &packet).await, had, "what the server lists is what was answered");
    eprintln!("{shares} shares, {} too late: exact", grabs.refused.load(Ordering::Relaxed));
    (grabs, ran)
}

async fn listed(stage: &Stage, packet: &str) -> BTreeMap<u32, (i64, i64)> {
    let (giver, mut all, mut cursor) = (stage.server.viewer(GIVER), BTreeMap::new(), String::new());
    loop {
        let page = giver.ok(Method::GET, &format!("{packet}/grabs?limit=100{cursor}"), Value::Null).await;
        for item in page["items"].as_array().unwrap() {
            let number = |field: &str| item[field].as_str().unwrap().parse::<i64>().unwrap();
            let place = u32::try_from(item["number"].as_u64().unwrap()).unwrap();
            assert!(all.insert(place, (number("userId"), number("amount"))).is_none(), "a number twice");
        }
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}
