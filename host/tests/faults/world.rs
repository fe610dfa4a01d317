//! A scenario's world: services, hosts over them, and a load; and how it ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use greenroom_manifest::Role;
use rand::random;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::MutexGuard;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::audit::{self, Auditor};
use crate::history::Recorder;
use crate::hosts::{Host, token};
use crate::load::{FIRST_VIEWER, Load, POOR, Plan, ROOMS, START, START_OF_POOR, VIEWERS, viewers};
use crate::services::Services;
use crate::site::{Network, Site};
use crate::verdict::{self, Outcome};

/// A new installation holds nothing before nothing of an older one can be on its way.
const BEGIN_WAIT: Duration = Duration::from_secs(60);
const GOLD: u32 = 1;
const HOSTS: usize = 3;
/// Adding everything up looks forty times at what differs.
const CALL_WAIT: Duration = Duration::from_secs(60);

/// What a scenario wants.
#[derive(Debug, Clone)]
pub struct Setup {
    scenario: &'static str,
    durability: &'static str,
    is_clustered: bool,
    is_proxied: bool,
    plan: Plan,
    host_environment: Vec<Vec<(String, String)>>,
}

impl Setup {
    /// Three hosts over a single Redis, durability `queued`. The name is the folder of what is recorded, below `target/faults`.
    pub fn new(scenario: &'static str) -> Self {
        let plan = Plan::default();
        Self {
            scenario,
            durability: "queued",
            is_clustered: false,
            is_proxied: false,
            plan,
            host_environment: Vec::new(),
        }
    }

    /// Over the Redis Cluster.
    pub fn clustered(self) -> Self {
        Self { is_clustered: true, ..self }
    }

    /// With a network of each host's own in front of each service: [`World::network`].
    pub fn proxied(self) -> Self {
        Self { is_proxied: true, ..self }
    }

    /// Another durability.
    pub fn durability(self, durability: &'static str) -> Self {
        Self { durability, ..self }
    }

    /// Another load.
    pub fn plan(self, plan: Plan) -> Self {
        Self { plan, ..self }
    }

    /// Variables for each host, the first for the first, beside those that all have.
    pub fn host_environment(self, host_environment: Vec<Vec<(String, String)>>) -> Self {
        Self { host_environment, ..self }
    }
}

/// Services, hosts, a room for each streamer, viewers with money, and a load over them.
///
/// A scenario opens it, lets some gifts through, does its worst, lets some more through, and calls [`World::finish`], which mends what is
/// broken, waits until all is settled, and judges.
pub struct World {
    setup: Setup,
    // Dropped first where a scenario fails: who gets the services next starts its own hosts in the same folders.
    pub hosts: Vec<Host>,
    pub services: MutexGuard<'static, Services>,
    pub site: Site,
    networks: Vec<Network>,
    pub history: Arc<Recorder>,
    pub load: Load,
    auditor: (CancellationToken, JoinHandle<Auditor>),
    begun: Instant,
}

impl World {
    /// Starts everything; the load runs when this returns. `SEED` in the environment repeats a load.
    pub async fn open(setup: Setup) -> Self {
        let begun = Instant::now();
        let seed: u64 = std::env::var("SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(random);
        println!("{}: seed {seed}; set SEED to repeat it", setup.scenario);
        let mut services = Services::take(setup.is_clustered).await;
        let site = Site::open(&mut services, setup.is_clustered).await;
        let mut networks = Vec::new();
        let mut hosts = Vec::new();
        for number in 0..HOSTS {
            if setup.is_proxied {
                networks.push(site.network().await);
            }
            let mut environment = site.environment(setup.durability, networks.last());
            environment.extend(setup.host_environment.get(number).cloned().unwrap_or_default());
            hosts.push(Host::new(services.folder(), number, environment));
        }
        futures::future::join_all(hosts.iter_mut().map(Host::start)).await;
        prepare(&hosts).await;
        let history = Arc::new(Recorder::new());
        let mut auditor = Auditor::new(&site.postgres_url, Arc::clone(&history));
        auditor.read_surely().await;
        let stop = CancellationToken::new();
        let auditor = (stop.clone(), tokio::spawn(auditor.run(stop)));
        let urls = hosts.iter().map(Host::url).collect();
        let load = Load::start(seed, setup.plan.clone(), urls, Arc::clone(&history));
        println!("{}: begins after {:.1?}", setup.scenario, begun.elapsed());
        Self { setup, hosts, services, site, networks, history, load, auditor, begun }
    }

    /// The networks of a host, if the setup is proxied.
    pub fn network(&self, host: usize) -> &Network {
        &self.networks[host]
    }

    /// Milliseconds since the load began, as in [`Outcome::lost`].
    pub fn now_ms(&self) -> u64 {
        self.history.now_ms()
    }

    /// Mends what is broken, waits until everything is settled, and checks all that must hold. Panics if something does not.
    pub async fn finish(self) -> Outcome {
        self.end(true).await
    }

    /// The same where the durability allows that answered gifts are lost: those are in the outcome, and all else must hold.
    pub async fn finish_with_losses(self) -> Outcome {
        self.end(false).await
    }

    async fn end(mut self, keeps_all: bool) -> Outcome {
        let ending = Instant::now();
        self.services.heal(self.setup.is_clustered);
        self.networks.iter().for_each(Network::pass);
        futures::future::join_all(self.hosts.iter_mut().map(Host::start)).await;
        println!("{}: {}", self.setup.scenario, self.load.tally());
        let tally = self.load.tally().to_string();
        let gifts = self.load.stop().await;
        println!(
            "{}: the last gift is answered {:.1?} after the end of the faults",
            self.setup.scenario,
            ending.elapsed()
        );
        let report = audit::settled(&self.hosts[0]).await;
        self.auditor.0.cancel();
        let mut auditor = self.auditor.1.await.unwrap();
        let books = auditor.close().await;
        let file = self.history.write(self.setup.scenario);
        let outcome = verdict::judge(&file, &gifts, &books, keeps_all);
        for user in viewers().chain(ROOMS.map(|(_, streamer)| streamer)) {
            audit::same_balance(&self.hosts, user, &books).await;
        }
        let (adds_up, said) = self.hosts[0].reconcile();
        assert!(adds_up, "{said}");
        self.hosts.iter_mut().for_each(Host::stop);
        println!(
            "{}: {:.1?}; {tally}; {} dead letters, {} lost; {}",
            self.setup.scenario,
            self.begun.elapsed(),
            books.dead_letters.len(),
            outcome.lost.len(),
            report
        );
        outcome
    }
}

/// A room for each streamer, money for each viewer, and a host each that knows of it.
async fn prepare(hosts: &[Host]) {
    let (operator, service) = (Caller::new(Role::Operator), Caller::new(Role::Service));
    let url = hosts[0].url();
    for (room, streamer) in ROOMS {
        let body = json!({ "roomId": room, "title": "Test", "streamers": [streamer] });
        operator.surely(Method::POST, &format!("{url}/v1/rooms"), &body).await;
        let body = json!({ "plugins": [{ "name": "gift" }] });
        operator.surely(Method::POST, &format!("{url}/v1/rooms/{room}/streams"), &body).await;
    }
    for user in viewers() {
        let amount = if user < FIRST_VIEWER + VIEWERS - POOR { START } else { START_OF_POOR };
        let body = json!({
            "eventId": format!("recharge-{user}"), "userId": user, "assetType": GOLD, "amount": amount,
            "eventType": "orderApple", "orderId": "o1", "transactionId": "t1",
        });
        service.surely(Method::POST, &format!("{url}/v1/recharges"), &body).await;
    }
    for host in hosts {
        let (room, _) = ROOMS[ROOMS.len() - 1];
        operator.surely(Method::GET, &format!("{}/v1/rooms/{room}/gifts", host.url()), &Value::Null).await;
    }
    // The cache gives out balances once its buckets have recovered.
    for user in viewers() {
        service.surely(Method::GET, &format!("{url}/v1/users/{user}/assets"), &Value::Null).await;
    }
}

/// Somebody with a token, who asks until there is an answer.
pub struct Caller {
    http: reqwest::Client,
    token: String,
}

impl Caller {
    pub fn new(role: Role) -> Self {
        let http = reqwest::Client::builder().timeout(CALL_WAIT).build().unwrap();
        Self { http, token: token(1, role) }
    }

    /// The JSON of a success, asked for again until it is one.
    pub async fn surely(&self, method: Method, url: &str, body: &Value) -> Value {
        let begun = Instant::now();
        loop {
            let mut request = self.http.request(method.clone(), url).bearer_auth(&self.token);
            if !body.is_null() {
                request = request.json(body);
            }
            let said = match request.send().await {
                Ok(answer) if answer.status().is_success() => return answer.json().await.unwrap_or_default(),
                // Asked for twice because the first answer was lost.
                Ok(answer) if answer.status() == StatusCode::CONFLICT && method == Method::POST => return Value::Null,
                Ok(answer) => format!("{} {}", answer.status(), answer.text().await.unwrap_or_default()),
                Err(error) => error.to_string(),
            };
            assert!(begun.elapsed() < BEGIN_WAIT, "{method} {url} is never a success: {said}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}
