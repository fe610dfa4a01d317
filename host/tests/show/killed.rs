//! The test: shows side by side on one server, which is killed at random moments until all of them should be over.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::future::join_all;
use greenroom_manifest::Role;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sqlx::{Connection, SqliteConnection};
use tokio::sync::watch;

use crate::accounts::{PLATFORM, agree, balance, reconciled};
use crate::cast::Cast;
use crate::site::Site;
use crate::support::{Server, only};
use crate::visitor::Visitor;
use crate::whole::{PLUGINS, prepare, show};

const SHOWS: i64 = 2;
const SHOWS_FULL: i64 = 100;
/// Shows that go on at the same time.
const AT_ONCE: i64 = 10;
/// Longer than a show is, so that it is killed at its end, too.
const KILLING: Duration = Duration::from_secs(24);
const KILLS_MIN: usize = 8;
/// How long a server is up, in milliseconds.
const UP_MS: std::ops::Range<u64> = 100..2_500;

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_again_and_again_pays_every_pot_and_loses_no_coin() {
    let seed: u64 = std::env::var("SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(rand::random);
    let shows = if std::env::var_os("GREENROOM_TEST_FULL").is_some() { SHOWS_FULL } else { SHOWS };
    println!("seed {seed}, {shows} shows; set SEED to repeat it");
    let mut random = StdRng::seed_from_u64(seed);
    let site = Site::open().await;
    let rooms: Vec<i64> = (1..=shows).collect();
    let (mut kills, mut seen) = (0, BTreeMap::new());
    for (number, rooms) in rooms.chunks(usize::try_from(AT_ONCE).unwrap()).enumerate() {
        let begun = Instant::now();
        let killed = together(&site, rooms, &mut random, &mut seen).await;
        kills += killed;
        println!("part {number}: {} shows under {killed} kills, {:.0?}", rooms.len(), begun.elapsed());
    }
    pots_are_empty(&site).await;
    println!("{shows} shows under {kills} kills: {seen:?}");
    assert!(seen.values().all(|count| *count > 0), "too little has happened to show anything");
}

/// A server that lets everybody ask as often as they like.
async fn start(site: &Site) -> Server {
    site.start_with(only(&PLUGINS).path(), &[("GREENROOM_RATE_LIMITS_USER_PER_SECOND", "0")]).await
}

/// Some shows at the same time, from an empty room to the books. How often the server was killed.
async fn together(site: &Site, rooms: &[i64], random: &mut StdRng, seen: &mut BTreeMap<&'static str, usize>) -> usize {
    let server = start(site).await;
    let (moved, url) = watch::channel(server.url.clone());
    let http = Visitor::http();
    let visitor =
        |user_id: i64, role: Role| Visitor::new(http.clone(), user_id, server.token(user_id, role), vec![url.clone()]);
    let (operator, service) = (visitor(1, Role::Operator), visitor(2, Role::Service));
    let casts: Vec<Cast> = rooms.iter().map(|room| Cast::of(*room, random.random(), visitor)).collect();
    let before = balance(&service, PLATFORM).await;
    join_all(casts.iter().map(|cast| prepare(cast, &service))).await;

    let killing = kill_again_and_again(site, server, &moved, random);
    let (books, (server, kills)) = tokio::join!(join_all(casts.iter().map(show)), killing);
    reconciled(&operator).await;
    let mut coins = balance(&service, PLATFORM).await - before;
    for (cast, books) in casts.iter().zip(books) {
        coins += agree(cast, &books, &service).await;
        for (what, count) in books.seen {
            *seen.entry(what).or_default() += count;
        }
    }
    assert_eq!(coins, 0, "what some have lost others have");
    server.stop();
    kills
}

/// SIGKILL, and a new start, at random. The last server stays.
async fn kill_again_and_again(
    site: &Site,
    mut server: Server,
    moved: &watch::Sender<String>,
    random: &mut StdRng,
) -> (Server, usize) {
    let (begun, mut kills) = (Instant::now(), 0);
    while begun.elapsed() < KILLING || kills < KILLS_MIN {
        tokio::time::sleep(Duration::from_millis(random.random_range(UP_MS))).await;
        server.kill();
        kills += 1;
        server = start(site).await;
        moved.send_replace(server.url.clone());
    }
    (server, kills)
}

/// Every pot that there ever was has paid everything.
async fn pots_are_empty(site: &Site) {
    let url = format!("sqlite://{}", site.data().join("greenroom.db").display());
    let mut database = SqliteConnection::connect(&url).await.unwrap();
    let pots: Vec<(i64, i64)> = sqlx::query_as("SELECT user_id, asset_cn FROM user_asset WHERE user_id < -1000000")
        .fetch_all(&mut database)
        .await
        .unwrap();
    assert!(pots.iter().all(|(_, coins)| *coins == 0), "{pots:?}");
    assert!(!pots.is_empty(), "there were no pots");
    database.close().await.unwrap();
}
