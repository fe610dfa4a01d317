//! Chat over three hosts: whatever is said on one of them is read once on each, and limits, mutes and bans hold on all.

use std::collections::BTreeMap;

use futures::future::join_all;
use greenroom_manifest::Role;
use reqwest::Method;
use serde_json::{Value, json};

use crate::audience::Audience;
use crate::books::Books;
use crate::cast::answer;
use crate::chat;
use crate::crowd::{Crowd, HOSTS, ROOM, path};
use crate::site::Site;
use crate::visitor::{Visitor, number, with_id};

/// Where viewers may say little.
const STRICT: i64 = ROOM + 1;
const MESSAGES_MAX: usize = 3;
const WRITER: i64 = 901;
const MUTED: i64 = 902;
/// As many messages as the room's history has.
const HISTORY_LEN: i64 = 200;

fn writers() -> usize {
    if std::env::var_os("GREENROOM_TEST_FULL").is_some() { 10_000 } else { 400 }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_on_three_hosts_is_read_once_on_each_and_limits_and_bans_hold_on_all() {
    let site = Site::open().await;
    let crowd = Crowd::open(&site, &["chat"]).await;
    let cast = crowd.cast();
    cast.open(ROOM, &[chat::plugin()]).await;
    let strict = json!({ "messagesMax": MESSAGES_MAX, "windowMs": 3_600_000 });
    cast.open(STRICT, &[json!({ "name": "chat", "config": strict })]).await;

    let mut audiences = crowd.audiences(ROOM).await;
    audiences.extend(crowd.audiences(ROOM).await);
    let played = chat::play(&cast).await;
    chat::check(&cast, &played, &mut Books::default()).await;
    let mut said = played.said;
    said.extend(crowd.all(writers(), speak).await);
    said.sort_by_key(|said| number(&said["number"]));
    everybody_has_read_each_once(&crowd, &audiences, &mut said, &played.removed).await;
    whoever_enters_reads_the_same_on_each(&crowd, &said, &played.removed).await;

    a_viewers_limit_is_one_for_all_hosts(&crowd).await;
    what_a_moderator_does_on_one_host_holds_on_all(&crowd, &cast.streamer).await;
    crowd.close(&[]).await;
}

/// One message, whatever is repeated and raced.
async fn speak(here: Visitor, there: Visitor, place: usize) -> Value {
    let (path, ask) = (path("chat/messages"), with_id(json!({ "text": format!("I am number {place}") })));
    let (one, other) = if place.is_multiple_of(2) {
        let (one, other) = tokio::join!(here.post(&path, &ask), there.post(&path, &ask));
        (one.ok(), other.ok())
    } else {
        (here.post(&path, &ask).await.ok(), there.post(&path, &ask).await.ok())
    };
    assert_ne!(one["replayed"], other["replayed"], "{one} {other}");
    assert_eq!(answer(&one), answer(&other));
    answer(&one)
}

/// Once all has been read something is said last, so that whatever is shown twice would be there before it.
async fn everybody_has_read_each_once(crowd: &Crowd, audiences: &[Audience], said: &mut Vec<Value>, removed: &[i64]) {
    for audience in audiences {
        audience.count("chat.said", said.len()).await;
    }
    let last = with_id(json!({ "text": "the last word" }));
    said.push(answer(&crowd.operator().post(&path("chat/messages"), &last).await.ok()));
    for audience in audiences {
        let read = audience.until("chat.said", |read| read.iter().any(|read| read.data["text"] == last["text"])).await;
        let mut read: Vec<Value> = read.iter().map(|push| answer(&push.data)).collect();
        read.sort_by_key(|read| number(&read["number"]));
        assert_eq!(read, *said);
        let gone = audience.count("chat.removed", removed.len()).await;
        let mut gone: Vec<i64> = gone.iter().map(|push| number(&push.data["number"])).collect();
        gone.sort_unstable();
        assert_eq!(gone, removed);
    }
}

/// A number that nobody uses leaves an older message in its place.
async fn whoever_enters_reads_the_same_on_each(crowd: &Crowd, said: &[Value], removed: &[i64]) {
    let all: BTreeMap<i64, &Value> = said.iter().map(|said| (number(&said["number"]), said)).collect();
    let newest = number(&said[said.len() - 1]["number"]);
    let recent = all.range(newest - HISTORY_LEN + 1..).filter(|(number, _)| !removed.contains(number)).count();
    let mut histories = Vec::new();
    for host in 0..HOSTS {
        let history = crowd.somebody(WRITER, Role::Viewer, host).get(&path("chat/messages")).await.ok();
        histories.push(history["messages"].as_array().unwrap().iter().map(answer).collect::<Vec<_>>());
    }
    for message in &histories[0] {
        assert_eq!(all.get(&number(&message["number"])), Some(&message));
    }
    assert!(histories[0].is_sorted_by_key(|message| number(&message["number"])), "{:?}", histories[0]);
    let known = histories[0].iter().filter(|message| number(&message["number"]) > newest - HISTORY_LEN).count();
    assert_eq!(known, recent, "{:?}", histories[0]);
    assert!(histories.iter().all(|history| *history == histories[0]), "{histories:?}");
}

/// The same user on each host.
fn everywhere(crowd: &Crowd, user_id: i64) -> Vec<Visitor> {
    (0..HOSTS).map(|host| crowd.somebody(user_id, Role::Viewer, host)).collect()
}

fn strict(path: &str) -> String {
    format!("/v1/rooms/{STRICT}/{path}")
}

async fn a_viewers_limit_is_one_for_all_hosts(crowd: &Crowd) {
    let (writer, path) = (everywhere(crowd, WRITER), strict("chat/messages"));
    let asks: Vec<Value> = (0..12).map(|place| with_id(json!({ "text": format!("me first, {place}") }))).collect();
    let sent = asks.iter().enumerate().map(|(place, ask)| writer[place % HOSTS].try_post(&path, ask));
    let answers = join_all(sent).await.into_iter().map(|answer| answer.unless(&["too-fast"]));
    let said: Vec<(&Value, Value)> = asks.iter().zip(answers).filter_map(|(ask, said)| Some((ask, said?))).collect();
    assert_eq!(said.len(), MESSAGES_MAX, "{said:?}");
    for host in &writer {
        host.try_post(&path, &with_id(json!({ "text": "one more" }))).await.refused("too-fast");
        for (ask, first) in &said {
            let again = host.try_post(&path, ask).await.ok();
            assert_eq!((answer(&again), &again["replayed"]), (answer(first), &json!(true)));
        }
    }
}

/// Mutes on one host, lifts it on the next, bans on the third; each is in force on all from its answer on, and the user is told on all.
async fn what_a_moderator_does_on_one_host_holds_on_all(crowd: &Crowd, streamer: &Visitor) {
    let (user, path) = (everywhere(crowd, MUTED), strict("chat/messages"));
    let moderator = |host| crowd.somebody(streamer.user_id, Role::Streamer, host);
    let told = crowd.watched_by(MUTED, STRICT).await;
    let (mute, ban) = (strict(&format!("chat/mutes/{MUTED}")), strict(&format!("chat/bans/{MUTED}")));
    let (hello, seconds) = (|| with_id(json!({ "text": "hello" })), json!({ "seconds": 3_600 }));
    let known = hello();
    let first = user[0].post(&path, &known).await.ok();

    let mut held = vec![moderator(0).surely(Method::PUT, &mute, &seconds).await.ok()];
    for host in &user {
        host.try_post(&path, &hello()).await.refused("muted");
        assert_eq!(host.get(&path).await.ok()["me"], held[0]);
    }
    held.push(moderator(1).surely(Method::DELETE, &mute, &Value::Null).await.ok());
    user[2].try_post(&path, &hello()).await.ok();
    held.push(moderator(2).surely(Method::PUT, &ban, &Value::Null).await.ok());
    for (host, visitor) in user.iter().enumerate() {
        visitor.try_post(&path, &hello()).await.refused("banned");
        assert_eq!(answer(&visitor.try_post(&path, &known).await.ok()), answer(&first), "what was said is said");
        let list = moderator(host).pages(&strict("chat/restrictions")).await;
        let listed: Vec<_> = list.iter().map(|entry| (number(&entry["userId"]), &entry["isBanned"])).collect();
        assert_eq!(listed, [(MUTED, &json!(true))]);
    }
    for audience in &told {
        let told = audience.count("chat.restricted", held.len()).await;
        assert!(told.iter().map(|push| &push.data).eq(&held), "{told:?} is not {held:?}");
    }
}
