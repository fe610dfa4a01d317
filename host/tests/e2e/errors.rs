//! Every code of the table of errors, produced by a real request; and bad input in every form, after which nothing has changed.

use std::time::Duration;

use greenroom::domain::UserId;
use greenroom::http::auth;
use greenroom_manifest::Role;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::site::Site;
use super::support::{GOLD, ROOM, STREAMER, Server, event_id, gift, gifts, in_seconds, only};

const VIEWER: i64 = 1001;
const NULL: Value = Value::Null;

async fn room(site: &Site) -> Server {
    let server = site.start().await;
    server.open_room(ROOM, &[STREAMER]).await;
    server.recharge(VIEWER, 1_000).await;
    server
}

#[tokio::test]
async fn what_is_not_there_or_not_allowed_is_told_by_its_code() {
    let site = Site::open().await;
    let server = room(&site).await;
    let (viewer, operator) = (server.viewer(VIEWER), server.operator());
    let send = |gift_id: &str| json!({ "eventId": event_id(), "giftId": gift_id, "count": 1 });

    viewer.refused(Method::POST, "/v1/rooms/404/gifts", gift(&event_id(), 1), 404, 10001).await;
    operator.ok(Method::POST, "/v1/rooms", json!({ "roomId": 8, "title": "Idle", "streamers": [STREAMER] })).await;
    viewer.refused(Method::POST, "/v1/rooms/8/gifts", gift(&event_id(), 1), 404, 10003).await;
    operator.ok(Method::PUT, "/v1/rooms/8/plugins/gift", json!({ "enabled": true })).await;
    viewer.refused(Method::POST, "/v1/rooms/8/gifts", gift(&event_id(), 1), 409, 10002).await;
    viewer.refused(Method::POST, &gifts(ROOM), send("999999"), 404, 10004).await;
    operator.ok(Method::PUT, "/v1/rooms/7/plugins/gift", json!({ "enabled": true, "config": { "maxCount": 2 } })).await;
    viewer.refused(Method::POST, &gifts(ROOM), gift(&event_id(), 3), 403, 10005).await;
    server.recharge(STREAMER, 1_000).await;
    let streamer = server.client(STREAMER, Role::Streamer);
    streamer.refused(Method::POST, &gifts(ROOM), gift(&event_id(), 1), 403, 10005).await;
    let config = json!({ "enabled": true, "config": { "maxCount": -2 } });
    let problem = operator.refused(Method::PUT, "/v1/rooms/7/plugins/gift", config, 422, 40005).await;
    assert!(problem["detail"].as_str().unwrap().contains("/maxCount"), "{problem}");
    let problem = operator.refused(Method::DELETE, "/v1/plugins/gift/0.1.0", NULL, 409, 40007).await;
    assert_eq!(problem["type"], "/problems/plugin-in-use");
    viewer.refused(Method::POST, "/v1/rooms", json!({ "title": "x", "streamers": [1] }), 403, 100_003).await;
    viewer.refused(Method::GET, "/v1/users/1002/assets", NULL, 403, 100_003).await;
    server.client(78, Role::Streamer).refused(Method::DELETE, "/v1/rooms/7/streams/current", NULL, 403, 100_003).await;
    server.client(STREAMER, Role::Streamer).ok(Method::DELETE, "/v1/rooms/7/streams/current", NULL).await;
    operator.refused(Method::DELETE, "/v1/rooms/7/streams/current", NULL, 409, 10002).await;
    server.stop();
}

#[tokio::test]
async fn tokens_that_are_none_of_ours_are_refused() {
    let site = Site::open().await;
    let server = room(&site).await;
    let secret = std::fs::read(site.data().join("dev-secret")).unwrap();
    let issue =
        |secret: &[u8], ttl: u64| auth::issue(secret, UserId(VIEWER), Role::Viewer, 0, in_seconds(ttl)).unwrap();
    let good = issue(&secret, 60);
    let expired = auth::issue(&secret, UserId(VIEWER), Role::Viewer, 0, in_seconds(0) - 60).unwrap();
    let unsigned = "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxMDAxIiwicm9sZSI6Im9wZXJhdG9yIiwiZXhwIjo0MTAyNDQ0ODAwfQ.".to_owned();
    let mut changed = good.clone();
    changed.replace_range(changed.len() - 3.., "AAA");
    for token in ["".to_owned(), "x".to_owned(), unsigned, changed, expired, issue(&[b'x'; 32], 60)] {
        let url = format!("{}/v1/users/me/assets", server.url);
        let answer = reqwest::Client::new().get(url).bearer_auth(&token).send().await.unwrap();
        assert_eq!(answer.status(), 401, "{token}");
        assert!(answer.headers().contains_key("www-authenticate"));
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
        assert_eq!(answer.json::<Value>().await.unwrap()["errCode"], 100_001);
    }
    server.stop();
}

#[tokio::test]
async fn bodies_that_are_wrong_are_refused_and_change_nothing() {
    let site = Site::open().await;
    let server = room(&site).await;
    let token = {
        let secret = std::fs::read(site.data().join("dev-secret")).unwrap();
        auth::issue(&secret, UserId(VIEWER), Role::Viewer, 0, in_seconds(60)).unwrap()
    };
    let url = format!("{}/v1/rooms/7/gifts", server.url);
    let post = |body: String| reqwest::Client::new().post(&url).bearer_auth(&token).body(body).send();
    let id = event_id();
    let bodies = [
        String::new(),
        "{".into(),
        "[]".into(),
        "null".into(),
        "\u{0}".into(),
        format!(r#"{{"eventId":"{id}","giftId":"2002","count":1}} trailing"#),
        format!(r#"{{"eventId":"{id}","giftId":"2002","count":1,"count":2}}"#),
        format!(r#"{{"eventId":"{id}","giftId":"2002","count":1e400}}"#),
        format!(r#"{{"eventId":"{id}","giftId":"2002","count":18446744073709551616}}"#),
        format!(r#"{{"eventId":"{id}","giftId":"9223372036854775808","count":1}}"#),
        "[".repeat(60_000),
    ];
    for body in bodies {
        let answer = post(body.clone()).await.unwrap();
        let status = answer.status();
        let problem: Value = answer.json().await.unwrap();
        let start: String = body.chars().take(80).collect();
        assert_eq!((status.as_u16(), &problem["errCode"]), (400, &json!(10006)), "{start}: {problem}");
    }
    let answer = post(format!("\"{}\"", "x".repeat(70_000))).await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap()["errCode"].clone()),
        (413, json!(10008))
    );
    let invalid =
        reqwest::Client::new().post(&url).bearer_auth(&token).body(vec![0xff, 0xfe, b'{']).send().await.unwrap();
    assert_eq!(invalid.status(), 400);
    assert_eq!(server.balance(VIEWER, GOLD).await, 1_000);
    server.reconciles().await;
    server.stop();
}

#[tokio::test]
async fn whoever_calls_too_often_is_told_when_to_come_back() {
    let site = Site::open().await;
    let plugins = only(&["gift"]);
    let limits = [("GREENROOM_RATE_LIMITS_USER_PER_SECOND", "3")];
    let server = site.start_with(plugins.path(), &limits).await;
    let url = format!("{}/v1/rooms", server.url);
    let secret = std::fs::read(site.data().join("dev-secret")).unwrap();
    let token = auth::issue(&secret, UserId(5), Role::Operator, 0, in_seconds(60)).unwrap();
    let mut limited = None;
    for _ in 0..10 {
        let answer = reqwest::Client::new().get(&url).bearer_auth(&token).send().await.unwrap();
        if answer.status() == 429 {
            limited = Some(answer);
            break;
        }
    }
    let answer = limited.expect("ten calls at once should pass a limit of three");
    assert!(answer.headers().contains_key("retry-after"), "{:?}", answer.headers());
    assert!(answer.headers().keys().any(|name| name.as_str().starts_with("ratelimit")), "{:?}", answer.headers());
    assert_eq!(answer.json::<Value>().await.unwrap()["errCode"], 10007);
    server.stop();
}

#[tokio::test]
async fn plugins_that_are_none_are_refused_with_what_is_wrong() {
    let site = Site::open().await;
    let server = room(&site).await;
    let operator = server.operator();
    let good = std::fs::read(super::support::plugins_dir().join("gift.wasm")).unwrap();
    let mut truncated = good.clone();
    truncated.truncate(good.len() / 2);
    for bytes in [b"no wasm".to_vec(), vec![0, b'a', b's', b'm', 1, 0, 0, 0], truncated, Vec::new()] {
        let (status, problem) = operator.upload("/v1/plugins", bytes).await;
        assert_eq!((status.as_u16(), &problem["errCode"]), (422, &json!(40006)), "{problem}");
        assert!(problem["detail"].as_str().unwrap().len() > 20, "{problem}");
    }
    server.stop();
}

#[tokio::test]
async fn a_client_that_sends_its_headers_too_slowly_is_cut_off() {
    let site = Site::open().await;
    let plugins = only(&["gift"]);
    let server = site.start_with(plugins.path(), &[("GREENROOM_HTTP_HEADER_TIMEOUT_MS", "300")]).await;
    let mut slow = TcpStream::connect(server.url.trim_start_matches("http://")).await.unwrap();
    slow.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n").await.unwrap();
    let mut answer = Vec::new();
    let cut = tokio::time::timeout(Duration::from_secs(10), slow.read_to_end(&mut answer)).await;
    assert!(cut.is_ok(), "still connected after ten seconds");
    assert!(!answer.starts_with(b"HTTP/1.1 200"));
    server.operator().ok(Method::GET, "/v1/rooms", NULL).await;
    server.stop();
}

#[tokio::test]
async fn what_is_unknown_or_done_with_the_wrong_method_is_a_problem_too() {
    let site = Site::open().await;
    let server = room(&site).await;
    let operator = server.operator();
    for (method, path, status) in [
        (Method::GET, "/v1/nothing", 404),
        (Method::GET, "/nothing", 404),
        (Method::DELETE, "/v1/rooms", 405),
        (Method::GET, "/v1/rooms/seven", 400),
        (Method::GET, "/v1/rooms?cursor=%00", 400),
    ] {
        let (got, problem) = operator.call(method.clone(), path, NULL).await;
        assert_eq!(got.as_u16(), status, "{method} {path}: {problem}");
        assert!(problem["title"].is_string() && problem["type"].is_string(), "{method} {path}: {problem}");
    }
    server.stop();
}

#[tokio::test]
async fn a_viewer_too_many_is_told_to_come_back() {
    let site = Site::open().await;
    let plugins = only(&["gift"]);
    let limits = [("GREENROOM_PUSH_CONNECTIONS_MAX", "1")];
    let server = site.start_with(plugins.path(), &limits).await;
    server.open_room(ROOM, &[STREAMER]).await;
    let viewer = server.viewer(VIEWER);
    let watching = viewer.events(ROOM, None).await;
    let refused = viewer.stream("/v1/rooms/7/events", None).await;
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"), "{:?}", refused.headers());
    assert_eq!(refused.json::<Value>().await.unwrap()["errCode"], 30001);
    drop(watching);
    server.stop();
}

#[tokio::test]
async fn a_balance_that_cannot_be_loaded_yet_is_told_so_and_the_same_event_succeeds_later() {
    let site = Site::open().await;
    room(&site).await.stop();
    site.forget().await;
    // No balance is in the cache now: the first gift loads it, and here the database fails under it.
    let server = site.start().await;
    site.in_the_database("ALTER TABLE user_asset RENAME TO user_asset_away").await;
    let (viewer, id) = (server.viewer(VIEWER), event_id());
    let problem = viewer.refused(Method::POST, &gifts(ROOM), gift(&id, 1), 503, 30002).await;
    assert!(!problem.to_string().contains("user_asset"), "the database's words are not for viewers: {problem}");
    site.in_the_database("ALTER TABLE user_asset_away RENAME TO user_asset").await;
    // The load that failed may be still under way for all that the cache knows, so nobody loads beside it until its lease ends.
    let answer = viewer.send(&gifts(ROOM), &gift(&id, 1).to_string()).await;
    assert_eq!((answer.status().as_u16(), answer.headers().contains_key("retry-after")), (503, true));
    assert_eq!(answer.json::<Value>().await.unwrap()["errCode"], 20004);
    let sent = async {
        loop {
            let (status, answer) = viewer.call(Method::POST, &gifts(ROOM), gift(&id, 1)).await;
            if status.is_success() {
                return answer;
            }
            assert_eq!(answer["errCode"], 20004, "{answer}");
        }
    };
    let answer = tokio::time::timeout(Duration::from_secs(60), sent).await.expect("the lease ends");
    assert_eq!((&answer["balance"], &answer["replayed"]), (&json!("990"), &json!(false)));
    server.settled(&[VIEWER]).await;
    server.reconciles().await;
    server.stop();
}
