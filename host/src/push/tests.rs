//! What connections see: order, resumption, repetition, slowness, and a crowd.

use std::sync::atomic::Ordering::SeqCst;

use super::*;
use crate::domain::{Audience, Priority};

const ROOM: RoomId = RoomId(7);
const ALICE: UserId = UserId(1);
const BOB: UserId = UserId(2);

fn message(key: &str, priority: Priority) -> PushMessage {
    PushMessage {
        room_id: ROOM,
        audience: Audience::Room,
        key: key.into(),
        event: "gift.sent".into(),
        data: format!("{{\"key\":\"{key}\"}}").into(),
        priority,
    }
}

fn normal(key: impl ToString) -> PushMessage {
    message(&key.to_string(), Priority::Normal)
}

struct Running {
    hub: Arc<Hub>,
    bus: mpsc::Sender<PushMessage>,
    shutdown: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

fn start(settings: Settings) -> Running {
    let (bus, messages) = mpsc::channel(1_024);
    let (hub, shutdown) = (Hub::new(settings), CancellationToken::new());
    let task = tokio::spawn(hub.clone().run(messages, shutdown.clone()));
    Running { hub, bus, shutdown, task }
}

impl Running {
    async fn send(&self, message: PushMessage) {
        self.bus.send(message).await.unwrap();
    }

    /// Returns once everything sent so far is in its room: a room of its own tells.
    async fn settled(&self) {
        let probe = RoomId(i64::MAX);
        let mut connection = self.hub.connect(probe, ALICE, None).unwrap();
        let key = format!("probe-{}", self.hub.epochs.fetch_add(1, SeqCst));
        self.send(PushMessage { room_id: probe, ..normal(key) }).await;
        assert!(connection.next(&mut Vec::new()).await);
    }
}

fn keys(deliveries: &[Delivery]) -> Vec<String> {
    let key = |delivery: &Delivery| match delivery {
        Delivery::Message(message) => message.key.to_string(),
        Delivery::HistoryLost => "history.lost".to_owned(),
        Delivery::Lagged(lost) => format!("lagged {} {} {}", lost.low, lost.normal, lost.high),
    };
    deliveries.iter().map(key).collect()
}

async fn take(connection: &mut Connection) -> Vec<Delivery> {
    let mut out = Vec::new();
    let more = tokio::time::timeout(Duration::from_secs(10), connection.next(&mut out)).await;
    assert!(more.expect("nothing was delivered"));
    out
}

async fn take_keys(connection: &mut Connection, len: usize) -> Vec<String> {
    let mut all = Vec::new();
    while all.len() < len {
        all.extend(keys(&take(connection).await));
    }
    all
}

#[tokio::test]
async fn everybody_gets_messages_in_order_and_a_repeated_key_once() {
    let running = start(Settings::default());
    let mut alice = running.hub.connect(ROOM, ALICE, None).unwrap();
    let mut bob = running.hub.connect(ROOM, BOB, None).unwrap();
    for key in ["a", "b", "a", "c", "b"] {
        running.send(normal(key)).await;
    }
    // The same key under another event is another message.
    running.send(PushMessage { event: "poll.tally".into(), ..normal("a") }).await;
    for connection in [&mut alice, &mut bob] {
        assert_eq!(take_keys(connection, 4).await, ["a", "b", "c", "a"]);
    }
}

#[tokio::test]
async fn what_is_for_one_user_reaches_that_users_connections_alone_and_in_order() {
    let running = start(Settings::default());
    let mut alice = running.hub.connect(ROOM, ALICE, None).unwrap();
    let mut alice_too = running.hub.connect(ROOM, ALICE, None).unwrap();
    let mut bob = running.hub.connect(ROOM, BOB, None).unwrap();
    running.send(normal("1")).await;
    running.send(PushMessage { audience: Audience::User(ALICE), ..normal("2") }).await;
    running.send(normal("3")).await;
    running.settled().await;
    assert_eq!(take_keys(&mut alice, 3).await, ["1", "2", "3"]);
    assert_eq!(take_keys(&mut alice_too, 3).await, ["1", "2", "3"]);
    assert_eq!(take_keys(&mut bob, 2).await, ["1", "3"]);
}

#[tokio::test]
async fn who_comes_back_gets_what_was_missed_or_is_told_that_it_is_lost() {
    let running = start(Settings { history_len_max: 4, ..Settings::default() });
    let mut first = running.hub.connect(ROOM, ALICE, None).unwrap();
    running.send(normal("1")).await;
    let seen = take(&mut first).await;
    let Some(Delivery::Message(one)) = seen.first() else { panic!("{seen:?}") };
    let id = one.id.to_string();
    drop(first);
    for key in 2..=4 {
        running.send(normal(key)).await;
    }
    running.send(PushMessage { audience: Audience::User(BOB), ..normal("5") }).await;
    running.settled().await;
    let mut back = running.hub.connect(ROOM, ALICE, Some(&id)).unwrap();
    assert_eq!(keys(&take(&mut back).await), ["2", "3", "4"]);
    running.send(normal("6")).await;
    assert_eq!(take_keys(&mut back, 1).await, ["6"]);
    for lost in [id.as_str(), "", "x", "other-1", &format!("{id}9999")] {
        let mut late = running.hub.connect(ROOM, ALICE, Some(lost)).unwrap();
        assert_eq!(keys(&take(&mut late).await), ["history.lost"], "{lost:?}");
    }
}

#[tokio::test]
async fn a_slow_reader_loses_low_messages_first_and_is_told_how_many_while_others_lose_none() {
    let running = start(Settings { queue_len_max: 4, ..Settings::default() });
    let mut slow = running.hub.connect(ROOM, ALICE, None).unwrap();
    let mut quick = running.hub.connect(ROOM, BOB, None).unwrap();
    let mut seen = Vec::new();
    let sent = [
        ("h1", Priority::High),
        ("l1", Priority::Low),
        ("n1", Priority::Normal),
        ("l2", Priority::Low),
        ("n2", Priority::Normal),
        ("h2", Priority::High),
        ("n3", Priority::Normal),
    ];
    for (key, priority) in sent {
        running.send(message(key, priority)).await;
        seen.extend(keys(&take(&mut quick).await));
    }
    assert_eq!(seen, sent.map(|(key, _)| key));
    assert_eq!(keys(&take(&mut slow).await), ["lagged 2 1 0", "h1", "n2", "h2", "n3"]);
    for key in 0..100 {
        running.send(message(&format!("x{key}"), Priority::Low)).await;
    }
    running.send(message("end", Priority::High)).await;
    running.settled().await;
    assert_eq!(keys(&take(&mut slow).await), ["lagged 97 0 0", "x97", "x98", "x99", "end"]);
}

#[tokio::test]
async fn a_thousand_connections_get_every_message() {
    let running = start(Settings { dense_room_connections_min: 100, ..Settings::default() });
    let open = |user| running.hub.connect(ROOM, UserId(user), None).unwrap();
    let readers: Vec<_> = (1..=1_000)
        .map(open)
        .map(|mut connection| tokio::spawn(async move { take_keys(&mut connection, 200).await }))
        .collect();
    assert_eq!(running.hub.connections(), 1_000);
    let expected: Vec<String> = (0..200).map(|key| key.to_string()).collect();
    for key in &expected {
        running.send(normal(key)).await;
    }
    for reader in readers {
        assert_eq!(reader.await.unwrap(), expected);
    }
    assert_eq!(running.hub.connections(), 0);
}

#[tokio::test]
async fn connections_and_rooms_are_bounded_and_idle_rooms_are_forgotten() {
    let settings = Settings {
        rooms_max: 2,
        room_connections_max: 1,
        connections_max: 2,
        idle_room_ttl: Duration::from_millis(1),
        ..Settings::default()
    };
    let running = start(settings);
    let one = running.hub.connect(RoomId(1), ALICE, None).unwrap();
    assert_eq!(running.hub.connect(RoomId(1), BOB, None).err(), Some(Full("the connections of this room")));
    let two = running.hub.connect(RoomId(2), ALICE, None).unwrap();
    assert_eq!(running.hub.connect(RoomId(2), BOB, None).err(), Some(Full("the connections of this process")));
    drop(one);
    assert_eq!(running.hub.connect(RoomId(3), BOB, None).err().map(|full| full.0), Some("the rooms of this process"));
    tokio::time::timeout(Duration::from_secs(10), async {
        while running.hub.rooms() > 1 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the idle room is still remembered");
    drop(two);
}

#[tokio::test]
async fn connections_end_when_the_hub_shuts_down() {
    let running = start(Settings::default());
    let mut connection = running.hub.connect(ROOM, ALICE, None).unwrap();
    running.shutdown.cancel();
    running.task.await.unwrap();
    assert!(!connection.next(&mut Vec::new()).await);
}

#[test]
fn a_message_is_written_for_both_wires_without_breaking_a_line() {
    let sent = PushMessage { data: "{\n\"a\": 1\r\n}".into(), ..normal("k") };
    let message = Message::new("e", 5, sent);
    assert_eq!(message.sse(), "id: e-5\nevent: gift.sent\ndata: {\ndata: \"a\": 1\ndata: }\n\n");
    let ws: serde_json::Value = serde_json::from_str(&message.ws()).unwrap();
    assert_eq!(ws, serde_json::json!({ "id": "e-5", "event": "gift.sent", "data": { "a": 1 } }));
    assert_eq!(sse_frame(None, "a\nb", "x"), "event: ab\ndata: x\n\n");
}
