//! One viewer.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use greenroom_manifest::Role;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::StatusCode;
use serde_json::Value;

use super::{ANSWER_WAIT, Gift, ROOMS, Shared, Status, VIEWERS};
use crate::history::Function;
use crate::hosts::token;

/// A host that is silent for so long is given up for this request.
const REQUEST_WAIT: Duration = Duration::from_secs(4);
/// Before a gift is sent again.
const RETRY_PAUSE: Duration = Duration::from_millis(150);

/// A viewer with a token, money and a seed.
pub(super) struct Viewer {
    user: i64,
    process: i64,
    random: StdRng,
    http: reqwest::Client,
    token: String,
    shared: Arc<Shared>,
    sent: Vec<Gift>,
}

/// What is known after a request.
enum Reply {
    /// The balance, and whether it was answered before.
    Done { balance: Value, replayed: bool },
    /// For good.
    Refused,
    /// Nothing is known.
    Unknown,
}

impl Viewer {
    pub(super) fn new(user: i64, seed: u64, shared: Arc<Shared>) -> Self {
        let http = reqwest::Client::builder().timeout(REQUEST_WAIT).build().unwrap();
        let random = StdRng::seed_from_u64(seed);
        Self { user, process: user, random, http, token: token(user, Role::Viewer), shared, sent: Vec::new() }
    }

    /// Until the load is stopped. Gives what was sent.
    pub(super) async fn run(mut self) -> Vec<Gift> {
        while !self.shared.stopped.load(Ordering::Relaxed) {
            match self.random.random_range(0..10) {
                0 | 1 => self.look().await,
                2 if self.shared.plan.repeats => self.repeat().await,
                _ => self.give().await,
            }
            let pause = self.shared.plan.pause_max.mul_f64(self.random.random_range(0.0..1.0));
            tokio::time::sleep(pause).await;
        }
        self.sent
    }

    /// Sends a gift until it is answered, refused, or given up.
    async fn give(&mut self) {
        let mut gift = self.new_gift();
        let history = Arc::clone(&self.shared.history);
        history.invoke(self.process, Function::Transfer, &gift.edn());
        let begun = Instant::now();
        let mut stopped_at = None;
        loop {
            match self.send(&gift).await {
                Reply::Done { balance, .. } => {
                    history.ok(self.process, Function::Transfer, &gift.edn());
                    gift.answer = Some((balance, history.now_ms()));
                    self.shared.tally.add(Status::Answered);
                    break;
                }
                Reply::Refused => {
                    history.fail(self.process, Function::Transfer, &gift.edn());
                    self.shared.tally.add(Status::Refused);
                    break;
                }
                Reply::Unknown => {}
            }
            if self.shared.plan.gives_up && self.random.random_bool(0.05) {
                history.info(self.process, Function::Transfer, &gift.edn());
                self.process += VIEWERS;
                self.shared.tally.add(Status::GivenUp);
                break;
            }
            if stopped_at.is_none() && self.shared.stopped.load(Ordering::Relaxed) {
                stopped_at = Some(Instant::now());
            }
            let waited = stopped_at.map_or(Duration::ZERO, |stopped_at| stopped_at.elapsed());
            assert!(waited < ANSWER_WAIT, "{} is never answered, since {:?}", gift.id(), begun.elapsed());
            tokio::time::sleep(RETRY_PAUSE).await;
        }
        self.sent.push(gift);
    }

    fn new_gift(&mut self) -> Gift {
        let number = self.sent.len();
        // Texts of one's own choice are ids too, and several payers choose the same.
        let event_id = if number % 20 == 3 { format!("choice-{number}") } else { uuid::Uuid::now_v7().to_string() };
        let rooms: Vec<_> = ROOMS.into_iter().filter(|(_, streamer)| *streamer != self.user).collect();
        let place = if self.random.random_bool(0.5) { 0 } else { self.random.random_range(0..rooms.len()) };
        Gift::new(self.user, event_id, rooms[place], self.random.random_range(1..=5))
    }

    /// Over one host, or over two at once.
    async fn send(&mut self, gift: &Gift) -> Reply {
        let host = self.host();
        if !self.random.random_bool(0.15) {
            return self.ask(&host, gift).await;
        }
        let other = self.host();
        let replies = tokio::join!(self.ask(&host, gift), self.ask(&other, gift));
        if let (Reply::Done { balance, .. }, Reply::Done { balance: other, .. }) = &replies {
            assert_eq!(balance, other, "{} was answered in two ways", gift.id());
            self.shared.tally.add(Status::Doubled);
        }
        match replies {
            (done @ Reply::Done { .. }, Reply::Refused) | (Reply::Refused, done @ Reply::Done { .. }) => {
                panic!("{} was answered and refused: {:?}", gift.id(), matches!(done, Reply::Done { .. }))
            }
            (Reply::Unknown, known) | (known, _) => known,
        }
    }

    /// Sends again what was answered before: the answer is the same, and nothing is paid.
    async fn repeat(&mut self) {
        if self.sent.is_empty() {
            return;
        }
        let place = self.random.random_range(0..self.sent.len());
        let gift = self.sent[place].clone();
        let Some((before, _)) = &gift.answer else { return };
        let host = self.host();
        match self.ask(&host, &gift).await {
            Reply::Done { balance, replayed } => {
                assert!(replayed, "{} was done again", gift.id());
                assert_eq!(*before, balance, "{} is answered in another way than before", gift.id());
                self.shared.tally.add(Status::Repeated);
            }
            Reply::Refused => panic!("{} was answered, and is refused", gift.id()),
            Reply::Unknown => {}
        }
    }

    /// Reads what can be spent.
    async fn look(&mut self) {
        let history = Arc::clone(&self.shared.history);
        let account = format!(":account {}", self.user);
        history.invoke(self.process, Function::Balance, &format!("{{{account}}}"));
        let url = format!("{}/v1/users/me/assets", self.host());
        match self.answer(self.http.get(url)).await {
            Some((StatusCode::OK, assets)) => {
                let gold = assets["assets"].as_array().unwrap().iter().find(|asset| asset["assetType"] == 1);
                let spendable: i64 = gold.unwrap()["spendable"].as_str().unwrap().parse().unwrap();
                history.ok(self.process, Function::Balance, &format!("{{{account}, :spendable {spendable}}}"));
                self.shared.tally.add(Status::Read);
            }
            // Nothing was read, which is known.
            _ => history.fail(self.process, Function::Balance, &format!("{{{account}}}")),
        }
    }

    async fn ask(&self, host: &str, gift: &Gift) -> Reply {
        let request = self.http.post(format!("{host}{}", gift.path())).json(&gift.body());
        match self.answer(request).await {
            Some((StatusCode::OK, answer)) => {
                Reply::Done { balance: answer["balance"].clone(), replayed: answer["replayed"] == true }
            }
            Some((StatusCode::PAYMENT_REQUIRED, _)) => Reply::Refused,
            // A host that has just started may not know the room yet.
            Some((status, _)) if status.is_server_error() || status == StatusCode::NOT_FOUND => {
                self.shared.tally.add(Status::Unavailable);
                Reply::Unknown
            }
            Some((status, answer)) => panic!("{} was answered with {status} {answer}", gift.id()),
            None => {
                self.shared.tally.add(Status::Lost);
                Reply::Unknown
            }
        }
    }

    async fn answer(&self, request: reqwest::RequestBuilder) -> Option<(StatusCode, Value)> {
        let answer = request.bearer_auth(&self.token).send().await.ok()?;
        let status = answer.status();
        let bytes = answer.bytes().await.ok()?;
        Some((status, serde_json::from_slice(&bytes).unwrap_or_default()))
    }

    fn host(&mut self) -> String {
        let place = self.random.random_range(0..self.shared.hosts.len());
        self.shared.hosts[place].clone()
    }
}
