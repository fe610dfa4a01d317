//! Chat in a whole room: many writers, repeats and races, limits, the word filter, moderators, history, cheating, restarts.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

use std::time::Duration;

use futures::StreamExt;
use futures::future::join_all;
use futures::stream;
use greenroom_testkit::{House, Role, Room, Visitor, event_id};
use serde_json::{Value, json};

fn saying(event_id: &str, text: &str) -> Value {
    json!({ "eventId": event_id, "text": text })
}

async fn say(visitor: &Visitor, text: &str) -> Value {
    visitor.post("chat/messages", saying(&event_id(), text)).await.ok()
}

/// The texts of the history, the oldest first.
async fn history(room: &Room<'_>) -> Vec<String> {
    let history = room.viewer(1).get("chat/messages").await.ok();
    let messages = history["messages"].as_array().unwrap().clone();
    assert!(messages.is_sorted_by(|a, b| a["number"].as_i64() < b["number"].as_i64()), "{messages:?}");
    messages.iter().map(|message| message["text"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn many_write_at_once_and_everybody_reads_the_same_in_one_order() {
    let house = House::open(&["chat"]).await;
    let config = json!({ "historyLen": 40, "roomPerSecondMax": 0, "messagesMax": 3 });
    let room = house.room(json!([{ "name": "chat", "config": config }])).await;
    let mut seen = room.viewer(1).watch().await;

    // 100 writers, each says one thing twice at once.
    let crowd = (1001..1101).flat_map(|user_id| [user_id, user_id]).map(|user_id| {
        let writer = room.viewer(user_id);
        async move { writer.post("chat/messages", saying("hi", &format!("  I am {user_id} "))).await.ok() }
    });
    let mut answers: Vec<Value> = stream::iter(crowd).buffer_unordered(16).collect().await;
    assert_eq!(answers.iter().filter(|answer| answer["replayed"] == false).count(), 100);
    answers.sort_by_key(|answer| answer["number"].as_i64());
    answers.dedup_by_key(|answer| answer["number"].as_i64());
    assert_eq!(answers.len(), 100, "a repetition has the number of the first time, and no two have the same");
    let mut pushed = Vec::new();
    for _ in 0..100 {
        pushed.push(seen.next("chat.said").await);
    }
    pushed.sort_by_key(|said| said["number"].as_i64());
    let told = |said: &Value| (said["number"].clone(), said["userId"].clone(), said["text"].clone());
    assert!(answers.iter().map(told).eq(pushed.iter().map(told)));
    assert_eq!(pushed[0]["text"], format!("I am {}", pushed[0]["userId"].as_str().unwrap()));

    let crowded = history(&room).await;
    assert!(crowded.len() <= 40 && crowded.iter().all(|text| pushed.iter().any(|said| said["text"] == *text)));

    // One after the other: the last 40 are there.
    let mut last = Vec::new();
    for user_id in 2001..2061 {
        let said = say(&room.viewer(user_id), &format!("One by one, {user_id}")).await;
        last.push(said["text"].as_str().unwrap().to_owned());
    }
    let last = last.split_off(20);
    assert_eq!(history(&room).await, last);
    let two = room.viewer(1).get("chat/messages?limit=2").await.ok();
    assert_eq!(two["messages"].as_array().unwrap().len(), 2);
    assert_eq!(two["messages"][1]["text"], last[39]);
    let _ = room.viewer(1).get("chat/messages?limit=0").await.refused(400, "invalid-request");

    // A restart forgets nothing, and a repetition is still one.
    let room_id = room.room_id;
    let house = house.restart().await;
    let room = house.known_room(room_id);
    assert_eq!(history(&room).await, last);
    let mut seen = room.viewer(1).watch().await;
    house.clock.advance(Duration::from_secs(60));
    let again = room.viewer(1001).post("chat/messages", saying("hi", "  I am 1001 ")).await.ok();
    assert_eq!(again["replayed"], true);
    let next = say(&room.viewer(1001), "back again").await;
    assert!(next["number"].as_i64() > answers[99]["number"].as_i64());
    assert_eq!(seen.next("chat.said").await["text"], "back again", "a repetition is not told again");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_exact_whatever_is_raced_and_a_repetition_costs_nothing() {
    let house = House::open(&["chat"]).await;
    let config = json!({ "messagesMax": 3, "windowMs": 10_000, "roomPerSecondMax": 4 });
    let room = house.room(json!([{ "name": "chat", "config": config }])).await;
    let anna = room.viewer(1001);

    // 12 different messages at once: 3 are said.
    let sent: Vec<String> = (0..12).map(|_| event_id()).collect();
    let answers = join_all(sent.iter().map(|id| anna.post("chat/messages", saying(id, "me first")))).await;
    let said: Vec<&String> = sent.iter().zip(&answers).filter(|(_, a)| a.status == 200).map(|(id, _)| id).collect();
    assert!(said.len() <= 3, "{answers:?}");
    assert_eq!(history(&room).await.len(), said.len());
    // Who was too many at once may have been asked to try again.
    house.clock.advance(Duration::from_secs(1));
    for _ in said.len()..3 {
        say(&anna, "and more").await;
    }
    let refused = anna.post("chat/messages", saying("e4", "a fourth")).await.refused(429, "too-fast");
    let wait_ms = refused["extra"]["waitMs"].as_u64().unwrap();
    assert!((1..=10_000).contains(&wait_ms), "{refused}");
    // A repetition has its answer and takes nothing.
    for _ in 0..5 {
        assert_eq!(anna.post("chat/messages", saying(said[0], "me first")).await.ok()["replayed"], true);
    }
    assert_eq!(history(&room).await.len(), 3);
    house.clock.advance(Duration::from_millis(wait_ms));
    assert_eq!(anna.post("chat/messages", saying("e4", "a fourth")).await.ok()["replayed"], false);

    // The room takes so many in a second, and so many again in the next.
    house.clock.advance(Duration::from_secs(1));
    for user_id in 2001..2005 {
        say(&room.viewer(user_id), "hello").await;
    }
    let busy = room.viewer(2005).post("chat/messages", saying("e1", "hello")).await.refused(429, "room-busy");
    assert!(busy["detail"].as_str().unwrap().contains("same event id"));
    house.clock.advance(Duration::from_secs(1));
    let before = history(&room).await.len();
    for _ in 0..2 {
        room.viewer(2005).post("chat/messages", saying("e1", "hello")).await.ok();
    }
    assert_eq!(history(&room).await.len(), before + 1);

    // Slow mode; the room's own moderators are not slowed down, others' are.
    let slow = house.room(json!([{ "name": "chat", "config": { "slowModeMs": 60_000 } }])).await;
    let bert = slow.viewer(1002);
    say(&bert, "one").await;
    house.clock.advance(Duration::from_millis(59_999));
    let _ = bert.post("chat/messages", saying("two", "two")).await.refused(429, "too-fast");
    let stranger = slow.somebody(78, Role::Streamer);
    say(&stranger, "I am a streamer elsewhere").await;
    let _ = stranger.post("chat/messages", saying("again", "again")).await.refused(429, "too-fast");
    for _ in 0..10 {
        say(&slow.streamer(), "welcome").await;
    }
    house.clock.advance(Duration::from_millis(1));
    say(&bert, "two").await;
    house.close().await;
}

#[tokio::test]
async fn words_that_are_not_wanted_are_masked_or_refused() {
    let house = House::open(&["chat"]).await;
    let masked =
        house.room(json!([{ "name": "chat", "config": { "words": ["damn", "*傻瓜*"], "textLenMax": 20 } }])).await;
    let config = json!({ "words": ["damn"], "wordsFound": "refuse" });
    let refused = house.room(json!([{ "name": "chat", "config": config }])).await;
    let mut seen = masked.viewer(1).watch().await;
    assert_eq!(say(&masked.viewer(1001), "D.a.m.n it").await["text"], "******* it");
    assert_eq!(seen.next("chat.said").await["text"], "******* it", "what was masked is nowhere to be seen");
    assert_eq!(history(&masked).await, ["******* it"]);
    let anna = refused.viewer(1001);
    let _ = anna.post("chat/messages", saying("e1", "d4mn")).await.refused(409, "word-refused");
    assert_eq!(
        anna.post("chat/messages", saying("e1", "darn")).await.ok()["replayed"],
        false,
        "a refusal is no answer"
    );

    let long = masked.viewer(1002).post("chat/messages", saying("e1", "123456789 123456789 1")).await;
    assert_eq!(long.refused(409, "text-too-long")["extra"], json!({ "textLenMax": 20, "has": 21 }));
    let _ = masked.viewer(1002).post("chat/messages", saying("e1", " \u{200b} ")).await.refused(409, "text-empty");
    let _ = masked.viewer(1002).post("chat/messages", saying("e1", "a\u{202e}b")).await.refused(409, "text-control");
    house.close().await;
}

#[tokio::test]
async fn moderators_mute_ban_lift_and_remove_and_nobody_else_does() {
    let house = House::open(&["chat"]).await;
    let room = house.room(json!([{ "name": "chat" }])).await;
    let other = house.room(json!([{ "name": "chat" }])).await;
    let (anna, streamer, operator) = (room.viewer(1001), room.streamer(), room.operator());
    let mut anna_sees = anna.watch().await;
    let bad = say(&anna, "something bad").await;
    say(&room.viewer(1002), "something good").await;

    // Muted for a minute: told until when, here and not elsewhere; a repetition of what was said before has its answer.
    let muted = streamer.put("chat/mutes/1001", json!({ "seconds": 60 })).await.ok();
    let until_ms = house.clock.now_ms() + 60_000;
    assert_eq!(muted, json!({ "userId": "1001", "mutedUntilMs": until_ms, "isBanned": false }));
    assert_eq!(anna_sees.next("chat.restricted").await, muted);
    assert_eq!(anna.get("chat/messages").await.ok()["me"], muted);
    house.clock.advance(Duration::from_secs(20));
    let no = anna.post("chat/messages", saying("e1", "let me")).await.refused(403, "muted");
    assert_eq!(no["extra"], json!({ "leftS": 40, "untilMs": until_ms }));
    assert!(no["detail"].as_str().unwrap().contains("another 40 seconds"), "{no}");
    say(&other.viewer(1001), "I may write here").await;
    house.clock.advance(Duration::from_secs(40));
    assert_eq!(anna.post("chat/messages", saying("e1", "let me")).await.ok()["replayed"], false);
    streamer.put("chat/mutes/1001", json!({ "seconds": 600 })).await.ok();
    let _ = anna.post("chat/messages", saying("e2", "again")).await.refused(403, "muted");
    assert_eq!(anna.post("chat/messages", saying("e1", "let me")).await.ok()["replayed"], true);
    streamer.delete("chat/mutes/1001").await.ok();
    say(&anna, "thank you").await;

    // Banned until it is lifted, also after a restart and a year.
    operator.put("chat/bans/1001", Value::Null).await.ok();
    operator.put("chat/mutes/1003", json!({ "seconds": 30 })).await.ok();
    let listed = operator.get("chat/restrictions?limit=1").await.ok();
    assert_eq!(listed["items"], json!([{ "userId": "1001", "isBanned": true, "byUserId": "1" }]));
    let next = operator.get(&format!("chat/restrictions?cursor={}", listed["nextCursor"].as_str().unwrap())).await.ok();
    assert_eq!(next["items"].as_array().unwrap().len(), 1);
    assert_eq!(next["items"][0]["userId"], "1003");

    // Removed: gone from the history, told to everybody, and it does not come back.
    let number = bad["number"].as_i64().unwrap();
    for _ in 0..2 {
        streamer.delete(&format!("chat/messages/{number}")).await.ok();
    }
    assert_eq!(anna_sees.next("chat.removed").await, json!({ "number": number }));
    assert_eq!(history(&room).await, ["something good", "let me", "thank you"]);
    let _ = streamer.delete("chat/messages/1000000").await.refused(404, "message-not-found");

    // Viewers, streamers elsewhere and streamers of this room are not moderated or moderating.
    let stranger = room.somebody(78, Role::Streamer);
    for visitor in [&anna, &stranger] {
        assert_eq!(visitor.put("chat/mutes/1002", json!({ "seconds": 60 })).await.status, 403);
        assert_eq!(visitor.delete("chat/bans/1001").await.status, 403);
        assert_eq!(visitor.delete("chat/messages/1").await.status, 403);
        assert_eq!(visitor.get("chat/restrictions").await.status, 403);
    }
    let _ = operator.put("chat/bans/77", Value::Null).await.refused(409, "moderator");

    let room_id = room.room_id;
    let house = house.restart().await;
    let room = house.known_room(room_id);
    house.clock.advance(Duration::from_secs(366 * 24 * 60 * 60));
    let no = room.viewer(1001).post("chat/messages", saying("e9", "hello?")).await.refused(403, "banned");
    assert!(no["detail"].as_str().unwrap().contains("until its moderators lift it"), "{no}");
    room.streamer().delete("chat/bans/1001").await.ok();
    say(&room.viewer(1001), "back").await;
    assert_eq!(room.operator().get("chat/restrictions").await.ok(), json!({ "items": [] }));
    let audit = room.operator().get("audit").await.ok();
    let called = audit["entries"].as_array().unwrap().iter().filter(|entry| entry["action"] == "plugin.called");
    let mut called: Vec<(&str, &str)> = called
        .map(|e| (e["by"].as_str().unwrap(), e["to"]["path"].as_str().unwrap().rsplit_once("chat/").unwrap().1))
        .collect();
    called.sort_unstable();
    let removed = format!("messages/{number}");
    let by_streamer =
        ["bans/1001", &removed, &removed, "mutes/1001", "mutes/1001", "mutes/1001"].map(|path| ("77", path));
    assert_eq!(called, [vec![("1", "bans/1001"), ("1", "mutes/1003")], by_streamer.to_vec()].concat());
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_plugins_read_along_each_message_once_and_a_viewers_in_order() {
    let house = House::open(&["chat", "ears"]).await;
    let room = house.room(json!([{ "name": "chat", "config": { "words": ["damn"] } }, { "name": "ears" }])).await;
    let mut heard = room.viewer(1).watch().await;
    let writers = (1001..1021).map(|user_id| {
        let writer = room.viewer(user_id);
        async move {
            for text in ["one", "two", "damn"] {
                // The answer to the first request is lost, as it were.
                for _ in 0..2 {
                    writer.post("chat/messages", saying(text, text)).await.ok();
                }
            }
        }
    });
    stream::iter(writers).buffer_unordered(8).collect::<Vec<_>>().await;
    // What came last to the topic; what came before it is heard before it, as far as it is of the same viewer.
    let mut events = std::collections::BTreeSet::new();
    let mut texts: std::collections::BTreeMap<String, Vec<String>> = std::collections::BTreeMap::new();
    for _ in 0..60 {
        let message = heard.next("ears.heard").await;
        assert!(events.insert(message["eventId"].as_str().unwrap().to_owned()), "twice: {message}");
        let said = &message["said"];
        let writer = texts.entry(said["userId"].as_str().unwrap().to_owned()).or_default();
        writer.push(said["text"].as_str().unwrap().to_owned());
    }
    assert!(texts.len() == 20 && texts.values().all(|texts| texts == &["one", "two", "****"]), "{texts:?}");
    // Another round of repetitions is not heard, but what is new is.
    room.viewer(1001).post("chat/messages", saying("two", "two")).await.ok();
    room.viewer(1001).post("chat/messages", saying("new", "new")).await.ok();
    assert_eq!(heard.next("ears.heard").await["said"]["text"], "new");
    house.close().await;
}

async fn is_banned(room: &Room<'_>, user_id: i64) -> bool {
    room.viewer(user_id).get("chat/messages").await.ok()["me"]["isBanned"] == true
}

/// Restrictions are brought back in pieces, each by a timer.
async fn banned_again(house: &House, room: &Room<'_>, user_id: i64) {
    let begun = std::time::Instant::now();
    while !is_banned(room, user_id).await {
        assert!(begun.elapsed() < Duration::from_secs(60), "{user_id} is not banned again");
        house.clock.advance(Duration::from_millis(200));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_ban_outlives_the_cache() {
    let house = House::open(&["chat"]).await;
    let plugins = json!([{ "name": "chat" }]);
    let room = house.room(plugins.clone()).await;
    let others = house.room(plugins.clone()).await;
    // More than are brought back at once.
    let banned = (1001..1601).map(|user_id| {
        let streamer = room.streamer();
        async move { streamer.put(&format!("chat/bans/{user_id}"), Value::Null).await.ok() }
    });
    stream::iter(banned).buffer_unordered(16).collect::<Vec<_>>().await;
    room.streamer().delete("chat/bans/1002").await.ok();
    room.streamer().put("chat/mutes/1003", json!({ "seconds": 3_600 })).await.ok();
    others.streamer().put("chat/bans/1700", Value::Null).await.ok();
    let (room_id, others_id) = (room.room_id, others.room_id);

    let house = house.restart_from_database().await;
    let (room, others) = (house.known_room(room_id), house.known_room(others_id));
    assert_eq!(history(&room).await, Vec::<String>::new());
    room.operator().delete("streams/current").await.ok();
    room.operator().post("streams", json!({ "plugins": plugins })).await.ok();
    banned_again(&house, &room, 1600).await;
    for (user_id, banned) in [(1001, true), (1002, false), (1003, true), (1599, true), (1601, false)] {
        assert_eq!(is_banned(&room, user_id).await, banned, "{user_id}");
    }
    let _ = room.viewer(1001).post("chat/messages", saying("e1", "hello?")).await.refused(403, "banned");
    room.streamer().delete("chat/bans/1003").await.ok();
    let _ = room.viewer(1003).post("chat/messages", saying("e1", "hello?")).await.refused(403, "muted");
    say(&room.viewer(1002), "I was forgiven").await;

    // In a room whose stream goes on, the first message does it.
    say(&others.viewer(1001), "I am banned elsewhere").await;
    banned_again(&house, &others, 1700).await;
    house.close().await;
}

#[tokio::test]
async fn whoever_cheats_gains_nothing() {
    let house = House::open(&["chat"]).await;
    let room = house.room(json!([{ "name": "chat" }])).await;
    let anna = room.viewer(1001);
    // Time, number and user are the host's to say.
    for forged in ["atMs", "nowMs", "number", "userId", "role", "roomId"] {
        let body = json!({ "eventId": "e1", "text": "hello", forged: 1 });
        let _ = anna.post("chat/messages", body).await.refused(400, "invalid-request");
    }
    for text in [json!(""), json!("x".repeat(501)), json!(7), json!(null)] {
        let _ =
            anna.post("chat/messages", json!({ "eventId": "e1", "text": text })).await.refused(400, "invalid-request");
    }
    for event_id in ["", "a b", "é", &"x".repeat(65)] {
        let _ = anna.post("chat/messages", saying(event_id, "hello")).await.refused(400, "invalid-request");
    }
    assert_eq!(anna.post("chat/messages", saying("e1", "hello")).await.ok()["replayed"], false);
    let _ = anna.post("chat/messages", saying("e1", "something else")).await.refused(422, "event-id-reused");
    // Another's event id is another message.
    assert_eq!(room.viewer(1002).post("chat/messages", saying("e1", "hello")).await.ok()["replayed"], false);
    for seconds in [json!(0), json!(-1), json!(2_592_001), json!("60")] {
        let mute = room.streamer().put("chat/mutes/1001", json!({ "seconds": seconds })).await;
        let _ = mute.refused(400, "invalid-request");
    }
    for user_id in ["0", "-5", "01", "abc", "9223372036854775808"] {
        let ban = room.streamer().put(&format!("chat/bans/{user_id}"), Value::Null).await;
        let _ = ban.refused(400, "invalid-request");
    }
    assert_eq!(history(&room).await, ["hello", "hello"]);
    house.close().await;
}
