//! A room's messages as Server-Sent Events and over the WebSocket, and requests over the WebSocket.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use greenroom_manifest::Role;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::site::Site;
use super::support::{ROOM, STREAMER, Server, event_id, gift, gifts};

const ANNA: i64 = 1001;
const BERT: i64 = 1002;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn room(site: &Site) -> Server {
    let server = site.start().await;
    server.open_room(ROOM, &[STREAMER]).await;
    server.recharge(ANNA, 1_000).await;
    server
}

async fn connect(server: &Server, query: &str) -> Socket {
    let url = format!("{}/v1/rooms/{ROOM}/ws{query}", server.url.replace("http", "ws"));
    let mut request = url.into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", "greenroom.v1".parse().unwrap());
    let (socket, answer) = connect_async(request).await.unwrap();
    assert_eq!(answer.headers()["sec-websocket-protocol"], "greenroom.v1");
    socket
}

async fn say(socket: &mut Socket, message: Value) {
    socket.send(Message::text(message.to_string())).await.unwrap();
}

/// The next JSON message for which this holds; fails after ten seconds.
async fn next(socket: &mut Socket, wanted: impl Fn(&Value) -> bool) -> Value {
    let found = async {
        loop {
            if let Message::Text(text) = socket.next().await.expect("the socket ended").unwrap() {
                let message: Value = serde_json::from_str(&text).unwrap();
                if wanted(&message) {
                    return message;
                }
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), found).await.expect("nothing within ten seconds")
}

#[tokio::test]
async fn a_viewer_who_comes_back_gets_what_was_missed_and_is_told_when_that_cannot_be() {
    let site = Site::open().await;
    let server = room(&site).await;
    let viewer = server.viewer(ANNA);
    let mut events = viewer.events(ROOM, None).await;
    let ids: Vec<String> = (0..3).map(|_| event_id()).collect();
    for id in &ids {
        viewer.ok(Method::POST, &gifts(ROOM), gift(id, 1)).await;
    }
    events.next_of("gift.sent").await;
    let first = events.last_id();
    drop(events);

    let mut resumed = viewer.events(ROOM, Some(&first)).await;
    for id in &ids[1..] {
        assert_eq!(resumed.next_of("gift.sent").await["eventId"], json!(id));
    }
    let mut lost = viewer.events(ROOM, Some("0-0")).await;
    lost.next_of("history.lost").await;
    server.stop();
}

#[tokio::test]
async fn gifts_can_be_sent_and_seen_over_one_socket() {
    let site = Site::open().await;
    let server = room(&site).await;
    let token = server.token(ANNA, Role::Viewer);
    let mut socket = connect(&server, &format!("?token={token}")).await;
    let id = event_id();
    for replayed in [false, true] {
        say(&mut socket, json!({ "ref": 1, "method": "POST", "path": "gifts", "body": gift(&id, 2) })).await;
        let answer = next(&mut socket, |message| message["ref"] == 1).await;
        assert_eq!((&answer["status"], &answer["body"]["balance"]), (&json!(200), &json!("980")), "{answer}");
        assert_eq!(answer["body"]["replayed"], replayed);
    }
    server.viewer(ANNA).ok(Method::POST, &gifts(ROOM), gift(&event_id(), 1)).await;
    let pushed = next(&mut socket, |message| message["event"] == "gift.sent" && message["data"]["total"] == "10").await;
    assert!(pushed["id"].is_string(), "{pushed}");
    say(&mut socket, json!({ "ref": "x", "method": "POST", "path": "gifts", "body": gift(&id, 3) })).await;
    let refused = next(&mut socket, |message| message["ref"] == "x").await;
    assert_eq!((&refused["status"], &refused["body"]["errCode"]), (&json!(422), &json!(20003)), "{refused}");
    server.settled(&[ANNA]).await;
    server.reconciles().await;
    server.stop();
}

#[tokio::test]
async fn a_socket_may_bring_its_token_as_the_first_message_and_must_bring_a_good_one() {
    let site = Site::open().await;
    let server = room(&site).await;
    let mut socket = connect(&server, "").await;
    say(&mut socket, json!({ "token": server.token(ANNA, Role::Viewer) })).await;
    say(&mut socket, json!({ "ref": 7, "method": "GET", "path": "gifts" })).await;
    assert_eq!(next(&mut socket, |message| message["ref"] == 7).await["status"], 200);

    let mut stranger = connect(&server, "").await;
    say(&mut stranger, json!({ "token": "forged" })).await;
    let ended = async {
        while let Some(Ok(message)) = stranger.next().await {
            if let Message::Text(text) = message {
                assert!(!text.contains("gift.sent"), "{text}");
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), ended).await.expect("a stranger is still connected");
    server.stop();
}

#[tokio::test]
async fn messages_that_make_no_sense_are_answered_and_the_socket_lives_on() {
    let site = Site::open().await;
    let server = room(&site).await;
    let mut socket = connect(&server, &format!("?token={}", server.token(ANNA, Role::Viewer))).await;
    for nonsense in ["", "{", "[]", "null", r#"{"ref":1}"#, r#"{"ref":1,"method":"EAT","path":"gifts"}"#] {
        socket.send(Message::text(nonsense)).await.unwrap();
        let answer = next(&mut socket, |message| message["event"].is_null()).await;
        assert!(answer["status"].as_u64().is_some_and(|status| (400..500).contains(&status)), "{nonsense}: {answer}");
    }
    say(&mut socket, json!({ "ref": 9, "method": "GET", "path": "gifts" })).await;
    assert_eq!(next(&mut socket, |message| message["ref"] == 9).await["status"], 200);
    server.stop();
}

#[tokio::test]
async fn every_viewer_gets_each_message_once_and_in_order() {
    let site = Site::open().await;
    let server = room(&site).await;
    let mut viewers = Vec::new();
    for _ in 0..20 {
        viewers.push(server.viewer(BERT).events(ROOM, None).await);
    }
    let ids: Vec<String> = (0..30).map(|_| event_id()).collect();
    for id in &ids {
        for _ in 0..2 {
            server.viewer(ANNA).ok(Method::POST, &gifts(ROOM), gift(id, 1)).await;
        }
    }
    for viewer in &mut viewers {
        for id in &ids {
            assert_eq!(viewer.next_of("gift.sent").await["eventId"], json!(id));
        }
    }
    server.stop();
}
