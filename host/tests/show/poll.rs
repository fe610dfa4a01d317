//! Two polls: a free one, and one whose votes cost coins.

use futures::future::join_all;
use rand::RngExt;
use serde_json::{Value, json};

use crate::books::Books;
use crate::cast::{Cast, some_time, twice};
use crate::visitor::{Visitor, number, with_id};

const PRICE: i64 = 7;
/// The shortest that there is.
const CLOSES_IN_S: u64 = 15;

/// A poll that is closed, and what was answered.
pub struct Played {
    id: String,
    price: i64,
    /// Of each viewer, in their order; none for who came too late.
    votes: Vec<Option<Value>>,
}

pub async fn play(cast: &Cast, is_paid: bool) -> Played {
    let price = if is_paid { PRICE } else { 0 };
    let mut poll = with_id(json!({ "title": "Song?", "options": ["A", "B", "C"], "closesInS": CLOSES_IN_S }));
    poll["choice"] = json!("multiple");
    poll["votesPerOptionMax"] = json!(2);
    if is_paid {
        poll["price"] = json!(price);
    }
    let id = cast.make(&cast.streamer, "polls", &poll, "pollId").await;
    let path = cast.path(&format!("polls/{id}"));
    let votes = join_all(cast.viewers.iter().map(|viewer| vote(cast, viewer, &path, is_paid))).await;
    cast.operator.until(&path, |poll| poll["standing"]["state"] == "closed").await;
    Played { id, price, votes }
}

async fn vote(cast: &Cast, viewer: &Visitor, poll: &str, is_paid: bool) -> Option<Value> {
    let mut random = cast.random(viewer.user_id, 2 + u64::from(is_paid));
    some_time(&mut random, CLOSES_IN_S * 1_000).await;
    let option = random.random_range(1..3);
    let choices =
        json!([{ "option": option, "votes": 1 }, { "option": option + 1, "votes": random.random_range(1..3) }]);
    let ask = with_id(json!({ "choices": choices }));
    twice(viewer, &format!("{poll}/votes"), &ask, &["poll-closed", "vote-returned"]).await?;
    Some(choices)
}

/// The result is the recount, which is what was answered; and what counts was paid.
pub async fn check(cast: &Cast, played: &Played, books: &mut Books) {
    let path = cast.path(&format!("polls/{}", played.id));
    let result = cast.operator.get(&path).await.ok()["standing"].clone();
    let recount = format!("{path}/recount");
    cast.operator.post(&recount, &Value::Null).await.ok();
    let recount = cast.operator.until(&recount, |recount| recount["isDone"] == true).await;
    assert_eq!(recount["isEqual"], true, "{recount}");
    let mut sums = [0; 3];
    let mut voters = 0;
    for (viewer, asked) in cast.viewers.iter().zip(&played.votes) {
        let ballot = viewer.get(&format!("{path}/votes")).await.ok();
        // Who was refused at last may have reserved votes before, for which nothing was held.
        assert!(asked.is_none() || ballot["reserved"] == json!([]), "{} asked {asked:?}: {ballot}", viewer.user_id);
        let given: Vec<(i64, i64)> = pairs(&ballot["given"]);
        // A paid vote that was answered may have come too late after all.
        let is_right = asked.as_ref().map_or(given.is_empty(), |asked| given == pairs(asked));
        assert!(is_right || (played.price > 0 && given.is_empty()), "{} asked {asked:?}: {ballot}", viewer.user_id);
        voters += i64::from(!given.is_empty());
        for (option, votes) in given {
            sums[usize::try_from(option).unwrap() - 1] += votes;
            books.add(viewer.user_id, -votes * played.price);
        }
    }
    books.saw(if played.price > 0 { "paid voters" } else { "free voters" }, usize::try_from(voters).unwrap());
    let told: Vec<i64> = result["sums"].as_array().unwrap().iter().map(|sum| number(&sum["votes"])).collect();
    assert_eq!((told.as_slice(), number(&result["voters"])), (sums.as_slice(), voters), "{result}");
}

fn pairs(votes: &Value) -> Vec<(i64, i64)> {
    votes.as_array().unwrap().iter().map(|votes| (number(&votes["option"]), number(&votes["votes"]))).collect()
}
