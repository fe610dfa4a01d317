//! Durability `settled`: whoever is told of a gift finds its books in the database, whatever happens to those who settle.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use greenroom_manifest::Role;
use reqwest::StatusCode;
use sqlx::Connection;
use sqlx::postgres::PgConnection;
use tokio::task::JoinHandle;

use crate::history::{Function, Recorder};
use crate::hosts::token;
use crate::load::{Gift, ROOMS};
use crate::probe::{PROCESS, VIEWER};
use crate::world::{Setup, World};

/// Gifts of the witness between two faults.
const SEEN: usize = 15;
const PATIENCE: Duration = Duration::from_secs(90);
const REQUEST_WAIT: Duration = Duration::from_secs(8);

/// Somebody who sends one gift after the other over all hosts, asks again until each is answered, and then looks into the database.
struct Witness {
    seen: Arc<AtomicUsize>,
    stopped: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Witness {
    fn start(world: &World) -> Self {
        let (seen, stopped) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let hosts: Vec<String> = world.hosts.iter().map(crate::hosts::Host::url).collect();
        let (history, postgres) = (Arc::clone(&world.history), world.site.postgres_url.clone());
        let task = tokio::spawn({
            let (seen, stopped) = (Arc::clone(&seen), Arc::clone(&stopped));
            async move {
                while !stopped.load(Ordering::Relaxed) {
                    let gift = Gift::new(VIEWER, uuid::Uuid::now_v7().to_string(), ROOMS[0], 1);
                    answered(&hosts, &history, &gift).await;
                    assert!(is_posted(&postgres, &gift).await, "{} was answered before it was settled", gift.id());
                    seen.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        Self { seen, stopped, task }
    }

    /// Waits until it has seen so many more gifts.
    async fn sees(&self, more: usize) {
        let (wanted, begun) = (self.seen.load(Ordering::Relaxed) + more, Instant::now());
        while self.seen.load(Ordering::Relaxed) < wanted {
            assert!(!self.task.is_finished(), "the witness has seen something that must not be");
            assert!(begun.elapsed() < PATIENCE, "no gift is answered any more");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn stop(self) {
        self.stopped.store(true, Ordering::Relaxed);
        self.task.await.unwrap();
    }
}

/// Asks one host after the other until the gift is answered.
async fn answered(hosts: &[String], history: &Recorder, gift: &Gift) {
    let http = reqwest::Client::builder().timeout(REQUEST_WAIT).build().unwrap();
    let begun = Instant::now();
    history.invoke(PROCESS, Function::Transfer, &gift.edn());
    for host in hosts.iter().cycle() {
        let request = http.post(format!("{host}{}", gift.path())).bearer_auth(token(VIEWER, Role::Viewer));
        let said = request.json(&gift.body()).send().await.map(|answer| answer.status());
        if matches!(said, Ok(StatusCode::OK)) {
            history.ok(PROCESS, Function::Transfer, &gift.edn());
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{} is never answered: {said:?}", gift.id());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Whether the database has the books of a gift, as soon as it can be asked.
async fn is_posted(postgres: &str, gift: &Gift) -> bool {
    let begun = Instant::now();
    loop {
        let asked = async {
            let mut connection = PgConnection::connect(postgres).await?;
            let posted = sqlx::query_scalar(
                "SELECT EXISTS (SELECT 1 FROM greenroom.event WHERE payer_id = $1 AND event_id = $2 AND NOT voided)",
            );
            posted.bind(gift.payer).bind(&gift.event_id).fetch_one(&mut connection).await
        };
        match asked.await {
            Ok(posted) => return posted,
            // It is being restarted. What was committed before is there afterwards.
            Err(error) => assert!(begun.elapsed() < PATIENCE, "the database never answers: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Every host settles some partitions, so each that is killed is one that settles.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_is_in_the_database_though_hosts_that_settle_are_killed_and_postgres_restarts() {
    let mut world = World::open(Setup::new("settled").durability("settled")).await;
    let witness = Witness::start(&world);
    world.load.answered(60).await;
    witness.sees(SEEN).await;
    for host in 0..world.hosts.len() {
        world.hosts[host].kill();
        witness.sees(SEEN).await;
        world.hosts[host].start().await;
    }
    world.services.postgres().kill().unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.services.postgres().restart().unwrap();
    witness.sees(SEEN).await;
    world.services.postgres().stop().unwrap();
    world.services.postgres().restart().unwrap();
    witness.sees(SEEN).await;
    world.load.answered(60).await;
    witness.stop().await;
    let outcome = world.finish().await;
    assert_eq!(outcome.dead_letters, Vec::<String>::new());
}
