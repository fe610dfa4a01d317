//! What an operator changes on one host is in force on the others because it is announced: nobody looks by themselves here.

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::site::Site;
use crate::support::{ROOM, STREAMER, Server, gifts, only};

const VIEWER: i64 = 1001;
/// The longest that a change takes, with all servers and hosts on two cores.
const PATIENCE: Duration = Duration::from_secs(10);

/// A host that looks for changes of others once an hour.
async fn host(site: &Site, data: &TempDir) -> Server {
    let hourly = [("GREENROOM_DISTRIBUTED_FOLLOW_MS", "3600000"), ("GREENROOM_RATE_LIMITS_USER_PER_SECOND", "0")];
    site.host(data.path(), only(&["gift"]).path(), &hourly).await
}

/// How long it takes until this is so of a room's gifts.
async fn until(host: &Server, what: &str, is_so: impl Fn(StatusCode, &Value) -> bool) -> Duration {
    let begun = Instant::now();
    loop {
        let (status, answer) = host.viewer(VIEWER).call(Method::GET, &gifts(ROOM), Value::Null).await;
        if is_so(status, &answer) {
            return begun.elapsed();
        }
        assert!(begun.elapsed() < PATIENCE, "never {what}: {status} {answer}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_toggle_and_a_price_are_in_force_on_the_other_hosts_because_they_are_announced() {
    let site = Site::open().await;
    let data = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let (a, b) = tokio::join!(host(&site, &data[0]), host(&site, &data[1]));
    a.open_room(ROOM, &[STREAMER]).await;
    let mut took = vec![until(&b, "enabled", |status, _| status == StatusCode::OK).await];
    let path = format!("/v1/rooms/{ROOM}/plugins/gift");
    for enabled in [false, true, false, true] {
        let (changed, other) = if enabled { (&b, &a) } else { (&a, &b) };
        changed.operator().ok(Method::PUT, &path, json!({ "enabled": enabled })).await;
        let wanted = if enabled { StatusCode::OK } else { StatusCode::NOT_FOUND };
        took.push(until(other, "toggled", |status, _| status == wanted).await);
    }
    for price in ["11", "12", "13"] {
        a.operator().ok(Method::PUT, "/v1/gifts/2002", json!({ "name": "Rose", "price": price })).await;
        let costs = |answer: &Value| {
            let gifts = answer["gifts"].as_array().into_iter().flatten();
            gifts.into_iter().any(|gift| gift["giftId"] == "2002" && gift["price"] == price)
        };
        took.push(until(&b, "the new price", |_, answer| costs(answer)).await);
    }
    println!("in force on the other host after {took:?}");
    a.stop();
    b.stop();
}
