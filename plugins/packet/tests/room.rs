//! The built plugin in a whole room: packets that are given, grabbed, closed and verified, and what is refused.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::{StreamExt, stream};
use greenroom_sdk::fair::{Digest, Secret};
use greenroom_testkit::{House, Room, Visitor, event_id};
use serde_json::{Value, json};

const ANNA: i64 = 1001;
/// A second more than any packet here lasts.
const LATER: Duration = Duration::from_secs(601);

async fn room(house: &House, config: Value) -> Room<'_> {
    house.room(json!([{ "name": "packet", "config": config }])).await
}

fn ask(kind: &str, amount: i64, shares: u32) -> Value {
    json!({ "eventId": event_id(), "kind": kind, "amount": amount, "shares": shares })
}

fn with(mut ask: Value, more: Value) -> Value {
    ask.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    ask
}

/// Gives a packet and waits until it is pushed; gives its id.
async fn given(giver: &Visitor, ask: Value, push: &str) -> String {
    let mut seen = giver.watch().await;
    let given = giver.post("packets", ask).await.ok();
    let opened = seen.next(push).await;
    assert_eq!(opened["packetId"], given["packetId"]);
    given["packetId"].as_str().unwrap().into()
}

fn grabs(packet_id: &str) -> String {
    format!("packets/{packet_id}/grabs")
}

fn amount(of: &Value) -> i64 {
    of["amount"].as_str().unwrap().parse().unwrap()
}

/// The packet once all is paid, asked for until then.
async fn ended(viewer: &Visitor, packet_id: &str) -> Value {
    for _ in 0..3_000 {
        let packet = viewer.get(&format!("packets/{packet_id}")).await.ok();
        if packet.get("outcome").is_some() {
            return packet;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("packet {packet_id} has no outcome after a minute")
}

/// All who grabbed: number → (user, amount), from the pages of the list.
async fn listed(viewer: &Visitor, packet_id: &str) -> BTreeMap<u64, (String, i64)> {
    let (mut all, mut place) = (BTreeMap::new(), format!("{}?limit=100", grabs(packet_id)));
    loop {
        let page = viewer.get(&place).await.ok();
        for grab in page["items"].as_array().unwrap() {
            let user_id = grab["userId"].as_str().unwrap().to_owned();
            assert!(all.insert(grab["number"].as_u64().unwrap(), (user_id, amount(grab))).is_none(), "a number twice");
        }
        match page["nextCursor"].as_str() {
            Some(cursor) => place = format!("{}?limit=100&cursor={cursor}", grabs(packet_id)),
            None => return all,
        }
    }
}

/// Computes the shares from what is public alone: another way to write the description than the plugin's.
fn computed(packet: &Value) -> Vec<i64> {
    let secret: Secret = serde_json::from_value(packet["outcome"]["secret"].clone()).unwrap();
    assert_eq!(json!(secret.commitment()), packet["commitment"]);
    let text = |field: &str| packet[field].as_str().unwrap().to_owned();
    let (sum, shares) = (amount(packet), packet["shares"].as_i64().unwrap());
    if text("kind") == "equal" {
        return (0..shares).map(|_| sum / shares).collect();
    }
    let digest = Digest::of([text("packetId"), text("kind"), sum.to_string(), shares.to_string()]);
    let mut numbers = secret.stream(digest);
    let mut ends = vec![0, sum];
    for top in sum - shares + 1..sum {
        let cut = 1 + i64::try_from(numbers.below(u64::try_from(top).unwrap())).unwrap();
        ends.push(if ends.contains(&cut) { top } else { cut });
    }
    ends.sort_unstable();
    ends.windows(2).map(|two| two[1] - two[0]).collect()
}

/// Asserts that a packet that has ended is what it was committed to be, to the last coin.
async fn proven(viewer: &Visitor, packet_id: &str) -> Value {
    let packet = ended(viewer, packet_id).await;
    let (shares, grabbed) = (computed(&packet), listed(viewer, packet_id).await);
    assert_eq!(packet["outcome"]["grabbed"], grabbed.len());
    let mut paid = 0;
    for (place, (number, (_, amount))) in (1..).zip(&grabbed) {
        assert_eq!((*number, *amount), (place, shares[usize::try_from(place).unwrap() - 1]), "numbers have no gaps");
        paid += amount;
    }
    let returned: i64 = packet["outcome"]["returned"].as_str().unwrap().parse().unwrap();
    assert_eq!(paid + returned, amount(&packet), "never more than was given, and never less");
    packet
}

#[tokio::test]
async fn a_packet_is_given_grabbed_and_verified_and_the_rest_goes_back() {
    let house = House::open(&["packet"]).await;
    house.give(ANNA, 1_000).await;
    let room = room(&house, json!({})).await;
    let (anna, bert, cora) = (room.viewer(ANNA), room.viewer(1002), room.viewer(1003));
    let mut seen = bert.watch().await;
    let wanted = with(ask("random", 600, 5), json!({ "message": "Happy new year" }));
    let first = anna.post("packets", wanted.clone()).await.ok();
    assert_eq!(
        (&first["amount"], &first["balance"], &first["replayed"]),
        (&json!("600"), &json!("400"), &json!(false))
    );
    let packet_id = first["packetId"].as_str().unwrap();

    // What everybody is told: all but the secret.
    let opened = seen.next("packet.opened").await;
    assert_eq!(
        (&opened["packetId"], &opened["message"], &opened["shares"]),
        (&json!(packet_id), &json!("Happy new year"), &json!(5))
    );
    let place = format!("packets/{packet_id}");
    let open = bert.get(&place).await.ok();
    assert_eq!(
        (&open["state"], &open["grabbed"], &open["commitment"]),
        (&json!("open"), &json!(0), &opened["commitment"])
    );
    for public in [&first, &opened, &open, &anna.get("packets").await.ok()] {
        let text = public.to_string();
        assert!(!text.contains("secret") && !text.contains("pot"), "{text}");
    }

    // The same event id is the same packet, and other content under it is refused.
    let again = anna.post("packets", wanted.clone()).await.ok();
    assert_eq!((&again["packetId"], &again["replayed"]), (&first["packetId"], &json!(true)));
    let _ = anna.post("packets", with(wanted, json!({ "amount": 601 }))).await.refused(422, "event-id-reused");

    // Each grabs once, whatever is repeated; the giver may, too.
    let share = bert.post(&grabs(packet_id), json!(null)).await.ok();
    assert_eq!((&share["number"], &share["replayed"]), (&json!(1), &json!(false)));
    for _ in 0..3 {
        let again = bert.post(&grabs(packet_id), json!(null)).await.ok();
        assert_eq!(
            (&again["number"], &again["amount"], &again["replayed"]),
            (&json!(1), &share["amount"], &json!(true))
        );
    }
    assert_eq!(anna.post(&grabs(packet_id), json!(null)).await.ok()["number"], 2);
    house.clock.advance(Duration::from_millis(500));
    assert_eq!(seen.next("packet.tally").await, json!({ "packetId": packet_id, "grabbed": 2, "shares": 5 }));

    house.clock.advance(LATER);
    let closed = seen.next("packet.closed").await;
    let packet = proven(&cora, packet_id).await;
    assert_eq!(
        (&closed["secret"], &closed["returned"], &closed["grabbed"]),
        (&packet["outcome"]["secret"], &packet["outcome"]["returned"], &json!(2))
    );
    assert_eq!(packet["state"], "closed");
    let best = listed(&cora, packet_id).await.into_values().map(|(_, amount)| amount).max().unwrap();
    assert_eq!(amount(&packet["outcome"]["best"]), best);
    let _ = cora.post(&grabs(packet_id), json!(null)).await.refused(409, "packet-closed");
    assert_eq!(bert.post(&grabs(packet_id), json!(null)).await.ok()["amount"], share["amount"], "an old answer stays");
    let shown = cora.get("packets?limit=1").await.ok();
    assert_eq!(shown["items"][0]["outcome"], packet["outcome"]);
    house.reconciles().await;
    assert_eq!(house.settled(1002).await, amount(&share));
    assert_eq!(house.settled(ANNA).await + amount(&share), 1_000, "Anna has everything that Bert has not");
    house.close().await;
}

#[tokio::test]
async fn two_thousand_clicks_at_once_take_a_hundred_shares_and_not_one_coin_more() {
    const CLICKS: i64 = 2_000;
    let house = House::open(&["packet"]).await;
    house.give(ANNA, 10_000).await;
    let room = room(&house, json!({})).await;
    let packet_id = given(&room.viewer(ANNA), ask("random", 10_000, 100), "packet.opened").await;
    let place = grabs(&packet_id);
    // A thousand viewers, each of whom clicks twice at the same time.
    let clicks = (0..CLICKS).map(|click| {
        let (viewer, place) = (room.viewer(2_001 + click / 2), place.clone());
        async move { (viewer.user_id, viewer.post(&place, json!(null)).await) }
    });
    let answers: Vec<_> = stream::iter(clicks).buffer_unordered(200).collect().await;
    let mut got = BTreeMap::new();
    for (user_id, answer) in answers {
        if answer.status != 200 {
            let _ = answer.refused(409, "packet-empty");
            continue;
        }
        let share = answer.ok();
        let (number, amount) = (share["number"].as_u64().unwrap(), amount(&share));
        assert_eq!(*got.entry(user_id).or_insert((number, amount)), (number, amount), "one share for each viewer");
    }
    assert_eq!(got.len(), 100);
    let numbers: BTreeSet<u64> = got.values().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (1..=100).collect());
    assert_eq!(got.values().map(|(_, amount)| amount).sum::<i64>(), 10_000, "exactly what was given");

    // The last share has closed the packet, long before its time.
    let packet = proven(&room.viewer(1), &packet_id).await;
    assert_eq!((&packet["outcome"]["returned"], &packet["outcome"]["grabbed"]), (&json!("0"), &json!(100)));
    house.reconciles().await;
    for (user_id, (_, amount)) in got {
        assert_eq!(house.settled(user_id).await, amount);
    }
    assert_eq!(house.settled(ANNA).await, 0);
    house.close().await;
}

#[tokio::test]
async fn a_restart_in_the_middle_changes_nothing_and_many_shares_are_closed_in_pieces() {
    let mut house = House::open(&["packet"]).await;
    house.give(ANNA, 50_000).await;
    let config = json!({ "sharesMax": 10_000 });
    let (room_id, packet_id, early) = {
        let room = room(&house, config).await;
        let packet_id = given(&room.viewer(ANNA), ask("random", 50_000, 10_000), "packet.opened").await;
        let place = grabs(&packet_id);
        let clicks = (2_001..2_601).map(|user_id| {
            let (viewer, place) = (room.viewer(user_id), place.clone());
            async move { viewer.post(&place, json!(null)).await.ok() }
        });
        let early: Vec<Value> = stream::iter(clicks).buffer_unordered(32).collect().await;
        (room.room_id, packet_id, early)
    };
    house = house.restart().await;
    // The room is there again; only the handle is new.
    let room = house.known_room(room_id);
    let share = room.viewer(2_001).post(&grabs(&packet_id), json!(null)).await.ok();
    assert!(early.contains(&{
        let mut first = share.clone();
        first["replayed"] = json!(false);
        first
    }));
    assert_eq!(room.viewer(3_001).post(&grabs(&packet_id), json!(null)).await.ok()["number"], 601);
    house.clock.advance(LATER);
    let packet = proven(&room.viewer(1), &packet_id).await;
    assert_eq!(packet["outcome"]["grabbed"], 601);
    house.reconciles().await;
    let paid: i64 = listed(&room.viewer(1), &packet_id).await.values().map(|(_, amount)| amount).sum();
    assert_eq!(house.settled(ANNA).await, 50_000 - paid);
    house.close().await;
}

#[tokio::test]
async fn nobody_grabs_before_the_opening_after_the_close_or_below_the_level() {
    let house = House::open(&["packet"]).await;
    house.give(77, 1_000).await;
    let room = room(&house, json!({ "giverMayGrab": false })).await;
    let (streamer, bert) = (room.streamer(), room.viewer(1002));
    let mut seen = bert.watch().await;
    let counted = with(ask("equal", 100, 10), json!({ "opensInMs": 10_000, "lastsMs": 60_000 }));
    let packet_id = given(&streamer, counted, "packet.announced").await;
    let announced = seen.next("packet.announced").await;
    let early = bert.post(&grabs(&packet_id), json!(null)).await.refused(409, "packet-not-open");
    assert_eq!(early["extra"], json!(null), "{early}");
    let shown = bert.get(&format!("packets/{packet_id}")).await.ok();
    assert_eq!(
        (&shown["state"], &shown["commitment"]),
        (&json!("announced"), &announced["commitment"]),
        "before it opens"
    );
    // Forged times and other people's ids are no fields of a grab; the host does not read them.
    let forged = json!({ "userId": "1003", "nowMs": 4_000_000_000_000_u64, "number": 1 });
    let _ = bert.post(&grabs(&packet_id), forged).await.refused(409, "packet-not-open");
    house.clock.advance(Duration::from_millis(9_999));
    let _ = bert.post(&grabs(&packet_id), json!(null)).await.refused(409, "packet-not-open");
    house.clock.advance(Duration::from_millis(1));
    assert_eq!(seen.next("packet.opened").await, announced);
    assert_eq!(bert.post(&grabs(&packet_id), json!(null)).await.ok()["amount"], "10");
    let _ = streamer.post(&grabs(&packet_id), json!(null)).await.refused(403, "own-packet");
    let _ = room.operator().post(&grabs(&packet_id), json!(null)).await.refused(403, "forbidden");

    // Closed by hand: at once, for everybody, and what is left is back.
    let _ = bert.post(&format!("packets/{packet_id}/close"), json!(null)).await.refused(403, "forbidden");
    room.operator().post(&format!("packets/{packet_id}/close"), json!(null)).await.ok();
    let _ = room.viewer(1003).post(&grabs(&packet_id), json!(null)).await.refused(409, "packet-closed");
    assert_eq!(proven(&bert, &packet_id).await["outcome"]["returned"], "90");

    // By hand before it opens, too: then it never does.
    let counted = with(ask("equal", 100, 10), json!({ "opensInMs": 10_000 }));
    let packet_id = given(&streamer, counted, "packet.announced").await;
    room.operator().post(&format!("packets/{packet_id}/close"), json!(null)).await.ok();
    assert_eq!(proven(&bert, &packet_id).await["outcome"]["returned"], "100");
    house.clock.advance(Duration::from_millis(10_000));
    let _ = bert.post(&grabs(&packet_id), json!(null)).await.refused(409, "packet-closed");

    // The token says level 1.
    let packet_id = given(&streamer, with(ask("equal", 100, 1), json!({ "minLevel": 2 })), "packet.opened").await;
    let _ = bert.post(&grabs(&packet_id), json!(null)).await.refused(403, "level-too-low");
    house.clock.advance(LATER);
    assert_eq!(proven(&bert, &packet_id).await["outcome"]["returned"], "100", "nobody came");
    house.reconciles().await;
    assert_eq!(house.settled(77).await, 990);
    house.close().await;
}

#[tokio::test]
async fn grabs_that_race_with_the_close_are_paid_or_refused_and_never_both() {
    let house = House::open(&["packet"]).await;
    house.give(ANNA, 3_000).await;
    let room = room(&house, json!({})).await;
    let packet_id = given(&room.viewer(ANNA), ask("random", 3_000, 300), "packet.opened").await;
    let place = grabs(&packet_id);
    let clicks = (2_001..2_241).map(|user_id| {
        let (viewer, place) = (room.viewer(user_id), place.clone());
        let close = (user_id == 2_100).then(|| (room.operator(), format!("packets/{packet_id}/close")));
        async move {
            if let Some((operator, close)) = close {
                operator.post(&close, json!(null)).await.ok();
            }
            (viewer.user_id, viewer.post(&place, json!(null)).await)
        }
    });
    let answers: Vec<_> = stream::iter(clicks).buffer_unordered(32).collect().await;
    let mut paid = BTreeMap::new();
    for (user_id, answer) in answers {
        if answer.status == 200 {
            paid.insert(user_id.to_string(), amount(&answer.ok()));
        } else {
            let _ = answer.refused(409, "packet-closed");
        }
    }
    assert!((1..240).contains(&paid.len()), "{}", paid.len());
    proven(&room.viewer(1), &packet_id).await;
    let listed: BTreeMap<String, i64> = listed(&room.viewer(1), &packet_id).await.into_values().collect();
    assert_eq!(listed, paid, "who was answered is in the list, and nobody else");
    house.reconciles().await;
    assert_eq!(house.settled(ANNA).await, 3_000 - paid.values().sum::<i64>());
    house.close().await;
}

#[tokio::test]
async fn what_cannot_be_given_takes_no_coin() {
    let house = House::open(&["packet"]).await;
    house.give(ANNA, 500).await;
    let (room, other) = (room(&house, json!({ "perMinuteCap": 2 })).await, room(&house, json!({})).await);
    let anna = room.viewer(ANNA);
    for (kind, amount, shares) in
        [("random", -5, 1), ("random", 0, 1), ("random", 5, 0), ("random", 20_000, 10_001), ("odd", 5, 1)]
    {
        let _ = anna.post("packets", ask(kind, amount, shares)).await.refused(400, "invalid-request");
    }
    let huge = with(ask("random", 1, 1), json!({ "amount": "99999999999999999999" }));
    let _ = anna.post("packets", huge).await.refused(400, "invalid-request");
    let _ = anna
        .post("packets", with(ask("random", 5, 1), json!({ "fromUserId": "1002" })))
        .await
        .refused(400, "invalid-request");
    let _ = anna.post("packets", ask("random", 5, 501)).await.refused(400, "too-many-shares");
    let _ = anna.post("packets", ask("random", 5, 6)).await.refused(400, "amount-too-small");
    let _ = anna.post("packets", ask("equal", 5, 2)).await.refused(400, "not-divisible");
    let _ = anna.post("packets", ask("random", i64::MAX, 2)).await.refused(400, "amount-out-of-range");
    let _ = anna
        .post("packets", with(ask("random", 5, 1), json!({ "lastsMs": 999 })))
        .await
        .refused(400, "times-out-of-range");
    let _ = anna.post("packets", ask("random", 501, 5)).await.refused(402, "insufficient-balance");
    let _ = room.viewer(1999).post("packets", ask("random", 5, 1)).await.refused(404, "account-not-found");
    let _ = room.operator().post("packets", ask("random", 5, 1)).await.refused(403, "forbidden");
    assert_eq!(house.settled(ANNA).await, 500);

    let packet_id = given(&anna, ask("random", 5, 1), "packet.opened").await;
    given(&anna, ask("random", 5, 1), "packet.opened").await;
    let _ = anna.post("packets", ask("random", 5, 1)).await.refused(429, "rate-limited");
    // A packet is its room's, and a path that is none leads nowhere.
    let _ = other.viewer(1002).post(&grabs(&packet_id), json!(null)).await.refused(404, "packet-not-found");
    let _ = other.viewer(1002).get(&format!("packets/{packet_id}")).await.refused(404, "packet-not-found");
    let _ = other
        .operator()
        .post(&format!("packets/{packet_id}/close"), json!(null))
        .await
        .refused(404, "packet-not-found");
    let _ = anna.get("packets/1").await.refused(404, "packet-not-found");
    let _ = anna.get("packets?limit=0").await.refused(400, "invalid-request");
    house.clock.advance(LATER);
    for packet in anna.get("packets").await.ok()["items"].as_array().unwrap() {
        proven(&anna, packet["packetId"].as_str().unwrap()).await;
    }
    house.reconciles().await;
    assert_eq!(house.settled(ANNA).await, 500, "nobody came, so all of it is back");
    house.close().await;
}

#[tokio::test]
async fn what_nobody_grabbed_goes_back_where_the_plugin_is_off_and_after_the_cache_has_forgotten_the_packet() {
    let house = House::open(&["packet"]).await;
    house.give(ANNA, 2_000).await;
    let (off, on) = (room(&house, json!({})).await, room(&house, json!({})).await);
    let grabbed = async |room: &Room<'_>, user_id| {
        let packet_id = given(&room.viewer(ANNA), ask("random", 1_000, 3), "packet.opened").await;
        (amount(&room.viewer(user_id).post(&grabs(&packet_id), json!(null)).await.ok()), packet_id)
    };
    let ((first, _), (second, packet_id)) = (grabbed(&off, 1002).await, grabbed(&on, 1003).await);
    let plugin = format!("/v1/rooms/{}/plugins/packet", off.room_id);
    off.operator().put(&plugin, json!({ "enabled": false })).await.ok();
    // Nobody fired the timers for so long that the cache has nothing of the packets any more.
    house.clock.advance(Duration::from_secs(9 * 24 * 60 * 60));
    let packet = ended(&on.viewer(1), &packet_id).await;
    assert_eq!(packet["outcome"]["grabbed"], 1, "which follows from what was paid");
    assert_eq!(computed(&packet)[0], second);
    assert_eq!(packet["outcome"]["returned"], json!((1_000 - second).to_string()));
    let begun = std::time::Instant::now();
    while house.settled(ANNA).await != 2_000 - first - second {
        assert!(begun.elapsed() < Duration::from_secs(60), "{} {first} {second}", house.settled(ANNA).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    house.close().await;
}

#[tokio::test]
async fn a_packet_that_the_cache_has_forgotten_is_known_with_all_who_grabbed() {
    let house = House::open(&["packet"]).await;
    house.give(ANNA, 100).await;
    let room = room(&house, json!({})).await;
    let packet_id = given(&room.viewer(ANNA), ask("random", 100, 3), "packet.opened").await;
    for user_id in [1002, 1003] {
        room.viewer(user_id).post(&grabs(&packet_id), json!(null)).await.ok();
    }
    house.clock.advance(LATER);
    let before = (proven(&room.viewer(1), &packet_id).await, listed(&room.viewer(1), &packet_id).await);
    house.clock.advance(Duration::from_secs(9 * 24 * 60 * 60));
    let house = house.restart().await;
    let room = house.known_room(1);
    let after = (proven(&room.viewer(1), &packet_id).await, listed(&room.viewer(1), &packet_id).await);
    assert_eq!(before, after);
    let _ = room.viewer(1004).post(&grabs(&packet_id), json!(null)).await.refused(404, "packet-not-found");
    house.close().await;
}
