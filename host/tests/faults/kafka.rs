//! Faults of Kafka, which has one broker here: a leader cannot change. What can is which disk of it has a partition, and which host.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use greenroom_manifest::Role;
use reqwest::header::RETRY_AFTER;
use serde_json::json;

use crate::history::Function;
use crate::load::{Gift, Plan, ROOMS, Status, VIEWERS};
use crate::probe;
use crate::services::{Services, folder};
use crate::world::{Setup, World};

/// Long enough for every time-out on the way to Kafka, of which the longest here are 5 s.
const AWAY: Duration = Duration::from_secs(30);
const MOVE_WAIT: Duration = Duration::from_secs(60);
/// Events that may wait in the outbox: 5 in each of 8 buckets.
const OUTBOX_LEN_MAX: usize = 40;

/// With `queued` an answer needs Kafka: while it is away each gift is 503 after a bounded wait, and has one outcome after that.
#[tokio::test(flavor = "multi_thread")]
async fn kafka_that_is_stopped_for_half_a_minute_loses_nothing() {
    let mut world = World::open(Setup::new("kafka_stopped")).await;
    world.load.answered(200).await;
    world.services.kafka().stop().unwrap();
    let unavailable = world.load.tally().count(Status::Unavailable);
    let open = probe::circuit(&world.hosts[0], "kafka", "open");
    let (reached, ()) = tokio::join!(open, tokio::time::sleep(AWAY));
    assert!(reached, "the circuit of Kafka never opened");
    assert!(world.load.tally().count(Status::Unavailable) > unavailable, "an answer did not need Kafka");
    world.services.kafka().restart().unwrap();
    assert!(probe::circuit(&world.hosts[0], "kafka", "closed").await, "the circuit of Kafka never closed");
    world.load.answered(200).await;
    let outcome = world.finish().await;
    assert_eq!(outcome.dead_letters, Vec::<String>::new());
}

/// With `cached` gifts go on meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn gifts_go_on_without_kafka_where_an_answer_does_not_need_it() {
    // Nothing slows the viewers down while Kafka is away, and it needs the machine, too, to start.
    let plan = Plan { pause_max: Duration::from_millis(150), ..Plan::default() };
    let mut world = World::open(Setup::new("kafka_stopped_cached").durability("cached").plan(plan)).await;
    world.load.answered(100).await;
    world.services.kafka().stop().unwrap();
    world.load.answered(300).await;
    let ready = probe::readiness(&world.hosts[0]).await;
    assert_eq!((ready.0, &ready.1["status"]), (200, &json!("degraded")), "{}", ready.1);
    world.services.kafka().restart().unwrap();
    world.load.answered(100).await;
    let outcome = world.finish().await;
    assert_eq!(outcome.dead_letters, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_that_is_killed_and_comes_back_loses_nothing() {
    let mut world = World::open(Setup::new("kafka_killed")).await;
    for _ in 0..2 {
        world.load.answered(150).await;
        world.services.kafka().kill().unwrap();
        world.services.kafka().restart().unwrap();
    }
    world.load.answered(150).await;
    world.finish().await;
}

/// Until the bound of the outbox gifts are taken; then they are refused with `Retry-After` and leave nothing behind.
#[tokio::test(flavor = "multi_thread")]
async fn an_outbox_that_is_full_refuses_gifts_until_kafka_is_back() {
    let bound = ("GREENROOM_DISTRIBUTED_OUTBOX_LEN_MAX".to_owned(), OUTBOX_LEN_MAX.to_string());
    let plan = Plan { pause_max: Duration::from_millis(150), ..Plan::default() };
    let setup = Setup::new("outbox_full").durability("cached").plan(plan).host_environment(vec![vec![bound]; 3]);
    let mut world = World::open(setup).await;
    world.load.answered(100).await;
    world.services.kafka().stop().unwrap();
    let (viewer, host) = (probe::Asker::with(probe::VIEWER, Role::Viewer), &world.hosts[0]);
    let begun = Instant::now();
    let refused = loop {
        let gift = Gift::new(probe::VIEWER, uuid::Uuid::now_v7().to_string(), ROOMS[0], 1);
        world.history.invoke(probe::PROCESS, Function::Transfer, &gift.edn());
        let answer = viewer.give(host, &gift).await;
        if answer.status == 503 {
            // The judge sees to it that it is in nobody's books.
            world.history.fail(probe::PROCESS, Function::Transfer, &gift.edn());
            break answer;
        }
        assert_eq!(answer.status, 200, "{}", answer.body);
        world.history.ok(probe::PROCESS, Function::Transfer, &gift.edn());
        assert!(begun.elapsed() < Duration::from_secs(60), "the outbox is never full");
    };
    assert_eq!(refused.body["errCode"], 40_004, "{}", refused.body);
    assert!(refused.headers.contains_key(RETRY_AFTER), "{:?}", refused.headers);
    assert!(refused.took < Duration::from_secs(1), "{:?}", refused.took);
    world.services.kafka().restart().unwrap();
    world.load.answered(VIEWERS as usize * 20).await;
    let outcome = world.finish().await;
    assert_eq!(outcome.dead_letters, Vec::<String>::new());
}

/// The partitions' leader stays, but what they are made of is carried to the broker's other disk, and back.
#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_move_to_another_disk_lose_nothing() {
    let mut world = World::open(Setup::new("partitions_moved")).await;
    let prefix = format!("{}.", world.site.name);
    for _ in 0..2 {
        world.load.answered(100).await;
        let before = disks(world.services.kafka().folder(), &prefix);
        assert!(!before.is_empty());
        let wanted: BTreeMap<_, _> =
            before.iter().map(|(place, disk)| (place.clone(), if *disk == "a" { "b" } else { "a" })).collect();
        move_to(&mut world.services, &wanted);
        let begun = Instant::now();
        while disks(world.services.kafka().folder(), &prefix) != wanted {
            assert!(begun.elapsed() < MOVE_WAIT, "the partitions do not move");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    world.load.answered(100).await;
    let outcome = world.finish().await;
    assert_eq!(outcome.dead_letters, Vec::<String>::new());
}

/// A host that goes gives its partitions to the others, and gets some back when it comes: in order, and in their midst.
#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_move_between_hosts_lose_nothing() {
    let mut world = World::open(Setup::new("partitions_shared")).await;
    for host in [2, 1, 0] {
        world.load.answered(100).await;
        world.hosts[host].stop();
        world.load.answered(100).await;
        world.hosts[host].start().await;
    }
    world.load.answered(100).await;
    let outcome = world.finish().await;
    assert_eq!(outcome.dead_letters, Vec::<String>::new());
}

/// On which disk each partition of the scenario is, by topic and partition: a folder `topic-partition` there.
fn disks(kafka: &Path, prefix: &str) -> BTreeMap<(String, u32), &'static str> {
    let data = kafka.join("data");
    let mut found = BTreeMap::new();
    for disk in ["a", "b"] {
        for entry in std::fs::read_dir(data.join(disk)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let Some((topic, partition)) = name.rsplit_once('-') else { continue };
            // One that is on its way is called otherwise: `topic-partition.<id>-future`.
            if let (true, Ok(partition)) = (topic.starts_with(prefix), partition.parse()) {
                found.insert((topic.to_owned(), partition), disk);
            }
        }
    }
    found
}

/// Kafka's own tool tells the broker, which goes on by itself.
fn move_to(services: &mut Services, wanted: &BTreeMap<(String, u32), &'static str>) {
    let kafka = services.kafka();
    // By the names that the broker knows them by.
    let data = kafka.folder().join("data");
    let partitions: Vec<_> = wanted
        .iter()
        .map(|((topic, partition), disk)| {
            json!({ "topic": topic, "partition": partition, "replicas": [1], "log_dirs": [data.join(disk)] })
        })
        .collect();
    let plan = folder().join("reassignment.json");
    std::fs::write(&plan, json!({ "version": 1, "partitions": partitions }).to_string()).unwrap();
    let classes = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/services/kafka/libs/*");
    let output = Command::new("java")
        .arg("-cp")
        .arg(classes)
        .arg("org.apache.kafka.tools.reassign.ReassignPartitionsCommand")
        .args(["--bootstrap-server", &kafka.address(), "--execute", "--reassignment-json-file"])
        .arg(&plan)
        .output()
        .unwrap();
    let (said, failed) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{failed}");
}
