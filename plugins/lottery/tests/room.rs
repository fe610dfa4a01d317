//! Lotteries in a whole room: who enters, who is refused, what is drawn and paid, and that everybody can compute it again.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test")]

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use futures::StreamExt;
use futures::stream;
use greenroom_testkit::{House, Role, Room, Visitor, event_id};
use serde_json::{Value, json};

const STREAMER: i64 = 77;

fn lottery(entry: Value, prizes: Value) -> Value {
    json!({ "eventId": event_id(), "title": "Test", "entry": entry, "prizes": prizes })
}

async fn make(room: &Room<'_>, definition: Value) -> String {
    let made = room.streamer().post("lotteries", definition).await.ok();
    let lottery_id = made["lotteryId"].as_str().unwrap().to_owned();
    until(room, &lottery_id, |lottery| lottery["status"] == "open").await;
    lottery_id
}

/// Waits until the lottery is as it should be, and gives it.
async fn until(room: &Room<'_>, lottery_id: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let path = format!("lotteries/{lottery_id}");
    for _ in 0..3_000 {
        let answer = room.viewer(1).get(&path).await;
        if answer.status == 200 && is_so(&answer.body) {
            return answer.ok();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("lottery {lottery_id} does not become what it should: {:?}", room.viewer(1).get(&path).await);
}

async fn enter(visitor: &Visitor, lottery_id: &str) -> greenroom_testkit::Answer {
    visitor.post(&format!("lotteries/{lottery_id}/entries"), json!({ "eventId": event_id() })).await
}

/// Ends entering by hand, lets the time to the draw pass, and gives the lottery with its winners.
async fn drawn(house: &House, room: &Room<'_>, lottery_id: &str) -> Value {
    let closed = room.streamer().post(&format!("lotteries/{lottery_id}/draw"), json!(null)).await.ok();
    assert_eq!((&closed["status"], &closed["secret"]), (&json!("closed"), &json!(null)), "{closed}");
    house.clock.advance(Duration::from_secs(3));
    until(room, lottery_id, |lottery| lottery["status"] == "drawn" && lottery["isPaid"] == true).await
}

async fn entrants(room: &Room<'_>, lottery_id: &str) -> Vec<Value> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = room.viewer(1).get(&format!("lotteries/{lottery_id}/entrants{cursor}")).await.ok();
        all.extend(page["items"].as_array().unwrap().iter().cloned());
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("?cursor={next}"),
            None => return all,
        }
    }
}

fn has_entered(entrants: &[Value], user_id: i64) -> bool {
    entrants.iter().any(|entrant| entrant["userId"] == json!(user_id.to_string()))
}

/// What the script in `examples` says of public data.
fn verified(lottery: &Value, entrants: &[Value]) -> (bool, String) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/verify-lottery.py");
    let mut script = Command::new("python3")
        .args([script, "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("python3: {e}; install Debian's package `python3`"));
    let data = json!({ "lottery": lottery, "entrants": entrants }).to_string();
    script.stdin.take().unwrap().write_all(data.as_bytes()).unwrap();
    let output = script.wait_with_output().unwrap();
    (output.status.success(), String::from_utf8(output.stdout).unwrap())
}

#[tokio::test]
async fn a_click_enters_once_and_the_draw_is_public_and_can_be_computed_again() {
    let house = House::open(&["lottery"]).await;
    let room = house.room(json!([{ "name": "lottery" }])).await;
    let mut seen = room.viewer(1).watch().await;
    let mut definition = lottery(
        json!({ "kind": "free" }),
        json!([
            { "name": "a shirt", "stock": 2, "weight": 1 }, { "name": "a sticker", "stock": 30, "weight": 5 },
        ]),
    );
    definition["closesInS"] = json!(60);
    definition["blankWeight"] = json!(3);
    let made = room.streamer().post("lotteries", definition.clone()).await.ok();
    assert_eq!(room.streamer().post("lotteries", definition.clone()).await.ok()["replayed"], true);
    definition["title"] = json!("Other");
    let _ = room.streamer().post("lotteries", definition).await.refused(422, "event-id-reused");
    let lottery_id = made["lotteryId"].as_str().unwrap();
    let opened = seen.next("lottery.opened").await;
    assert_eq!((&opened["lotteryId"], &opened["secret"]), (&json!(lottery_id), &json!(null)));

    let path = format!("lotteries/{lottery_id}/entries");
    let click = |user_id: i64| {
        let (viewer, path) = (room.viewer(user_id), path.clone());
        async move {
            let id = event_id();
            let (one, other) = tokio::join!(
                viewer.post(&path, json!({ "eventId": id })),
                viewer.post(&path, json!({ "eventId": id })),
            );
            let firsts = [one.ok(), other.ok()].iter().filter(|answer| answer["replayed"] == false).count();
            assert_eq!(firsts, 1, "viewer {user_id}");
            let _ = enter(&viewer, path.split('/').nth(1).unwrap()).await.refused(409, "no-chances-left");
        }
    };
    stream::iter((1_001..1_301).map(click)).buffer_unordered(16).collect::<Vec<_>>().await;
    let _ = room.viewer(1).get(&format!("lotteries/{lottery_id}/entrants")).await.refused(409, "entering-not-over");
    let house_before = opened["commitment"].clone();

    house.clock.advance(Duration::from_secs(60));
    let _ = enter(&room.viewer(9), lottery_id).await.refused(409, "lottery-not-open");
    house.clock.advance(Duration::from_secs(3));
    let closed = seen.next("lottery.closed").await;
    assert_eq!(closed["closing"]["chances"], 300);
    house.clock.advance(Duration::from_secs(3));
    let pushed = seen.next("lottery.drawn").await;
    let lottery = until(&room, lottery_id, |lottery| lottery["status"] == "drawn").await;
    assert_eq!((&pushed["secret"], &pushed["wins"]), (&lottery["secret"], &lottery["wins"]));
    assert_eq!((&lottery["commitment"], &lottery["closing"]), (&house_before, &closed["closing"]));
    assert_eq!(lottery["wins"].as_array().unwrap().len(), 32, "all prizes are won");

    let list = entrants(&room, lottery_id).await;
    assert_eq!(list.len(), 300);
    assert_eq!(verified(&lottery, &list), (true, "the draw is as it was promised\n".into()));
    let mut other = lottery.clone();
    other["wins"][0]["userId"] = json!("1001");
    other["wins"][1]["userId"] = json!("1001");
    assert!(!verified(&other, &list).0, "a winner who did not win");
    assert!(!verified(&lottery, &list[1..]).0, "an entrant who is missing");
    let mut other = lottery.clone();
    other["secret"] = json!("00".repeat(32));
    assert!(!verified(&other, &list).0, "another secret");
    house.close().await;
}

#[tokio::test]
async fn tickets_and_prizes_are_paid_from_a_pot_that_is_empty_at_the_end() {
    let house = House::open(&["lottery"]).await;
    house.give(STREAMER, 1_000).await;
    for user_id in 1_001..1_021 {
        house.give(user_id, 25).await;
    }
    let room = house.room(json!([{ "name": "lottery", "config": { "platformShareBps": 3_000 } }])).await;
    let mut definition =
        lottery(json!({ "kind": "ticket", "price": "10" }), json!([{ "name": "coins", "stock": 3, "coins": "300" }]));
    definition["chancesPerViewer"] = json!(2);
    let lottery_id = make(&room, definition.clone()).await;
    assert_eq!(room.streamer().post("lotteries", definition).await.ok()["replayed"], true);
    assert_eq!(house.settled(STREAMER).await, 100);

    let path = format!("lotteries/{lottery_id}/entries");
    for user_id in 1_001..1_021 {
        let viewer = room.viewer(user_id);
        let ticket = json!({ "eventId": event_id() });
        assert_eq!(viewer.post(&path, ticket.clone()).await.ok()["balance"], "15");
        assert_eq!(viewer.post(&path, ticket).await.ok()["replayed"], true);
        viewer.post(&path, json!({ "eventId": event_id() })).await.ok();
        let _ = viewer.post(&path, json!({ "eventId": event_id() })).await.refused(409, "no-chances-left");
    }
    let _ = room.viewer(3_001).post(&path, json!({ "eventId": event_id() })).await.refused(404, "account-not-found");
    assert_eq!(house.settled(1_001).await, 5);
    // The last tickets count as soon as their coins are in the pot.
    for user_id in 1_001..1_021 {
        let mine = format!("lotteries/{lottery_id}/entries/me");
        while room.viewer(user_id).get(&mine).await.ok()["chances"] != 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    let room_id = room.room_id;
    let house = house.restart().await;
    let room = house.known_room(room_id);
    let lottery = drawn(&house, &room, &lottery_id).await;
    let winners: Vec<i64> = lottery["wins"]
        .as_array()
        .unwrap()
        .iter()
        .map(|win| win["userId"].as_str().unwrap().parse().unwrap())
        .collect();
    assert_eq!(winners.len(), 3);
    assert_eq!(lottery["closing"]["chances"], 40);
    for user_id in 1_001..1_021 {
        let won = winners.iter().filter(|winner| **winner == user_id).count();
        assert!(won <= 1);
        house.has(user_id, 5 + 300 * i64::try_from(won).unwrap()).await;
    }
    // 40 tickets of 10 coins: 3,000 basis points are 120.
    assert_eq!((house.settled(STREAMER).await, house.settled(-2).await), (100 + 280, 120));
    assert!(verified(&lottery, &entrants(&room, &lottery_id).await).0);
    house.close().await;
}

#[tokio::test]
async fn a_full_lottery_gives_late_tickets_back_and_a_cancelled_one_all_of_them() {
    let house = House::open(&["lottery"]).await;
    let room = house.room(json!([{ "name": "lottery" }])).await;
    house.give(STREAMER, 50).await;
    for user_id in 1_001..1_009 {
        house.give(user_id, 10).await;
    }
    let ticket = json!({ "kind": "ticket", "price": 10 });
    let mut definition = lottery(ticket.clone(), json!([{ "name": "coins", "stock": 1, "coins": 50 }]));
    definition["chancesMax"] = json!(3);
    let full = make(&room, definition).await;
    let buy = (1_001..1_009).map(|user_id| {
        let (viewer, full) = (room.viewer(user_id), full.clone());
        async move { enter(&viewer, &full).await }
    });
    let bought = stream::iter(buy).buffer_unordered(8).filter(|answer| {
        let is_bought = answer.status == 200;
        async move { is_bought }
    });
    assert!(bought.count().await >= 3);
    // It is full, so entering is over by itself.
    until(&room, &full, |lottery| lottery["status"] == "closed").await;
    house.clock.advance(Duration::from_secs(3));
    let lottery = until(&room, &full, |lottery| lottery["isPaid"] == true).await;
    assert_eq!(lottery["closing"]["chances"], 3);
    let winner: i64 = lottery["wins"][0]["userId"].as_str().unwrap().parse().unwrap();
    let listed = entrants(&room, &full).await;
    for user_id in 1_001..1_009 {
        let entered = has_entered(&listed, user_id);
        let expected = if entered { 0 } else { 10 } + if winner == user_id { 50 } else { 0 };
        house.has(user_id, expected).await;
    }

    let cancelled = make(&room, lottery_with(ticket, 2)).await;
    let richest = (1_001..1_009).find(|user_id| !has_entered(&listed, *user_id)).unwrap();
    enter(&room.viewer(richest), &cancelled).await.ok();
    house.has(richest, 0).await;
    // What is given back is what counts, and it counts once its coins are in the pot.
    let mine = format!("lotteries/{cancelled}/entries/me");
    while room.viewer(richest).get(&mine).await.ok()["chances"] != 1 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let path = format!("lotteries/{cancelled}/cancel");
    let _ = room.viewer(richest).post(&path, json!(null)).await.refused(403, "forbidden");
    for _ in 0..2 {
        assert_eq!(room.streamer().post(&path, json!(null)).await.ok()["status"], "cancelled");
    }
    until(&room, &cancelled, |lottery| lottery["isPaid"] == true).await;
    house.has(richest, 10).await;
    let _ = enter(&room.viewer(richest), &cancelled).await.refused(409, "lottery-not-open");
    let _ =
        room.streamer().post(&format!("lotteries/{cancelled}/draw"), json!(null)).await.refused(409, "lottery-over");
    let _ = room.streamer().post(&format!("lotteries/{full}/cancel"), json!(null)).await.refused(409, "lottery-over");
    house.close().await;
}

fn lottery_with(entry: Value, stock: u32) -> Value {
    lottery(entry, json!([{ "name": "a shirt", "stock": stock }]))
}

#[tokio::test]
async fn who_sends_the_gift_enters_and_nobody_enters_or_ends_what_is_not_theirs() {
    let house = House::open(&["lottery", "gift"]).await;
    let room = house.room(json!([{ "name": "lottery" }, { "name": "gift" }])).await;
    house.give(1_001, 1_000).await;
    let mut definition = lottery_with(json!({ "kind": "gift", "minSpend": "20" }), 1);
    definition["chancesPerViewer"] = json!(100);
    let lottery_id = make(&room, definition).await;
    let viewer = room.viewer(1_001);
    let gifts = viewer.get("gifts").await.ok();
    let gift = gifts["gifts"].as_array().unwrap().iter().find(|gift| gift["assetType"] == 1).unwrap().clone();
    let price: i64 = gift["price"].as_str().unwrap().parse().unwrap();
    for count in [1, 20] {
        let sent = json!({ "eventId": event_id(), "giftId": gift["giftId"], "count": count });
        viewer.post("gifts", sent.clone()).await.ok();
        viewer.post("gifts", sent).await.ok();
    }
    let expected = i64::from(price >= 20) + 1;
    let mine = format!("lotteries/{lottery_id}/entries/me");
    while viewer.get(&mine).await.ok()["chances"] != expected {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let _ = enter(&viewer, &lottery_id).await.refused(409, "other-entry");
    let _ = viewer.post("lotteries", lottery_with(json!({ "kind": "free" }), 1)).await.refused(403, "forbidden");
    let draw = format!("lotteries/{lottery_id}/draw");
    let _ = room.somebody(78, Role::Streamer).post(&draw, json!(null)).await.refused(403, "forbidden");
    let _ = enter(&viewer, "0123456789abcdef0123").await.refused(404, "lottery-not-found");
    for bad in [json!({}), json!({ "eventId": "" }), json!({ "eventId": "e", "userId": "7" })] {
        let _ = viewer.post(&format!("lotteries/{lottery_id}/entries"), bad).await.refused(400, "invalid-request");
    }
    for prizes in [json!([]), json!([{ "name": "x", "stock": 0 }]), json!([{ "name": "x", "stock": 1, "coins": -5 }])] {
        let _ = room
            .streamer()
            .post("lotteries", lottery(json!({ "kind": "free" }), prizes))
            .await
            .refused(400, "invalid-request");
    }
    let lottery = drawn(&house, &room, &lottery_id).await;
    assert_eq!(lottery["wins"], json!([{ "userId": "1001", "tier": 0 }]));
    house.close().await;
}

#[tokio::test]
async fn who_says_the_word_enters_and_other_words_do_not() {
    let house = House::open(&["lottery", "chat"]).await;
    let room = house.room(json!([{ "name": "lottery" }, { "name": "chat" }])).await;
    let lottery_id = make(&room, lottery_with(json!({ "kind": "keyword", "word": "Luck" }), 5)).await;
    let says = [(1_001, "luck!"), (1_002, "good LUCK to all"), (1_003, "unlucky"), (1_001, "luck again")];
    for (user_id, text) in says {
        room.viewer(user_id).post("chat/messages", json!({ "eventId": event_id(), "text": text })).await.ok();
        house.clock.advance(Duration::from_secs(5));
    }
    for user_id in [1_001, 1_002] {
        let mine = format!("lotteries/{lottery_id}/entries/me");
        while room.viewer(user_id).get(&mine).await.ok()["chances"] != 1 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    let lottery = drawn(&house, &room, &lottery_id).await;
    let mut winners: Vec<&str> =
        lottery["wins"].as_array().unwrap().iter().map(|win| win["userId"].as_str().unwrap()).collect();
    winners.sort_unstable();
    assert_eq!(winners, ["1001", "1002"]);
    house.close().await;
}

#[tokio::test]
async fn what_a_failure_of_the_cache_has_forgotten_is_given_back_to_whoever_paid() {
    let house = House::open(&["lottery"]).await;
    let room = house.room(json!([{ "name": "lottery" }])).await;
    house.give(STREAMER, 50).await;
    for user_id in 1_001..1_004 {
        house.give(user_id, 25).await;
    }
    let ticket = json!({ "kind": "ticket", "price": 10 });
    let mut definition = lottery(ticket, json!([{ "name": "coins", "stock": 1, "coins": 50 }]));
    definition["chancesPerViewer"] = json!(2);
    let lottery_id = make(&room, definition.clone()).await;
    for user_id in [1_001, 1_001, 1_002] {
        enter(&room.viewer(user_id), &lottery_id).await.ok();
    }
    house.has(1_001, 5).await;
    house.has(1_002, 15).await;
    let mine = format!("lotteries/{lottery_id}/entries/me");
    for (user_id, chances) in [(1_001, 2), (1_002, 1)] {
        while room.viewer(user_id).get(&mine).await.ok()["chances"] != chances {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    let room_id = room.room_id;
    let house = house.restart_from_database().await;
    let room = house.known_room(room_id);
    let path = format!("lotteries/{lottery_id}/entries");
    // Whoever comes next finds that it is over; nobody buys a chance in what can never be drawn.
    let _ = room.viewer(1_003).post(&path, json!({ "eventId": event_id() })).await.refused(409, "lottery-not-open");
    let lottery = until(&room, &lottery_id, |lottery| lottery["isPaid"] == true).await;
    assert_eq!((&lottery["status"], &lottery["secret"]), (&json!("cancelled"), &json!(null)));
    for (user_id, coins) in [(STREAMER, 50), (1_001, 25), (1_002, 25), (1_003, 25)] {
        house.has(user_id, coins).await;
    }
    let house = house.restart_from_database().await;
    let room = house.known_room(room_id);
    assert_eq!(until(&room, &lottery_id, |_| true).await["isPaid"], true);
    house.close().await;
}

#[tokio::test]
async fn a_lottery_that_nobody_ends_ends_and_long_names_are_no_obstacle() {
    let house = House::open(&["lottery"]).await;
    let room = house.room(json!([{ "name": "lottery" }])).await;
    house.give(STREAMER, 20).await;
    house.give(1_001, 10).await;
    let prizes: Vec<Value> = (0..20).map(|_| json!({ "name": "🎁".repeat(100), "stock": 1, "coins": 1 })).collect();
    let lottery_id = make(&room, lottery(json!({ "kind": "ticket", "price": 10 }), json!(prizes))).await;
    enter(&room.viewer(1_001), &lottery_id).await.ok();
    let mine = format!("lotteries/{lottery_id}/entries/me");
    while room.viewer(1_001).get(&mine).await.ok()["chances"] != 1 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    house.clock.advance(Duration::from_secs(31 * 24 * 60 * 60));
    until(&room, &lottery_id, |lottery| lottery["status"] == "closed").await;
    house.clock.advance(Duration::from_secs(3));
    let lottery = until(&room, &lottery_id, |lottery| lottery["isPaid"] == true).await;
    assert_eq!(lottery["wins"].as_array().unwrap().len(), 1);
    house.has(1_001, 1).await;
    house.has(STREAMER, 19 + 5).await;
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_lotteries_that_are_made_at_once_all_open() {
    let house = House::open(&["lottery"]).await;
    let room = house.room(json!([{ "name": "lottery", "config": { "openMax": 50 } }])).await;
    house.give(STREAMER, 40).await;
    let definition = || lottery(json!({ "kind": "free" }), json!([{ "name": "a coin", "stock": 1, "coins": 1 }]));
    let made = futures::future::join_all((0..40).map(|_| make(&room, definition()))).await;
    assert_eq!(made.len(), 40);
    house.close().await;
}
