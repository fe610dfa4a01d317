//! Changing rooms while things go wrong.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use greenroom::adapters::embedded::SystemClock;
use greenroom::adapters::sqlite::Sqlite;
use greenroom::domain::{RoomId, UserId};
use greenroom::ports::db::{self, AuditEntry, BindingRow, Error, RoomChange, RoomRow, StreamRow};
use greenroom::room::{BindingChange, NewRoom, PluginChoice, Rooms};
use semver::Version;
use tempfile::TempDir;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::house::House;

const OPERATOR: UserId = UserId(1);

/// A database that has written a change long before it says so.
struct Slow {
    db: Arc<Sqlite>,
    written: Notify,
    answers: Semaphore,
}

#[async_trait]
impl db::Rooms for Slow {
    async fn create(&self, room: &RoomRow, audit: &AuditEntry) -> Result<bool, Error> {
        self.db.create(room, audit).await
    }
    async fn room(&self, id: RoomId) -> Result<Option<(RoomRow, Vec<BindingRow>)>, Error> {
        self.db.room(id).await
    }
    async fn rooms(&self, after: Option<RoomId>, limit: usize) -> Result<Vec<RoomRow>, Error> {
        self.db.rooms(after, limit).await
    }
    async fn change(
        &self,
        id: RoomId,
        version: i64,
        stream: Option<&StreamRow>,
        bindings: &[BindingRow],
        audit: &AuditEntry,
    ) -> Result<bool, Error> {
        let changed = db::Rooms::change(&*self.db, id, version, stream, bindings, audit).await;
        self.written.notify_one();
        self.answers.acquire().await.unwrap().forget();
        changed
    }
    async fn live(&self) -> Result<Vec<(RoomRow, Vec<BindingRow>)>, Error> {
        self.db.live().await
    }
    async fn bound(&self, plugin: &str, version: &Version) -> Result<bool, Error> {
        self.db.bound(plugin, version).await
    }
    async fn note(&self, audit: &AuditEntry) -> Result<(), Error> {
        self.db.note(audit).await
    }
    async fn audit(&self, id: RoomId, before: Option<i64>, limit: usize) -> Result<Vec<AuditEntry>, Error> {
        self.db.audit(id, before, limit).await
    }
    async fn last_change(&self) -> Result<i64, Error> {
        self.db.last_change().await
    }
    async fn changes(&self, after: i64, limit: usize) -> Result<Vec<RoomChange>, Error> {
        self.db.changes(after, limit).await
    }
}

#[tokio::test]
async fn a_change_whose_caller_went_away_is_seen_by_everybody_else() {
    let dir = TempDir::new().unwrap();
    let house = House::open(&dir).await;
    let db = Arc::new(Slow { db: house.db.clone(), written: Notify::new(), answers: Semaphore::new(1) });
    let registry = house.registry(&dir).await;
    let rooms = Arc::new(Rooms::start(db.clone(), registry, Arc::new(SystemClock)).await.unwrap());
    let new = NewRoom { room_id: None, title: "Test".into(), streamers: vec![UserId(77)] };
    let room = rooms.create(OPERATOR, new).await.unwrap().info.room_id;
    rooms.start_stream(OPERATOR, room, Vec::new()).await.unwrap();
    db.written.notified().await;

    let caller = tokio::spawn({
        let rooms = rooms.clone();
        async move { rooms.end_stream(OPERATOR, room).await.map(drop) }
    });
    db.written.notified().await;
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    db.answers.add_permits(1);
    let begun = Instant::now();
    while rooms.get(room).await.unwrap().info.stream.is_some() {
        assert!(begun.elapsed() < Duration::from_secs(10), "the room is still live in memory");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(rooms);
    house.close().await;
}

/// Waits until something is so.
async fn until<F: Future<Output = bool>>(what: &str, is_so: impl Fn() -> F) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < Duration::from_secs(20), "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn what_one_process_changes_another_takes_over() {
    let dir = TempDir::new().unwrap();
    let house = House::open(&dir).await;
    let (here, there) = (house.registry(&dir).await, house.registry(&dir).await);
    let clock = Arc::new(SystemClock);
    let changed = Arc::new(Rooms::start(house.db.clone(), here.clone(), clock.clone()).await.unwrap());
    let followed = Arc::new(Rooms::start(house.db.clone(), there.clone(), clock).await.unwrap());
    let stop = CancellationToken::new();
    let following = tokio::spawn(followed.clone().follow(Duration::from_millis(50), stop.clone()));

    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/plugins/hello.wasm");
    let plugin = here.install(&std::fs::read(file).expect("run `cargo xtask plugins` first")).await.unwrap();
    let name = plugin.manifest.name.clone();
    let new = NewRoom { room_id: None, title: "Test".into(), streamers: vec![UserId(77)] };
    let room = changed.create(OPERATOR, new).await.unwrap().info.room_id;
    let choice = PluginChoice { name: name.clone(), version: None, config: None };
    changed.start_stream(OPERATOR, room, vec![choice]).await.unwrap();
    let healthy = async || followed.bindings(room).await.unwrap().first().is_some_and(|b| b.enabled && b.healthy);
    until("the stream with its plugin", healthy).await;
    assert!(followed.get(room).await.unwrap().info.stream.is_some());

    let change = BindingChange { enabled: false, version: None, config: None, canary: None };
    changed.change_binding(OPERATOR, room, &name, change).await.unwrap();
    until("the toggle", async || !followed.bindings(room).await.unwrap()[0].enabled).await;
    changed.end_stream(OPERATOR, room).await.unwrap();
    until("the end of the stream", async || followed.get(room).await.unwrap().info.stream.is_none()).await;

    here.remove(&name, &plugin.manifest.version).await.unwrap();
    until("the removal", async || there.get(&name, None).is_none()).await;
    stop.cancel();
    following.await.unwrap();
    drop((changed, followed));
    house.close().await;
}
