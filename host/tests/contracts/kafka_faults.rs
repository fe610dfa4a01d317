//! What only a broker can do wrong: it goes away, it moves partitions from one host to another, it has messages that nobody can read.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use greenroom::adapters::kafka::{self, KafkaQueue, Settings};
use greenroom::ports::queue::{Consumer, Delivery, Error, Queue};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{FutureProducer, FutureRecord};
use tokio::time::{Instant, timeout};

use crate::fixture::*;
use crate::outage;
use crate::proxy::{Proxy, Service};
use crate::queue::{BRIEF, WAIT, after, ids, read};
use crate::{brokers, settings};

/// Reads until a condition holds, at most for a while.
pub(crate) async fn read_until(
    consumer: &mut dyn Consumer,
    all: &mut Vec<Delivery>,
    is_done: impl Fn(&[Delivery]) -> bool,
) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is_done(all) {
        assert!(Instant::now() < deadline, "only {} came", all.len());
        match consumer.poll(100, Duration::from_millis(200)).await {
            Ok(some) => all.extend(some),
            Err(error) => println!("not now: {error}"),
        }
    }
}

/// Every one of these came, and of each key for the first time in order.
pub(crate) fn assert_complete(all: &[Delivery], keys: usize, each: usize) {
    let mut seen: HashMap<&str, BTreeSet<usize>> = HashMap::new();
    for delivery in all {
        let number: usize = delivery.event.event_id.as_str().rsplit('-').next().unwrap().parse().unwrap();
        let seen = seen.entry(&delivery.event.key).or_default();
        assert!(number <= seen.len(), "{number} of {} came before {}", delivery.event.key, seen.len());
        seen.insert(number);
    }
    assert_eq!(seen.len(), keys);
    assert!(seen.values().all(|numbers| numbers.len() == each));
}

async fn publish_surely(queue: &KafkaQueue, events: Vec<greenroom::domain::Event>) {
    let again = async {
        while let Err(error) = queue.publish(events.clone()).await {
            println!("not published: {error}");
        }
    };
    timeout(Duration::from_secs(30), again).await.expect("the queue is back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_away_for_a_while_loses_nothing() {
    let proxy = Proxy::open(Service::Kafka, &brokers()).await;
    let settings = Settings { brokers: proxy.address(), delivery_timeout: Duration::from_secs(2), ..settings() };
    let queue = kafka::open(settings).await.unwrap();
    let topic: Arc<str> = new_name("t").into();
    let group = new_name("g");
    let mut consumer = queue.subscribe(&group, std::slice::from_ref(&topic)).await.unwrap();
    let batch =
        |number: usize| (0..5).map(|key| told(&topic, &format!("k{key}"), &format!("k{key}-{number}"))).collect();
    let mut all = Vec::new();
    queue.publish(batch(0)).await.unwrap();
    read_until(&mut *consumer, &mut all, |all| all.len() >= 5).await;

    proxy.cut();
    let begun = Instant::now();
    assert!(matches!(queue.publish(batch(1)).await, Err(Error::Unavailable(_))));
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    assert!(consumer.commit(after(&all)).await.is_err() || queue.check().await.is_err());
    proxy.pass();

    for number in 1..20 {
        publish_surely(&queue, batch(number)).await;
    }
    read_until(&mut *consumer, &mut all, |all| {
        all.iter().map(|d| d.event.event_id.as_str()).collect::<BTreeSet<_>>().len() == 100
    })
    .await;
    assert_complete(&all, 5, 20);
    let committed = async {
        while let Err(error) = consumer.commit(after(&all)).await {
            println!("not committed: {error}");
            consumer.poll(1, BRIEF).await.ok();
        }
    };
    timeout(Duration::from_secs(30), committed).await.unwrap();
    assert_eq!(queue.lag().await.unwrap().get(&group), Some(&0));
}

/// The client notes every connection that is refused. A host that looks again half a second after each error must not go through all
/// of them before it reads on.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_noted_while_a_broker_was_away_is_told_at_once() {
    let proxy = Proxy::open(Service::Kafka, &brokers()).await;
    let settings = Settings { brokers: proxy.address(), delivery_timeout: Duration::from_secs(2), ..settings() };
    let queue = kafka::open(settings).await.unwrap();
    let topic: Arc<str> = new_name("t").into();
    let mut consumer = queue.subscribe(&new_name("g"), std::slice::from_ref(&topic)).await.unwrap();
    queue.publish(vec![told(&topic, "k", "1")]).await.unwrap();
    let mut all = Vec::new();
    read_until(&mut *consumer, &mut all, |all| all.len() == 1).await;
    proxy.cut();
    tokio::time::sleep(Duration::from_secs(10)).await;
    proxy.pass();
    publish_surely(&queue, vec![told(&topic, "k", "2")]).await;
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut errors = 0;
    loop {
        assert!(Instant::now() < deadline, "nothing comes any more");
        match consumer.poll(10, Duration::from_secs(1)).await {
            Ok(some) if some.is_empty() => {}
            Ok(_) => break,
            Err(_) => errors += 1,
        }
    }
    assert!(errors <= 5, "{errors} errors came before the message");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_silent_costs_no_waiting_once_its_circuit_is_open() {
    let proxy = Proxy::open(Service::Kafka, &brokers()).await;
    let (delivery_timeout, request_timeout) = (Duration::from_secs(1), Duration::from_millis(400));
    let settings = Settings { brokers: proxy.address(), delivery_timeout, request_timeout, ..settings() };
    let queue = kafka::open(settings).await.unwrap();
    let topic = new_name("t");
    outage::is_borne(queue.guard(), &proxy, async || queue.publish(vec![told(&topic, "k", "1")]).await).await;
    outage::is_borne(queue.guard(), &proxy, async || queue.check().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_to_be_sent_is_bounded() {
    let proxy = Proxy::open(Service::Kafka, &brokers()).await;
    let settings = Settings {
        brokers: proxy.address(),
        delivery_timeout: Duration::from_secs(1),
        buffer_len_max: 10,
        ..settings()
    };
    let queue = kafka::open(settings).await.unwrap();
    let topic = new_name("t");
    let batch: Vec<_> = (0..11).map(|n| told(&topic, "k", &n.to_string())).collect();
    queue.publish(batch[..1].to_vec()).await.unwrap();
    proxy.cut();
    assert!(matches!(queue.publish(batch.clone()).await, Err(Error::Full)));
    proxy.pass();
    publish_surely(&queue, batch[..10].to_vec()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_move_between_hosts_under_traffic_and_nothing_is_missed() {
    let settings = Settings { partitions: 6, ..settings() };
    let (anna, bert) = (kafka::open(settings.clone()).await.unwrap(), kafka::open(settings).await.unwrap());
    let (topic, group): (Arc<str>, String) = (new_name("t").into(), new_name("g"));
    let topics = std::slice::from_ref(&topic);
    let of_anna = anna.subscribe(&group, topics).await.unwrap();
    let publishing = async {
        for number in 0..150 {
            let event = |key: usize| told(&topic, &format!("k{key}"), &format!("k{key}-{number}"));
            anna.publish((0..20).map(event).collect()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    let consume = |mut consumer: Box<dyn Consumer>, stop: tokio_util::sync::CancellationToken| {
        let sender = sender.clone();
        tokio::spawn(async move {
            while !stop.is_cancelled() {
                let Ok(some) = consumer.poll(50, Duration::from_millis(100)).await else { continue };
                if consumer.commit(after(&some)).await.is_err() {
                    println!("not committed");
                }
                some.into_iter().for_each(|delivery| sender.send(delivery).unwrap());
            }
        })
    };
    let (stop_anna, stop_bert) =
        (tokio_util::sync::CancellationToken::new(), tokio_util::sync::CancellationToken::new());
    let first = consume(of_anna, stop_anna.clone());
    let mut second = None;
    let moving = async {
        tokio::time::sleep(Duration::from_millis(400)).await;
        second = Some(consume(bert.subscribe(&group, topics).await.unwrap(), stop_bert.clone()));
        tokio::time::sleep(Duration::from_millis(500)).await;
        stop_anna.cancel();
        first.await.unwrap();
    };
    tokio::join!(publishing, moving);
    let mut all = Vec::new();
    let mut distinct = BTreeSet::new();
    while distinct.len() < 3_000 {
        let delivery = timeout(WAIT, receiver.recv()).await.unwrap_or_else(|_| panic!("{} came", distinct.len()));
        let delivery: Delivery = delivery.unwrap();
        distinct.insert(delivery.event.event_id.to_string());
        all.push(delivery);
    }
    let by_key = |delivery: &Delivery| (delivery.event.key.to_string(), delivery.event.event_id.to_string());
    assert_eq!(all.iter().map(by_key).collect::<BTreeSet<_>>().len(), 3_000);
    let deadline = Instant::now() + WAIT;
    while bert.lag().await.unwrap().get(&group) != Some(&0) {
        assert!(Instant::now() < deadline, "{:?}", bert.lag().await);
    }
    stop_bert.cancel();
    second.unwrap().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_commits_nothing_for_partitions_that_it_gave_away() {
    let settings = Settings { partitions: 4, ..settings() };
    let (anna, bert) = (kafka::open(settings.clone()).await.unwrap(), kafka::open(settings).await.unwrap());
    let (topic, group): (Arc<str>, String) = (new_name("t").into(), new_name("g"));
    let topics = std::slice::from_ref(&topic);
    let mut of_anna = anna.subscribe(&group, topics).await.unwrap();
    anna.publish((0..80).map(|n| told(&topic, &format!("k{n}"), &n.to_string())).collect()).await.unwrap();
    let all = read(&mut *of_anna, 80).await;
    let mut of_bert = bert.subscribe(&group, topics).await.unwrap();
    let mut moved = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(30);
    while moved.is_empty() {
        assert!(Instant::now() < deadline, "nothing was given to bert");
        let again = of_anna.poll(100, BRIEF).await.unwrap();
        assert!(again.is_empty(), "what stays with anna is not delivered again");
        moved.extend(of_bert.poll(100, BRIEF).await.unwrap());
    }
    moved.extend(of_bert.poll(100, Duration::from_millis(500)).await.unwrap());
    let given: BTreeSet<u32> = moved.iter().map(|delivery| delivery.partition).collect();
    let of_given = all.iter().filter(|delivery| given.contains(&delivery.partition)).count();
    assert!((1..80).contains(&of_given), "{of_given}");
    of_anna.commit(after(&all)).await.unwrap();
    assert_eq!(anna.lag().await.unwrap().get(&group), Some(&(of_given as u64)));
    of_bert.commit(after(&moved)).await.unwrap();
    assert_eq!(anna.lag().await.unwrap().get(&group), Some(&((of_given - moved.len()) as u64)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_stuck_with_a_batch_loses_its_partitions_and_commits_nothing() {
    let patience = Duration::from_secs(6);
    let settings = Settings { session_timeout: patience, poll_interval_max: patience, ..settings() };
    let (anna, bert) = (kafka::open(settings.clone()).await.unwrap(), kafka::open(settings).await.unwrap());
    let (topic, group): (Arc<str>, String) = (new_name("t").into(), new_name("g"));
    let topics = std::slice::from_ref(&topic);
    let mut of_anna = anna.subscribe(&group, topics).await.unwrap();
    anna.publish((0..40).map(|n| told(&topic, &format!("k{n}"), &n.to_string())).collect()).await.unwrap();
    let stuck = read(&mut *of_anna, 40).await;
    let mut of_bert = bert.subscribe(&group, topics).await.unwrap();
    let mut again = Vec::new();
    read_until(&mut *of_bert, &mut again, |again| again.len() == 40).await;
    assert!(of_anna.commit(after(&stuck)).await.is_err(), "they are another's");
    assert_eq!(bert.lag().await.unwrap().get(&group), Some(&40));
    of_bert.commit(after(&again)).await.unwrap();
    assert_eq!(bert.lag().await.unwrap().get(&group), Some(&0));
    // It is one of the group again once it polls.
    drop(of_bert);
    anna.publish(vec![told(&topic, "k", "41")]).await.unwrap();
    let mut all = Vec::new();
    read_until(&mut *of_anna, &mut all, |all| ids(all) == ["41"]).await;
}

#[tokio::test]
async fn a_topic_that_is_new_to_a_group_starts_at_its_end_also_while_the_group_is_consumed() {
    let queue = kafka::open(settings()).await.unwrap();
    let topics: [Arc<str>; 2] = [new_name("t").into(), new_name("t").into()];
    let group = new_name("g");
    let mut consumer = queue.subscribe(&group, &topics[..1]).await.unwrap();
    queue.publish(vec![told(&topics[0], "k", "1"), told(&topics[1], "k", "before")]).await.unwrap();
    assert_eq!(ids(&read(&mut *consumer, 1).await), ["1"]);
    drop(queue.subscribe(&group, &topics).await.unwrap());
    queue.publish(vec![told(&topics[1], "k", "2")]).await.unwrap();
    assert_eq!(ids(&read(&mut *consumer, 1).await), ["2"]);
}

#[tokio::test]
async fn a_message_that_cannot_be_read_is_delivered_with_its_bytes_and_holds_nobody_up() {
    let settings = settings();
    let queue = kafka::open(settings.clone()).await.unwrap();
    let topic: Arc<str> = new_name("t").into();
    let mut consumer = queue.subscribe(&new_name("g"), std::slice::from_ref(&topic)).await.unwrap();
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", brokers()).set("partitioner", "murmur2_random");
    let producer: FutureProducer = client.create().unwrap();
    let name = format!("{}{topic}", settings.prefix);
    let poison = FutureRecord::to(&name).key("k").payload(&[1, 2, 255]);
    producer.send(poison, WAIT).await.unwrap();
    queue.publish(vec![told(&topic, "k", "good")]).await.unwrap();
    let all = read(&mut *consumer, 2).await;
    assert!(all[0].fault.is_some() && all[1].fault.is_none());
    assert_eq!((&all[0].event.payload[..], &*all[0].event.topic, &*all[0].event.key), (&[1, 2, 255][..], &*topic, "k"));
    assert_eq!(&*all[1].event.payload, b"good");
    consumer.commit(after(&all)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_make_one_topic_at_once_make_it_as_configured() {
    let settings = Settings { partitions: 5, retention: Duration::from_secs(3_600), ..settings() };
    let hosts = futures::future::join_all((0..3).map(|_| kafka::open(settings.clone()))).await;
    let topic = new_name("t");
    let publish = async |queue: &Result<KafkaQueue, Error>| {
        queue.as_ref().unwrap().publish(vec![told(&topic, "k", "1")]).await.unwrap();
    };
    tokio::join!(publish(&hosts[0]), publish(&hosts[1]), publish(&hosts[2]));
    let name = format!("{}{topic}", settings.prefix);
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", brokers()).create().unwrap();
    let described = admin
        .describe_configs(&[ResourceSpecifier::Topic(&name)], &AdminOptions::new())
        .await
        .unwrap()
        .remove(0)
        .unwrap();
    let configured: BTreeMap<&str, &str> =
        described.entries.iter().filter_map(|entry| Some((entry.name.as_str(), entry.value.as_deref()?))).collect();
    assert_eq!((configured["retention.ms"], configured["min.insync.replicas"]), ("3600000", "1"));
    let metadata = admin.inner().fetch_metadata(Some(&name), WAIT).unwrap();
    assert_eq!(metadata.topics()[0].partitions().len(), 5);
}

#[tokio::test]
async fn a_host_that_stops_hands_its_partitions_over_at_once() {
    let settings = Settings { session_timeout: Duration::from_secs(30), ..settings() };
    let (anna, bert) = (kafka::open(settings.clone()).await.unwrap(), kafka::open(settings).await.unwrap());
    let (topic, group): (Arc<str>, String) = (new_name("t").into(), new_name("g"));
    let topics = std::slice::from_ref(&topic);
    let mut of_anna = anna.subscribe(&group, topics).await.unwrap();
    anna.publish(vec![told(&topic, "k", "1")]).await.unwrap();
    let all = read(&mut *of_anna, 1).await;
    of_anna.commit(after(&all)).await.unwrap();
    drop(of_anna);
    anna.close().await;
    let mut of_bert = bert.subscribe(&group, topics).await.unwrap();
    bert.publish(vec![told(&topic, "k", "2")]).await.unwrap();
    assert_eq!(ids(&read(&mut *of_bert, 1).await), ["2"], "sooner than its session would have ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_starts_waits_for_brokers_that_come_later_but_not_for_ever() {
    let proxy = Proxy::open(Service::Kafka, &brokers()).await;
    proxy.cut();
    let once = Settings {
        brokers: proxy.address(),
        request_timeout: Duration::from_secs(1),
        start_max: Duration::ZERO,
        ..settings()
    };
    assert!(matches!(kafka::open(once.clone()).await, Err(Error::Unavailable(_))));
    let opening = tokio::spawn(kafka::open(Settings { start_max: Duration::from_secs(60), ..once }));
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(!opening.is_finished(), "there is no broker");
    proxy.pass();
    let queue = timeout(Duration::from_secs(90), opening).await.unwrap().unwrap().unwrap();
    queue.check().await.unwrap();
}

#[tokio::test]
async fn a_topic_that_somebody_removed_is_made_again() {
    let settings = Settings { delivery_timeout: Duration::from_secs(2), ..settings() };
    let queue = kafka::open(settings.clone()).await.unwrap();
    let topic = new_name("t");
    queue.publish(vec![told(&topic, "k", "1")]).await.unwrap();
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", brokers()).create().unwrap();
    let name = format!("{}{topic}", settings.prefix);
    admin.delete_topics(&[&name], &AdminOptions::new()).await.unwrap().remove(0).unwrap();
    publish_surely(&queue, vec![told(&topic, "k", "2")]).await;
}

/// Brokers forget offsets of groups without members after a while; a subscription is one.
#[tokio::test]
async fn a_group_whose_subscription_the_brokers_forgot_goes_on_where_it_committed() {
    let settings = settings();
    let queue = kafka::open(settings.clone()).await.unwrap();
    let (topic, group): (Arc<str>, String) = (new_name("t").into(), new_name("g"));
    let topics = std::slice::from_ref(&topic);
    let mut consumer = queue.subscribe(&group, topics).await.unwrap();
    queue.publish((0..3).map(|n| told(&topic, "k", &n.to_string())).collect()).await.unwrap();
    let all = read(&mut *consumer, 3).await;
    consumer.commit(after(&all[..1])).await.unwrap();
    drop(consumer);
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", brokers()).create().unwrap();
    let subscription = format!("{}{group}.subscription", settings.prefix);
    admin.delete_groups(&[&subscription], &AdminOptions::new()).await.unwrap().remove(0).unwrap();
    let mut again = queue.subscribe(&group, topics).await.unwrap();
    assert_eq!(ids(&read(&mut *again, 2).await), ["1", "2"]);
    assert_eq!(queue.lag().await.unwrap().get(&group), Some(&2));
}
