//! A host in this process, with a data directory of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use greenroom::app::App;
use greenroom::config::Config;
use greenroom::domain::UserId;
use greenroom::http::auth;
use greenroom_manifest::Role;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::room::Visitor;
use crate::{GOLD, LOOK_EVERY, PATIENCE, Room, TestClock};

const SECRET: &str = "a secret for the tokens of one test";
/// Tokens outlive what a test may advance its clock by: a hundred years.
const TOKEN_TTL_S: u64 = 100 * 366 * 24 * 60 * 60;
/// The streamer of every room.
pub(crate) const STREAMER: i64 = 77;

/// A running host.
pub struct House {
    /// The time of everything in it.
    pub clock: Arc<TestClock>,
    url: String,
    data: TempDir,
    plugins: TempDir,
    http: reqwest::Client,
    rooms: AtomicI64,
    stop: CancellationToken,
    served: JoinHandle<()>,
}

impl House {
    /// Starts a host with these plugins of `target/plugins`, or of `target/guests` if they are for tests alone.
    pub async fn open(plugins: &[&str]) -> Self {
        let (data, folder) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        for name in plugins {
            let file = format!("{name}.wasm");
            let built = built(&file).unwrap_or_else(|| panic!("there is no {file}; run `cargo xtask plugins` first"));
            std::fs::copy(&built, folder.path().join(&file)).unwrap_or_else(|e| panic!("{}: {e}", built.display()));
        }
        Self::start(Arc::new(TestClock::new()), data, folder).await
    }

    /// Stops it in order, and starts it again on its data. Watches end.
    pub async fn restart(self) -> Self {
        self.restart_after(|_| {}).await
    }

    /// The same, but everything outside of the database was lost meanwhile: the cache, timers, events on their way.
    pub async fn restart_from_database(self) -> Self {
        self.restart_after(lose_all_but_database).await
    }

    async fn restart_after(self, meanwhile: impl FnOnce(&Path)) -> Self {
        let rooms = self.rooms.load(Ordering::SeqCst);
        let Self { clock, data, plugins, stop, served, .. } = self;
        stop.cancel();
        served.await.unwrap();
        meanwhile(data.path());
        let house = Self::start(clock, data, plugins).await;
        house.rooms.store(rooms, Ordering::SeqCst);
        house
    }

    /// Asserts that every coin is accounted for, and stops it in order.
    pub async fn close(self) {
        self.reconciles().await;
        self.stop.cancel();
        self.served.await.unwrap();
    }

    async fn start(clock: Arc<TestClock>, data: TempDir, plugins: TempDir) -> Self {
        let config = config(data.path(), plugins.path());
        let app = App::start_at(config, clock.clone()).await.unwrap();
        let url = format!("http://{}", app.address().unwrap());
        let stop = CancellationToken::new();
        let shutdown = stop.clone();
        let served = tokio::spawn(async move { app.serve(shutdown).await.unwrap() });
        Self { clock, url, data, plugins, http: reqwest::Client::new(), rooms: AtomicI64::new(1), stop, served }
    }

    /// A live room with these plugins: `[{"name", "config"?}]`. Its streamer is user 77.
    pub async fn room(&self, plugins: Value) -> Room<'_> {
        let room_id = self.rooms.fetch_add(1, Ordering::SeqCst);
        let operator = self.visitor(1, Role::Operator, String::new());
        let room = json!({ "roomId": room_id, "title": "Test", "streamers": [STREAMER] });
        operator.post("/v1/rooms", room).await.ok();
        operator.post(&format!("/v1/rooms/{room_id}/streams"), json!({ "plugins": plugins })).await.ok();
        Room { house: self, room_id }
    }

    /// A room that was made before, such as before a restart.
    #[must_use]
    pub fn known_room(&self, room_id: i64) -> Room<'_> {
        Room { house: self, room_id }
    }

    /// Credits gold coins to a user.
    pub async fn give(&self, user_id: i64, amount: i64) {
        let order = crate::event_id();
        let recharge = json!({
            "eventId": order, "userId": user_id, "assetType": GOLD, "amount": amount,
            "eventType": "orderApple", "orderId": order, "transactionId": order,
        });
        self.service().post("/v1/recharges", recharge).await.ok();
    }

    /// What a user (or a system account) has in gold once nothing of theirs is held any more. What others pay them may still be on its
    /// way: [`House::reconciles`] waits for that.
    pub async fn settled(&self, user_id: i64) -> i64 {
        let begun = Instant::now();
        loop {
            let assets = self.service().get(&format!("/v1/users/{user_id}/assets")).await;
            if assets.status == 404 {
                return 0;
            }
            let assets = assets.ok();
            let gold = assets["assets"].as_array().unwrap().iter().find(|asset| asset["assetType"] == GOLD).cloned();
            let Some(gold) = gold else { return 0 };
            if gold["held"] == "0" {
                return gold["settled"].as_str().unwrap().parse().unwrap();
            }
            assert!(begun.elapsed() < PATIENCE, "user {user_id} still has open holds: {assets}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until a user has so much gold with every event settled: what the plugin does once books are written may bring more events.
    pub async fn has(&self, user_id: i64, coins: i64) {
        let begun = Instant::now();
        loop {
            self.reconciles().await;
            let settled = self.settled(user_id).await;
            if settled == coins {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "user {user_id} has {settled}, not {coins}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until every event is settled, and asserts that everything adds up.
    pub async fn reconciles(&self) {
        let (operator, begun) = (self.visitor(1, Role::Operator, String::new()), Instant::now());
        // A report looks once only at an account that did not move then: the second sees what came to it meanwhile.
        let mut at_rest = 0;
        while at_rest < 2 {
            let report = operator.get("/v1/reconciliation").await.ok();
            assert_eq!(report["differences"], json!([]), "{report}");
            if report["accountsBusy"] == 0 && report["eventsOnTheirWay"] == 0 {
                at_rest += 1;
                continue;
            }
            at_rest = 0;
            assert!(begun.elapsed() < PATIENCE, "events are still on their way: {report}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn service(&self) -> Visitor {
        self.visitor(2, Role::Service, String::new())
    }

    /// Somebody whose paths are under `place`.
    pub(crate) fn visitor(&self, user_id: i64, role: Role, place: String) -> Visitor {
        let expires_at_s = self.clock.now_ms() / 1_000 + TOKEN_TTL_S;
        let token = auth::issue(SECRET.as_bytes(), UserId(user_id), role, 1, expires_at_s).unwrap();
        Visitor { user_id, http: self.http.clone(), url: self.url.clone(), place, token }
    }
}

fn config(data: &Path, plugins: &Path) -> Config {
    let mut config = Config::load(None, std::iter::empty()).unwrap();
    config.listen = "127.0.0.1:0".parse().unwrap();
    config.data_dir = data.to_owned();
    config.plugins_dir = plugins.to_owned();
    config.auth.hs256_secret = SECRET.to_owned();
    // The machine is shared with other tests, and time stands still: no rate would ever recover.
    config.rate_limits.user_per_second = 0;
    config.rate_limits.room_per_second = 0;
    config
}

fn lose_all_but_database(data: &Path) {
    for entry in std::fs::read_dir(data).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name().to_string_lossy().starts_with("greenroom.db") {
            continue;
        }
        match entry.file_type().unwrap().is_dir() {
            true => std::fs::remove_dir_all(entry.path()).unwrap(),
            false => std::fs::remove_file(entry.path()).unwrap(),
        }
    }
}

/// Where `cargo xtask plugins` puts what it builds.
fn built(file: &str) -> Option<PathBuf> {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
    ["plugins", "guests"].map(|folder| target.join(folder).join(file)).into_iter().find(|built| built.is_file())
}
