//! The producer over the brokers that librdkafka has for tests.

use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use super::*;
use crate::adapters::kafka::Settings;
use crate::adapters::kafka::names::Names;
use crate::domain::EventId;

const TOPIC: &str = "gift.sent";
const BRIEF: Duration = Duration::from_secs(2);
/// More than a producer asks for in its time.
const ERRORS: usize = 1_000;

fn event() -> Event {
    Event {
        event_id: EventId::new("e").unwrap(),
        topic: TOPIC.into(),
        key: "k".into(),
        room_id: None,
        at_ms: 1,
        held: None,
        payload: bytes::Bytes::new(),
    }
}

fn publisher(brokers: &MockCluster<'_, DefaultProducerContext>) -> Arc<Publisher> {
    let (delivery_timeout, request_timeout) = (BRIEF, BRIEF);
    let settings = Settings { delivery_timeout, request_timeout, ..Settings::new(brokers.bootstrap_servers()) };
    let names = Names::new(&settings.prefix).unwrap();
    let config = Arc::new(Config::new(settings, names).unwrap());
    let topics = Arc::new(Topics::open(Arc::clone(&config)).unwrap());
    Arc::new(Publisher::open(config, topics).unwrap())
}

/// Waits until nobody looks after the producer any more.
async fn number(publisher: &Publisher) -> u64 {
    let rest = async {
        while !publisher.tasks.is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), rest).await.expect("somebody still looks after it");
    publisher.current.lock().number
}

fn brokers() -> MockCluster<'static, DefaultProducerContext> {
    let brokers = MockCluster::new(1).unwrap();
    brokers.create_topic(&format!("greenroom.{TOPIC}"), 1, 1).unwrap();
    brokers
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_that_delivers_nothing_twice_while_the_brokers_answer_is_replaced() {
    let brokers = brokers();
    let publisher = publisher(&brokers);
    publisher.publish(&[event()]).await.unwrap();
    let errors = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT; ERRORS];
    brokers.request_errors(RDKafkaApiKey::Produce, &errors);
    for expected in [0, 1] {
        assert!(matches!(publisher.publish(&[event()]).await, Err(Error::Unavailable(_))));
        assert_eq!(number(&publisher).await, expected);
    }
    brokers.clear_request_errors(RDKafkaApiKey::Produce);
    publisher.publish(&[event()]).await.unwrap();
    assert_eq!(number(&publisher).await, 1, "one that delivers stays");
    publisher.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_that_has_delivered_since_or_whose_brokers_are_away_is_not_replaced() {
    let brokers = brokers();
    let publisher = publisher(&brokers);
    let before = publisher.current.lock().seen();
    publisher.publish(&[event()]).await.unwrap();
    let after = publisher.current.lock().seen();
    for seen in [before, before] {
        publisher.look_after(seen, Instant::now()).await;
    }
    assert_eq!(number(&publisher).await, 0);
    brokers.broker_down(1).unwrap();
    for seen in [after, after] {
        publisher.look_after(seen, Instant::now()).await;
    }
    assert_eq!(number(&publisher).await, 0);
    brokers.broker_up(1).unwrap();
    for seen in [after, after] {
        publisher.look_after(seen, Instant::now()).await;
    }
    assert_eq!(number(&publisher).await, 1, "what is looked at here would be replaced otherwise");
}
