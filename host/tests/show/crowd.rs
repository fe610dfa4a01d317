//! Very many users, each with a request over any of several hosts.

use std::future::Future;
use std::time::Instant;

use futures::{StreamExt, stream};
use greenroom_manifest::Role;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::watch;

use crate::site::Site;
use crate::support::{GOLD, Server, only};
use crate::visitor::{Visitor, number};

pub const ROOM: i64 = 7;
pub const STREAMER: i64 = 77;
const HOSTS: usize = 3;
const PLUGINS: [&str; 3] = ["lottery", "packet", "voting"];
/// Requests that are under way at the same time.
const AT_ONCE: usize = 96;
const FIRST: i64 = 1_000_001;

/// Three hosts, and a room that is live on them.
pub struct Crowd {
    hosts: Vec<Server>,
    http: reqwest::Client,
    urls: Vec<watch::Receiver<String>>,
    /// Outlives the hosts.
    _data: Vec<TempDir>,
}

impl Crowd {
    pub async fn open(site: &Site) -> Self {
        let (plugins, data) = (only(&PLUGINS), vec![TempDir::new().unwrap(), TempDir::new().unwrap()]);
        let environment = [("GREENROOM_RATE_LIMITS_USER_PER_SECOND", "0")];
        let mut hosts = vec![site.start_with(plugins.path(), &environment).await];
        for data in &data {
            hosts.push(site.host(data.path(), plugins.path(), &environment).await);
        }
        assert_eq!(hosts.len(), HOSTS);
        let urls = hosts.iter().map(|host| watch::channel(host.url.clone()).1).collect();
        let crowd = Self { hosts, http: Visitor::http(), urls, _data: data };
        crowd.begin().await;
        crowd
    }

    async fn begin(&self) {
        let room = json!({ "roomId": ROOM, "title": "Crowd", "streamers": [STREAMER] });
        let operator = self.operator();
        operator.post("/v1/rooms", &room).await.ok();
        let plugins = PLUGINS.map(|name| json!({ "name": name }));
        operator.post(&path("streams"), &json!({ "plugins": plugins })).await.ok();
        let recharge = json!({
            "eventId": "start", "userId": STREAMER, "assetType": GOLD, "amount": 1_000_000,
            "eventType": "orderApple", "orderId": "start", "transactionId": "start",
        });
        self.somebody(2, Role::Service, 0).post("/v1/recharges", &recharge).await.ok();
        for host in 0..HOSTS {
            self.somebody(1, Role::Operator, host).until(&path("polls"), |polls| !polls.is_null()).await;
        }
    }

    pub fn somebody(&self, user_id: i64, role: Role, host: usize) -> Visitor {
        let token = self.hosts[0].token(user_id, role);
        Visitor::new(self.http.clone(), user_id, token, vec![self.urls[host % HOSTS].clone()])
    }

    pub fn operator(&self) -> Visitor {
        self.somebody(1, Role::Operator, 0)
    }

    pub fn streamer(&self) -> Visitor {
        self.somebody(STREAMER, Role::Streamer, 1)
    }

    /// So many viewers do something, many at the same time; each is there on one host and on the next, and has a number from 0.
    pub async fn all<A, F: Future<Output = A>>(
        &self,
        count: usize,
        act: impl Fn(Visitor, Visitor, usize) -> F,
    ) -> Vec<A> {
        let begun = Instant::now();
        let viewers = (0..count).map(|number| {
            let user_id = FIRST + i64::try_from(number).unwrap();
            let on = |host| self.somebody(user_id, Role::Viewer, host);
            act(on(number), on(number + 1), number)
        });
        let answers = stream::iter(viewers).buffer_unordered(AT_ONCE).collect().await;
        println!("{count} viewers took {:.1?}", begun.elapsed());
        answers
    }

    /// Waits until somebody has so many coins.
    pub async fn has(&self, user_id: i64, coins: i64) {
        let is_right = |assets: &Value| {
            let assets = assets["assets"].as_array().cloned().unwrap_or_default();
            let gold = assets.into_iter().find(|asset| asset["assetType"] == GOLD);
            gold.map_or(coins == 0, |gold| number(&gold["settled"]) == coins && number(&gold["held"]) == 0)
        };
        self.somebody(2, Role::Service, 0).until(&format!("/v1/users/{user_id}/assets"), is_right).await;
    }

    /// Everything adds up, and is stopped in order.
    pub async fn close(self, users: &[i64]) {
        let last = &self.hosts[HOSTS - 1];
        last.settled(users).await;
        last.reconciles().await;
        self.hosts.into_iter().for_each(Server::stop);
    }
}

/// Below the room.
pub fn path(path: &str) -> String {
    format!("/v1/rooms/{ROOM}/{path}")
}

/// A success of one of two answers; that there is just one.
pub fn one_of(answers: [Option<Value>; 2]) -> Value {
    let [one, other] = answers;
    assert!(one.is_some() != other.is_some(), "just one of {one:?} and {other:?}");
    one.or(other).unwrap()
}
