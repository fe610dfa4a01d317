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
    let settled = [1001, 1002, STREAMER, PLATFORM].map(|user_id| house.settled(user_id));
    // 22 is shared as 6 and 16, 11 as 3 and 8.
    assert_eq!(join_all(settled).await, [78, 4, 24, 9]);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_paid_while_a_poll_is_closed_counts_or_is_given_back() {
    let house = house().await;
    let room = room(&house, json!({ "platformShareBps": 0 })).await;
    let voters: Vec<i64> = (1001..1101).collect();
    for user_id in &voters {
        house.give(*user_id, 30).await;
    }
    let mut seen = room.viewer(1).watch().await;
    let poll = open(&room, json!({ "price": 10, "votesMax": 3, "choice": "multiple" })).await;
    let votes = format!("{poll}/votes");
    let answered = AtomicU64::new(0);
    let voting = stream::iter(&voters).map(|user_id| {
        let (viewer, votes, answered) = (room.viewer(*user_id), votes.clone(), &answered);
        async move {
            let mut paid = 0;
            for option in 1..=3 {
                let (first, again) = tokio::join!(
                    viewer.post(&votes, ask(&format!("e{option}"), &[option])),
                    viewer.post(&votes, ask(&format!("e{option}"), &[option])),
                );
                answered.fetch_add(1, Ordering::SeqCst);
                paid += i64::from(first.status == 200 || again.status == 200);
            }
            paid
        }
    });
    let closing = async {
        while answered.load(Ordering::SeqCst) < 100 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let _ = room.streamer().post(&format!("{poll}/close"), Value::Null).await.ok();
    };
    let (paid, ()) = tokio::join!(voting.buffer_unordered(16).collect::<Vec<i64>>(), closing);
    let closed = seen.next("poll.closed").await;
    let counted: i64 = points(&closed).iter().sum();
    assert_eq!(recounted(&room, &poll).await["options"], closed["sums"]);
    let left = join_all(voters.iter().map(|user_id| house.settled(*user_id))).await;
    let spent: i64 = left.iter().map(|left| 30 - left).sum();
    assert_eq!((spent, house.settled(STREAMER).await), (counted * 10, counted * 10));
    // All that was answered with success was under way by the end, and was waited for.
    assert_eq!(paid.iter().sum::<i64>(), counted);
    assert!((50..300).contains(&counted), "{counted}");
    let _ = room.viewer(1001).post(&votes, ask("late", &[1])).await.refused(409, "poll-closed");
    house.close().await;
}
