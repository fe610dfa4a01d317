//! Messages that come twice, late, or that nobody can read.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};

use crate::world::{Setup, World};

const KAFKA_WAIT: Duration = Duration::from_secs(20);

/// Relays that see their acknowledgements late are killed between publishing and removing: others publish the same again. The networks
/// are slow in different ways, so that copies of one event overtake those of others.
#[tokio::test(flavor = "multi_thread")]
async fn messages_that_are_published_again_and_overtake_each_other_are_settled_once() {
    let mut world = World::open(Setup::new("duplicates").proxied()).await;
    for round in 0..3 {
        let host = round % world.hosts.len();
        let slow = world.network(host);
        slow.redis.delay(Duration::from_millis(120));
        world.network((host + 1) % world.hosts.len()).kafka.delay(Duration::from_millis(300));
        world.load.answered(60).await;
        world.hosts[host].kill();
        world.network(host).pass();
        world.network((host + 1) % world.hosts.len()).pass();
        world.load.answered(60).await;
        world.hosts[host].start().await;
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poison_message_becomes_a_dead_letter_and_its_partition_goes_on() {
    let mut world = World::open(Setup::new("poison")).await;
    world.load.answered(100).await;
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", world.services.kafka().address());
    let producer: FutureProducer = client.create().unwrap();
    let metadata = producer.client().fetch_metadata(None, KAFKA_WAIT).unwrap();
    let topics = metadata.topics().iter().filter(|topic| topic.name().starts_with(&world.site.name));
    let partitions: Vec<(&str, i32)> =
        topics.flat_map(|topic| topic.partitions().iter().map(|partition| (topic.name(), partition.id()))).collect();
    assert!(!partitions.is_empty());
    for (topic, partition) in &partitions {
        let poison = FutureRecord::to(topic).partition(*partition).key("1001").payload(&[1, 2, 255]);
        producer.send(poison, KAFKA_WAIT).await.unwrap();
    }
    world.load.answered(200).await;
    let outcome = world.finish().await;
    assert_eq!(outcome.dead_letters.len(), partitions.len(), "{:?}", outcome.dead_letters);
}
