//! Votes that cost coins: counted if and only if they are paid.

use std::sync::atomic::{AtomicU64, Ordering};

use futures::StreamExt;
use futures::future::join_all;
use futures::stream;
use greenroom_testkit::Answer;

use super::*;

const PLATFORM: i64 = -2;
const STREAMER: i64 = 77;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_paid_vote_is_paid_once_counts_once_and_its_coins_are_shared() {
    let house = house().await;
    let room = room(&house, json!({ "platformShareBps": 3_000 })).await;
    let (anna, bert) = (room.viewer(1001), room.viewer(1002));
    house.give(1001, 100).await;
    house.give(1002, 5).await;
    let (mut seen, mut told) = (room.viewer(1).watch().await, anna.watch().await);
    let poll = open(&room, json!({ "price": 11, "votesMax": 5 })).await;
    let votes = format!("{poll}/votes");
    let two = json!({ "eventId": "two", "choices": [{ "option": 2, "votes": 2 }] });
    let answers = join_all((0..8).map(|_| anna.post(&votes, two.clone()))).await;
    let answers: Vec<Value> = answers.into_iter().map(Answer::ok).collect();
    assert!(answers.iter().all(|answer| answer["cost"] == "22" && answer["balance"] == "78"), "{answers:?}");
    assert_eq!(answers.iter().filter(|answer| answer["replayed"] == false).count(), 1, "{answers:?}");
    assert_eq!(told.next("poll.vote").await["state"], "counted");
    assert_eq!(anna.post(&votes, two).await.ok()["state"], "counted");
    // Too little: nothing is held, nothing reserved, and the same event id may be tried again.
    let problem = bert.post(&votes, ask("b", &[1])).await.refused(402, "insufficient-balance");
    assert_eq!(problem["extra"]["needed"], "11");
    assert_eq!(bert.get(&format!("{poll}/votes")).await.ok()["votesLeft"], 5);
    house.give(1002, 10).await;
    assert_eq!(bert.post(&votes, ask("b", &[1])).await.ok()["balance"], "4");
    let _ = room.viewer(1003).post(&votes, ask("c", &[1])).await.refused(404, "account-not-found");
    let _ = room.streamer().post(&votes, ask("own", &[1])).await.refused(403, "own-poll");
    let _ = anna.post(&votes, ask("other", &[1])).await.refused(409, "single-choice");
    let _ = anna.post(&votes, ask("two", &[2])).await.refused(422, "event-id-reused");
    let _ = anna.put(&votes, ask("change", &[1])).await.refused(409, "votes-final");
    let four = json!({ "eventId": "four", "choices": [{ "option": 2, "votes": 4 }] });
    let _ = anna.post(&votes, four).await.refused(409, "quota-reached");

    house.clock.advance(CLOSES_IN);
    let closed = seen.next("poll.closed").await;
    assert_eq!((points(&closed), &closed["voters"]), (vec![1, 2, 0], &json!(2)));
    assert_eq!(recounted(&room, &poll).await["options"], closed["sums"]);
    house.reconciles().await;
    let settled = [1001, 1002, STREAMER, PLATFORM].map(|user_id| house.settled(user_id));
    // 22 is shared as 6 and 16, 11 as 3 and 8.
    assert_eq!(join_all(settled).await, [78, 4, 24, 9]);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_under_way_when_a_poll_is_closed_is_waited_for_and_counts() {
    let (answered, counted) = closed_under_votes(json!({ "platformShareBps": 0 })).await;
    assert_eq!(answered, counted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_under_way_when_a_poll_is_sealed_counts_or_is_given_back() {
    let (answered, counted) = closed_under_votes(json!({ "platformShareBps": 0, "countingMaxS": 0 })).await;
    assert!(answered >= counted, "{answered} {counted}");
}

/// A hundred viewers pay for three votes each, every request twice at the same time, and the poll is closed under them. Each vote counts and
/// is paid, or neither. Gives how many were answered with success, and how many count.
async fn closed_under_votes(config: Value) -> (i64, i64) {
    let house = house().await;
    let room = room(&house, config).await;
    let voters: Vec<i64> = (1001..1101).collect();
    for user_id in &voters {
        house.give(*user_id, 30).await;
    }
    let mut seen = room.viewer(1).watch().await;
    let poll = open(&room, json!({ "price": 10, "votesMax": 3, "choice": "multiple" })).await;
    let votes = format!("{poll}/votes");
    let asked = AtomicU64::new(0);
    let voting = stream::iter(&voters).map(|user_id| three_votes(room.viewer(*user_id), &votes, &asked));
    let closing = async {
        while asked.load(Ordering::SeqCst) < 100 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        room.streamer().post(&format!("{poll}/close"), Value::Null).await.ok()
    };
    let (answered, _) = tokio::join!(voting.buffer_unordered(16).collect::<Vec<i64>>(), closing);
    let closed = seen.next("poll.closed").await;
    let counted: i64 = points(&closed).iter().sum();
    assert!((50..300).contains(&counted), "{counted}");
    assert_eq!(recounted(&room, &poll).await["options"], closed["sums"]);
    house.reconciles().await;
    let left = join_all(voters.iter().map(|user_id| house.settled(*user_id))).await;
    let spent: i64 = left.iter().map(|left| 30 - left).sum();
    assert_eq!((spent, house.settled(STREAMER).await), (counted * 10, counted * 10));
    // Repeated later, what counts is answered as it was, and what does not is refused.
    let again = stream::iter(&voters).map(|user_id| three_votes(room.viewer(*user_id), &votes, &asked));
    assert_eq!(again.buffer_unordered(16).collect::<Vec<i64>>().await.iter().sum::<i64>(), counted);
    assert_eq!(room.viewer(1).get(&poll).await.ok()["standing"], closed);
    house.close().await;
    (answered.iter().sum(), counted)
}

/// One vote for each option, each asked for twice at the same time; how many were answered with success.
async fn three_votes(viewer: Visitor, votes: &str, asked: &AtomicU64) -> i64 {
    let mut answered = 0;
    for option in 1..=3 {
        let vote = || async { viewer.post(votes, ask(&format!("e{option}"), &[option])).await };
        let (first, again) = (vote(), vote());
        asked.fetch_add(1, Ordering::SeqCst);
        let (first, again) = tokio::join!(first, again);
        answered += i64::from(first.status == 200 || again.status == 200);
    }
    answered
}
