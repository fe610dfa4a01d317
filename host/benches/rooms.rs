//! Many live rooms with three plugins each: what a room takes in memory, how long a restart takes with them, and how long a stream takes
//! to start among them; and one room with very many participants.
//! `cargo bench --bench rooms -- --rooms 100000 --streams 500 --participants 1000000`

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]
#![allow(clippy::float_arithmetic)]

mod house;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use greenroom::adapters::embedded::SystemClock;
use greenroom::domain::{RoomId, UserId};
use greenroom::room::{NewRoom, PluginChoice, Rooms};
use house::participants::{self, Names};
use house::{Goal, House, Row, STREAMER, argument, median, memory};
use sqlx::{Connection, SqliteConnection};

/// The room that the others are copies of.
const TEMPLATE: i64 = 1;
const OPERATOR: UserId = UserId(1);
const PLUGINS: [&str; 3] = ["gift", "hello", "other"];
const PARTICIPANTS: Names = Names {
    counter: "participants counted",
    ranking: "members of a ranking",
    first: "its first 100",
    place: "a place in it",
};

#[tokio::main]
async fn main() {
    let (count, streams) = (argument("rooms", 100_000), argument("streams", 500));
    let folder = house::folder();
    let house = House::open(folder.path(), None).await;
    house.registry.install(&house::built("gift")).await.unwrap();
    let hello = house::built("hello");
    house.registry.install(&hello).await.unwrap();
    let other = house::repacked(&hello, |manifest| {
        manifest.name = "other".into();
        manifest.routes[0].path = "other".into();
    });
    house.registry.install(&other).await.unwrap();
    let rooms = start(&house).await;
    create(&rooms, TEMPLATE).await;
    go_live(&rooms, TEMPLATE).await;
    drop(rooms);
    copy(folder.path(), count).await;

    let before = memory("VmRSS");
    let started = Instant::now();
    let rooms = start(&house).await;
    let restart = started.elapsed().as_secs_f64();
    let each = (memory("VmRSS") - before) / count as f64;
    assert_eq!(rooms.held_len(), count);

    let mut took = Vec::with_capacity(streams);
    for room in (count as i64 + 1..).take(streams) {
        create(&rooms, room).await;
        let started = Instant::now();
        go_live(&rooms, room).await;
        took.push(started.elapsed().as_secs_f64() * 1e3);
    }
    let row = |name, figure, unit, contains| {
        Row { name, figure, unit, limit: None, ratio: None, goal: Goal::None, contains }.print();
    };
    row(
        "memory of a live room",
        each,
        "bytes",
        "growth of the resident memory when 100,000 live rooms (or --rooms) with three plugins each are loaded, by their number; what \
         reading them from the database left behind is in it",
    );
    row(
        "rooms at a restart",
        restart,
        "s",
        "Rooms::start: reading all of them from the database and making them ready",
    );
    row(
        "start of a stream",
        median(took),
        "ms",
        "median of Rooms::start_stream among them: the lifecycle calls, of which gift's looks at its catalogue, and the durable commit",
    );
    participants::measure(&*house.cache, &PARTICIPANTS).await;
    house.embedded.close().await.unwrap();
}

async fn start(house: &House) -> Arc<Rooms> {
    Arc::new(Rooms::start(house.db.clone(), house.registry.clone(), Arc::new(SystemClock)).await.unwrap())
}

async fn create(rooms: &Rooms, room: i64) {
    let new = NewRoom { room_id: Some(RoomId(room)), title: format!("Room {room}"), streamers: vec![STREAMER] };
    rooms.create(OPERATOR, new).await.unwrap();
}

async fn go_live(rooms: &Rooms, room: i64) {
    let choice = |name: &&str| PluginChoice { name: (*name).into(), version: None, config: None };
    rooms.start_stream(OPERATOR, RoomId(room), PLUGINS.iter().map(choice).collect()).await.unwrap();
}

/// Copies the template's rows in one transaction: making so many rooms one by one would measure the disk for minutes.
async fn copy(dir: &Path, count: usize) {
    let url = format!("sqlite://{}", dir.join("greenroom.db").display());
    let mut db = SqliteConnection::connect(&url).await.unwrap();
    let numbers = format!("WITH RECURSIVE c(n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM c WHERE n < {count})");
    let rooms = format!(
        "{numbers} INSERT INTO room (room_id, title, streamers, created_at, version, stream_id, stream_started_at) \
         SELECT n, 'Room ' || n, streamers, created_at, version, printf('0192f3c1-7d2a-7000-8000-%012x', n), stream_started_at \
         FROM c, room WHERE room_id = {TEMPLATE}"
    );
    let bindings = format!(
        "{numbers} INSERT INTO binding (room_id, plugin, version, enabled, config, canary_version, canary_percent) \
         SELECT n, plugin, version, enabled, config, canary_version, canary_percent FROM c, binding WHERE room_id = {TEMPLATE}"
    );
    for sql in [rooms, bindings] {
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&mut db).await.unwrap();
    }
    db.close().await.unwrap();
}
