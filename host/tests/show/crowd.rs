//! Several hosts, and users of them: very many, each with a request over any of them, or a cast whose requests go to one after the other.

use std::future::Future;
use std::time::{Duration, Instant};

use futures::future::join_all;
use futures::{StreamExt, stream};
use greenroom_manifest::Role;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::watch;

use crate::audience::Audience;
use crate::cast::Cast;
use crate::site::Site;
use crate::support::{GOLD, Server, only};
use crate::visitor::{Visitor, number};

pub const ROOM: i64 = 7;
pub const STREAMER: i64 = 77;
pub const HOSTS: usize = 3;
/// Requests that are under way at the same time.
const AT_ONCE: usize = 96;
const FIRST: i64 = 1_000_001;
const WATCHER: i64 = 3;
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Three hosts.
pub struct Crowd {
    hosts: Vec<Server>,
    http: reqwest::Client,
    urls: Vec<watch::Receiver<String>>,
    /// Outlives the hosts.
    _data: Vec<TempDir>,
}

impl Crowd {
    /// Three hosts with these plugins, and no room yet.
    pub async fn open(site: &Site, plugins: &[&str]) -> Self {
        let (plugins, data) = (only(plugins), vec![TempDir::new().unwrap(), TempDir::new().unwrap()]);
        let environment = [("GREENROOM_RATE_LIMITS_USER_PER_SECOND", "0")];
        let mut hosts = vec![site.start_with(plugins.path(), &environment).await];
        for data in &data {
            hosts.push(site.host(data.path(), plugins.path(), &environment).await);
        }
        assert_eq!(hosts.len(), HOSTS);
        let urls = hosts.iter().map(|host| watch::channel(host.url.clone()).1).collect();
        Self { hosts, http: Visitor::http(), urls, _data: data }
    }

    /// A room that is live on all hosts, and whose streamer has coins.
    pub async fn begin(&self, plugins: &[&str]) {
        let room = json!({ "roomId": ROOM, "title": "Crowd", "streamers": [STREAMER] });
        let operator = self.operator();
        operator.post("/v1/rooms", &room).await.ok();
        let plugins: Vec<Value> = plugins.iter().map(|name| json!({ "name": name })).collect();
        operator.post(&path("streams"), &json!({ "plugins": plugins })).await.ok();
        let recharge = json!({
            "eventId": "start", "userId": STREAMER, "assetType": GOLD, "amount": 1_000_000,
            "eventType": "orderApple", "orderId": "start", "transactionId": "start",
        });
        self.service().post("/v1/recharges", &recharge).await.ok();
        for host in 0..HOSTS {
            self.somebody(1, Role::Operator, host).until(&path("polls"), |polls| !polls.is_null()).await;
        }
    }

    /// A cast of the room, each of whose requests goes to another host than the one before.
    pub fn cast(&self) -> Cast {
        Cast::of(ROOM, rand::random(), |user_id, role| self.visitor(user_id, role, self.urls.clone()))
    }

    /// Somebody on one host.
    pub fn somebody(&self, user_id: i64, role: Role, host: usize) -> Visitor {
        self.visitor(user_id, role, vec![self.urls[host % HOSTS].clone()])
    }

    fn visitor(&self, user_id: i64, role: Role, urls: Vec<watch::Receiver<String>>) -> Visitor {
        Visitor::new(self.http.clone(), user_id, self.hosts[0].token(user_id, role), urls)
    }

    pub fn operator(&self) -> Visitor {
        self.somebody(1, Role::Operator, 0)
    }

    /// Over all hosts, so that it outlives any of them.
    pub fn service(&self) -> Visitor {
        self.visitor(2, Role::Service, self.urls.clone())
    }

    pub fn streamer(&self) -> Visitor {
        self.somebody(STREAMER, Role::Streamer, 1)
    }

    /// A viewer on each host that is there who watches a room from now on.
    pub async fn audiences(&self, room: i64) -> Vec<Audience> {
        self.watched_by(WATCHER, room).await
    }

    /// The same user on each host.
    pub async fn watched_by(&self, user_id: i64, room: i64) -> Vec<Audience> {
        let clients: Vec<_> = self.hosts.iter().map(|host| host.viewer(user_id)).collect();
        join_all(clients.iter().map(|client| Audience::open(client, room))).await
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
        self.service().until(&format!("/v1/users/{user_id}/assets"), is_right).await;
    }

    /// Waits until some host has fired timers, and gives its place among those that are there. No other has.
    pub async fn firing(&self) -> usize {
        loop {
            let fired = join_all(self.hosts.iter().map(timers_fired)).await;
            let places: Vec<usize> = (0..fired.len()).filter(|place| fired[*place] > 0.0).collect();
            match places[..] {
                [] => tokio::time::sleep(LOOK_EVERY).await,
                [place] => return place,
                _ => panic!("several hosts have fired timers: {fired:?}"),
            }
        }
    }

    /// SIGKILL. Visitors who ask it are refused, and ask the next one.
    pub fn kill(&mut self, place: usize) {
        self.hosts.remove(place).kill();
    }

    /// Everything adds up, and is stopped in order.
    pub async fn close(self, users: &[i64]) {
        let last = &self.hosts[self.hosts.len() - 1];
        last.settled(users).await;
        last.reconciles().await;
        self.hosts.into_iter().for_each(Server::stop);
    }
}

async fn timers_fired(host: &Server) -> f64 {
    let metrics = reqwest::get(format!("{}/metrics", host.url)).await.unwrap().text().await.unwrap();
    let line = metrics.lines().find_map(|line| line.strip_prefix("greenroom_timers_fired_total "));
    line.map_or(0.0, |count| count.parse().unwrap())
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
