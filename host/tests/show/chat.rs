//! A chat: everybody says some things and repeats them, one message is removed, and somebody is banned and comes back.

use std::collections::BTreeMap;

use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::books::Books;
use crate::cast::{Cast, answer, some_time, twice};
use crate::visitor::{Visitor, number, with_id};

const MESSAGES: u64 = 4;
const FOR_MS: u64 = 14_000;

pub fn plugin() -> Value {
    json!({ "name": "chat", "config": { "messagesMax": 100, "historyLen": 200, "roomPerSecondMax": 0 } })
}

/// What was said, as it was answered, and the numbers of what was removed of it.
pub struct Played {
    pub said: Vec<Value>,
    pub removed: Vec<i64>,
}

pub async fn play(cast: &Cast) -> Played {
    let said = join_all(cast.viewers.iter().map(|viewer| talk(cast, viewer))).await;
    let mut said = said.concat();
    let removed = vec![number(&said[0]["number"]), number(&said[1]["number"])];
    for number in &removed {
        let message = cast.path(&format!("chat/messages/{number}"));
        cast.streamer.surely(Method::DELETE, &message, &Value::Null).await.ok();
    }
    said.extend(banned_and_back(cast, &cast.viewers[1]).await);
    Played { said, removed }
}

async fn talk(cast: &Cast, viewer: &Visitor) -> Vec<Value> {
    let mut random = cast.random(viewer.user_id, 7);
    let mut said = Vec::new();
    for number in 0..MESSAGES {
        some_time(&mut random, FOR_MS / MESSAGES).await;
        said.push(say(cast, viewer, &format!("{number}, says {}", viewer.user_id)).await);
    }
    said
}

/// A message, however often it is sent.
async fn say(cast: &Cast, viewer: &Visitor, text: &str) -> Value {
    let (path, ask) = (cast.path("chat/messages"), with_id(json!({ "text": text })));
    let said = twice(viewer, &path, &ask, &[]).await.unwrap();
    let again = viewer.post(&path, &ask).await.ok();
    assert_eq!((answer(&again), &again["replayed"]), (answer(&said), &json!(true)));
    assert_eq!((&said["text"], number(&said["userId"])), (&json!(text), viewer.user_id));
    answer(&said)
}

/// From the answer on a ban holds, and its end does. What was said before it is still answered.
async fn banned_and_back(cast: &Cast, viewer: &Visitor) -> [Value; 2] {
    let (path, ban) = (cast.path("chat/messages"), cast.path(&format!("chat/bans/{}", viewer.user_id)));
    let before = with_id(json!({ "text": "before the ban" }));
    let said = viewer.post(&path, &before).await.ok();
    cast.streamer.surely(Method::PUT, &ban, &Value::Null).await.ok();
    viewer.post(&path, &with_id(json!({ "text": "banned" }))).await.refused("banned");
    assert_eq!(answer(&viewer.post(&path, &before).await.ok()), answer(&said));
    cast.streamer.surely(Method::DELETE, &ban, &Value::Null).await.ok();
    [answer(&said), say(cast, viewer, "back again").await]
}

/// Who enters reads what was answered, each message once, in its order, and nothing else.
pub async fn check(cast: &Cast, played: &Played, books: &mut Books) {
    let history = cast.operator.get(&cast.path("chat/messages")).await.ok();
    let messages: Vec<Value> = history["messages"].as_array().unwrap().iter().map(answer).collect();
    let mut said: BTreeMap<i64, &Value> = played.said.iter().map(|said| (number(&said["number"]), said)).collect();
    assert_eq!(said.len(), played.said.len(), "no two messages have one number");
    said.retain(|number, _| !played.removed.contains(number));
    assert!(messages.iter().eq(said.values().copied()), "{messages:#?} is not what was said: {said:#?}");
    books.saw("messages", messages.len());
}
