//! The tests over three hosts. The one of this file: a poll, a red packet and a lottery, each with a crowd.

#[path = "hosts/chat.rs"]
mod chat;
#[path = "hosts/killed.rs"]
mod killed;
#[path = "hosts/likes.rs"]
mod likes;
#[path = "hosts/pk.rs"]
mod pk;
#[path = "hosts/quiz.rs"]
mod quiz;
#[path = "hosts/whole.rs"]
mod whole;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::{Value, json};

use crate::crowd::{Crowd, ROOM, STREAMER, one_of, path};
use crate::site::Site;
use crate::verified;
use crate::visitor::{Visitor, number, with_id};

const PLUGINS: [&str; 3] = ["lottery", "packet", "voting"];
const SHARES: usize = 500;
const AMOUNT: i64 = 100_000;
const PRIZES: [(&str, i64, i64); 2] = [("first", 20, 1_000), ("second", 200, 100)];

/// How many vote, grab and enter.
fn counts() -> [usize; 3] {
    if std::env::var_os("GREENROOM_TEST_FULL").is_some() { [100_000, 20_000, 100_000] } else { [2_000, 2_000, 2_000] }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_over_three_hosts_is_counted_exactly_and_each_draw_can_be_computed_again() {
    let site = Site::open().await;
    let crowd = Crowd::open(&site, &PLUGINS).await;
    crowd.begin(&PLUGINS).await;
    let [voters, grabbers, entrants] = counts();
    votes_are_the_recount_and_the_distinct_voters(&crowd, voters).await;
    let grabbed = a_packet_has_five_hundred_shares(&crowd, grabbers).await;
    let winners = a_lottery_is_drawn_as_it_was_promised(&crowd, entrants).await;
    let mut users: BTreeSet<i64> = grabbed.keys().chain(winners.keys()).copied().collect();
    for user_id in &users {
        let expected = [&grabbed, &winners].iter().filter_map(|coins| coins.get(user_id)).sum::<i64>();
        crowd.has(*user_id, expected).await;
    }
    let paid: i64 = grabbed.values().chain(winners.values()).sum();
    crowd.has(STREAMER, 1_000_000 - paid).await;
    users.insert(STREAMER);
    crowd.close(&users.into_iter().collect::<Vec<_>>()).await;
}

async fn votes_are_the_recount_and_the_distinct_voters(crowd: &Crowd, voters: usize) {
    let poll = with_id(json!({ "title": "Song?", "options": ["A", "B", "C"], "closesInS": 1_800 }));
    let poll = crowd.streamer().post(&path("polls"), &poll).await.ok();
    let poll = path(&format!("polls/{}", poll["pollId"].as_str().unwrap()));
    let votes = &format!("{poll}/votes");
    let chosen = crowd.all(voters, |here, there, number| vote(votes, here, there, number)).await;
    let mut expected = [0; 3];
    chosen.into_iter().for_each(|option| expected[option] += 1);

    crowd.streamer().post(&format!("{poll}/close"), &Value::Null).await.ok();
    let operator = crowd.operator();
    let closed = operator.until(&poll, |poll| poll["standing"]["state"] == "closed").await;
    let recount = format!("{poll}/recount");
    operator.post(&recount, &Value::Null).await.ok();
    let recount = operator.until(&recount, |recount| recount["isDone"] == true).await;
    assert_eq!(recount["isEqual"], true, "{recount}");
    for (voted, sums) in [(&closed["standing"], "sums"), (&recount["recount"], "options")] {
        assert_eq!(voted["voters"], voters, "{voted}");
        let told: Vec<i64> = voted[sums].as_array().unwrap().iter().map(|sum| number(&sum["votes"])).collect();
        assert_eq!(told, expected, "{voted}");
    }
}

/// One vote whatever is repeated and raced; the option that counts, from 0.
async fn vote(votes: &str, here: Visitor, there: Visitor, number: usize) -> usize {
    let option = |option: usize| json!({ "choices": [{ "option": option + 1 }] });
    let ask = with_id(option(number % 3));
    match number % 4 {
        // The same request over two hosts at once.
        0 => {
            let (one, other) = tokio::join!(here.post(votes, &ask), there.post(votes, &ask));
            let (one, other) = (one.ok(), other.ok());
            assert_ne!(one["replayed"], other["replayed"], "{one} {other}");
        }
        // Two votes over two hosts at once.
        1 => {
            let second = with_id(option((number + 1) % 3));
            let (one, other) = tokio::join!(here.post(votes, &ask), there.post(votes, &second));
            let refusals = ["quota-reached", "single-choice"];
            let won = one_of([one.unless(&refusals), other.unless(&refusals)]);
            return usize::try_from(crate::visitor::number(&won["given"][0]["option"])).unwrap() - 1;
        }
        // Again, and a second time with another id.
        2 => {
            here.post(votes, &ask).await.ok();
            assert_eq!(there.post(votes, &ask).await.ok()["replayed"], true);
            let second = there.post(votes, &with_id(option(number % 3))).await;
            assert!(second.unless(&["quota-reached"]).is_none(), "a second vote of {}", here.user_id);
        }
        _ => drop(here.post(votes, &ask).await.ok()),
    }
    number % 3
}

/// What everybody got.
async fn a_packet_has_five_hundred_shares(crowd: &Crowd, grabbers: usize) -> BTreeMap<i64, i64> {
    let packet = with_id(json!({ "kind": "random", "amount": AMOUNT, "shares": SHARES }));
    let packet = crowd.streamer().post(&path("packets"), &packet).await.ok();
    let packet = path(&format!("packets/{}", packet["packetId"].as_str().unwrap()));
    crowd.operator().until(&packet, |packet| packet["state"] == "open").await;
    let grabs = &format!("{packet}/grabs");
    let grabbed = crowd.all(grabbers, |here, there, number| grab(grabs, here, there, number)).await;
    let grabbed: BTreeMap<i64, i64> = grabbed.into_iter().flatten().collect();
    assert_eq!(grabbed.len(), SHARES, "so many have a share");
    assert_eq!(grabbed.values().sum::<i64>(), AMOUNT);

    let ended = crowd.operator().until(&packet, |packet| packet["outcome"].is_object()).await;
    assert_eq!((number(&ended["outcome"]["grabbed"]), number(&ended["outcome"]["returned"])), (500, 0), "{ended}");
    let list = crowd.operator().pages(grabs).await;
    let listed = list.iter().map(|grab| (number(&grab["userId"]), number(&grab["amount"])));
    assert_eq!((list.len(), listed.collect::<BTreeMap<_, _>>()), (SHARES, grabbed.clone()));
    verified::packet(&ended, &list);
    grabbed
}

/// The user and their share, if they were quick enough; the same over each host.
async fn grab(grabs: &str, here: Visitor, there: Visitor, number: usize) -> Option<(i64, i64)> {
    let late = ["packet-empty", "packet-closed"];
    let (one, other) = if number.is_multiple_of(2) {
        let (one, other) = tokio::join!(here.post(grabs, &Value::Null), there.post(grabs, &Value::Null));
        (one.unless(&late), other.unless(&late))
    } else {
        let one = here.post(grabs, &Value::Null).await.unless(&late);
        (one, there.post(grabs, &Value::Null).await.unless(&late))
    };
    let share = |answer: &Value| (crate::visitor::number(&answer["number"]), crate::visitor::number(&answer["amount"]));
    assert_eq!(one.as_ref().map(share), other.as_ref().map(share), "{} has one share", here.user_id);
    one.map(|answer| (here.user_id, share(&answer).1))
}

/// What everybody won.
async fn a_lottery_is_drawn_as_it_was_promised(crowd: &Crowd, entrants: usize) -> BTreeMap<i64, i64> {
    let prizes = PRIZES.map(|(name, stock, coins)| json!({ "name": name, "stock": stock, "coins": coins }));
    let lottery = with_id(json!({ "title": "Crowd", "entry": { "kind": "free" }, "prizes": prizes }));
    let made = crowd.streamer().post(&path("lotteries"), &lottery).await.ok();
    let id = made["lotteryId"].as_str().unwrap();
    let lottery = path(&format!("lotteries/{id}"));
    crowd.operator().until(&lottery, |lottery| lottery["status"] == "open").await;
    let entries = &format!("{lottery}/entries");
    crowd.all(entrants, |here, there, number| enter(entries, here, there, number)).await;

    crowd.streamer().post(&format!("{lottery}/draw"), &Value::Null).await.ok();
    let drawn = crowd.operator().until(&lottery, |lottery| lottery["isPaid"] == true).await;
    assert_eq!((&drawn["closing"]["entrants"], &drawn["closing"]["chances"]), (&json!(entrants), &json!(entrants)));
    let mut stock = PRIZES.map(|(_, stock, _)| stock);
    let mut won = BTreeMap::new();
    for win in drawn["wins"].as_array().unwrap() {
        let tier = usize::try_from(number(&win["tier"])).unwrap();
        stock[tier] -= 1;
        assert!(won.insert(number(&win["userId"]), PRIZES[tier].2).is_none(), "{win} is a second one");
    }
    assert_eq!(stock, [0, 0], "each prize is won once");
    let verifier = crowd.operator();
    let url = verifier.url();
    verified::served(&[&url, &ROOM.to_string(), id, &verifier.token], &drawn);
    let program = Command::new(env!("CARGO_BIN_EXE_greenroom"))
        .args(["lottery", "verify", &ROOM.to_string(), id, "--server", &url, "--token", &verifier.token])
        .output()
        .unwrap();
    verified::accepted(&program, &drawn);
    won
}

/// One chance, whatever is repeated and raced.
async fn enter(entries: &str, here: Visitor, there: Visitor, number: usize) {
    let ask = with_id(json!({}));
    match number % 4 {
        0 => {
            let (one, other) = tokio::join!(here.post(entries, &ask), there.post(entries, &ask));
            assert_ne!(one.ok()["replayed"], other.ok()["replayed"]);
        }
        1 => {
            let second = with_id(json!({}));
            let (one, other) = tokio::join!(here.post(entries, &ask), there.post(entries, &second));
            one_of([one.unless(&["no-chances-left"]), other.unless(&["no-chances-left"])]);
        }
        _ => drop(here.post(entries, &ask).await.ok()),
    }
}
