//! Dead letters of the distributed mode: in the table, on their topic, and in an operator's hands.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::producer::{FutureProducer, FutureRecord};
use reqwest::Method;
use serde_json::{Value, json};

use crate::site::Site;
use crate::support::{GOLD, Server};

const PAYER: i64 = 1001;
const FULL: i64 = 1002;
const OTHER: i64 = 1003;
const PATIENCE: Duration = Duration::from_secs(60);

fn transfer(event_id: &str, from: i64, to: i64, amount: i64) -> Value {
    json!({ "bizAssetChanges": [{
        "eventId": event_id, "opUserId": from, "eventType": "interactGift", "bizId": "7", "bizType": 1, "objId": "o",
        "opUserAssetChange": { "userId": from, "assetType": GOLD, "incr": -amount },
        "toUserAssetChange": { "userId": to, "assetType": GOLD, "incr": amount },
    }] })
}

async fn pay(host: &Server, event_id: &str, from: i64, to: i64, amount: i64) {
    let answer = host.service().ok(Method::POST, "/v1/asset-changes", transfer(event_id, from, to, amount)).await;
    assert_eq!(answer["bizAssetChangeResList"][0]["changeRes"], true, "{answer}");
}

/// The program's own command, as an operator types it.
fn dead_letters(host: &Server, site: &Site, action: &[&str]) -> Value {
    let done = Command::new(env!("CARGO_BIN_EXE_greenroom"))
        .arg("dead-letters")
        .args(action)
        .args(["--server", &host.url, "--data-dir"])
        .arg(site.data())
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_slice(&done.stdout).unwrap()
}

async fn listed(host: &Server, site: &Site, wanted: usize) -> Vec<Value> {
    let begun = Instant::now();
    loop {
        let list = dead_letters(host, site, &["list"])["deadLetters"].as_array().unwrap().clone();
        if list.len() == wanted {
            return list;
        }
        assert!(begun.elapsed() < PATIENCE, "never {wanted} of them: {list:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// What the topic tells, by the reason: the key, the payload and the headers.
fn told(site: &Site, wanted: usize) -> BTreeMap<String, (String, String, BTreeMap<String, String>)> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", Site::brokers())
        .set("group.id", format!("{}.operators", site.name()))
        .set("auto.offset.reset", "earliest")
        .create()
        .unwrap();
    consumer.subscribe(&[&format!("{}.dead-letters", site.name())]).unwrap();
    let begun = Instant::now();
    let mut all = BTreeMap::new();
    while all.len() < wanted {
        assert!(begun.elapsed() < PATIENCE, "{wanted} were never told of: {all:?}");
        let Some(Ok(message)) = consumer.poll(Duration::from_millis(200)) else { continue };
        let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
        let headers = message.headers().unwrap();
        let headers: BTreeMap<String, String> =
            headers.iter().map(|header| (header.key.to_owned(), text(header.value))).collect();
        all.insert(headers["greenroom-reason"].clone(), (text(message.key()), text(message.payload()), headers));
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_listed_told_of_on_their_topic_replayed_and_dropped() {
    let site = Site::open().await;
    let host = site.start().await;
    // All coins that there can be: the mint is at its end, and one more would not fit.
    host.recharge(FULL, i64::MAX - 99).await;
    host.recharge(PAYER, 100).await;
    pay(&host, "too-much", PAYER, FULL, 100).await;
    // A message that is none of ours, and one after it that is.
    let producer: FutureProducer = ClientConfig::new().set("bootstrap.servers", Site::brokers()).create().unwrap();
    let topic = format!("{}.greenroom.transfer", site.name());
    let junk = FutureRecord::to(&topic).key("1001").payload("junk");
    producer.send(junk, Duration::from_secs(20)).await.unwrap();
    let letters = listed(&host, &site, 2).await;
    let by_reason = |word: &str| {
        let found = letters.iter().find(|letter| letter["reason"].as_str().unwrap().contains(word));
        found.unwrap_or_else(|| panic!("none says {word}: {letters:?}")).clone()
    };
    let (overflow, unreadable) = (by_reason("64 bits"), by_reason("cannot be read"));
    assert_eq!((&overflow["eventId"], &overflow["amount"]), (&json!("too-much"), &json!("100")));

    let told = tokio::task::block_in_place(|| told(&site, 2));
    for letter in &letters {
        let (key, payload, headers) = &told[letter["reason"].as_str().unwrap()];
        assert_eq!((key.as_str(), json!(payload)), ("1001", letter["payload"].clone()));
        let header = |name: &str| headers.get(&format!("greenroom-{name}")).map(String::as_str);
        assert_eq!(header("dead-letter-id"), letter["id"].as_str());
        assert_eq!(header("event-id"), letter["eventId"].as_str());
        assert_eq!((header("group"), header("topic")), (Some("greenroom"), Some("greenroom.transfer")));
        assert!(header("partition").is_some_and(|number| number.parse::<u32>().unwrap() < 3), "{headers:?}");
        assert!(header("offset").is_some() && header("attempts") == Some("1"), "{headers:?}");
        assert_eq!(header("amount"), letter["amount"].as_str());
    }

    // There is room again: what was too much is posted when it is tried once more.
    pay(&host, "room", FULL, OTHER, 500).await;
    host.settled(&[FULL]).await;
    dead_letters(&host, &site, &["replay", overflow["id"].as_str().unwrap()]);
    host.settled(&[PAYER]).await;
    assert_eq!(host.balance(PAYER, GOLD).await, 0);
    dead_letters(&host, &site, &["drop", unreadable["id"].as_str().unwrap()]);
    listed(&host, &site, 0).await;
    host.reconciles().await;
    host.stop();
}
