//! Quizzes in a whole room: who is right, who is out, who comes back, and a pot that is shared to the last coin.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test")]

use std::time::Duration;

use futures::future::join_all;
use greenroom_testkit::{Answer, House, Role, Room, event_id};
use serde_json::{Value, json};

const STREAMER: i64 = 77;

/// Three questions of 10 seconds each; the right option is 1.
fn quiz(pot: Option<i64>, revival: Value) -> Value {
    let question = |text| json!({ "text": text, "options": ["no", "yes"], "answer": 1, "seconds": 10 });
    let questions = ["one", "two", "three"].map(question);
    json!({ "eventId": event_id(), "title": "Test", "pot": pot, "questions": questions, "revival": revival })
}

async fn make(room: &Room<'_>, definition: Value) -> String {
    let made = room.streamer().post("quizzes", definition.clone()).await.ok();
    assert_eq!(room.streamer().post("quizzes", definition).await.ok()["replayed"], true);
    let quiz_id = made["quizId"].as_str().unwrap().to_owned();
    until(room, &quiz_id, |quiz| quiz["status"] == "ready").await;
    quiz_id
}

/// Waits until the quiz is as it should be, and gives it.
async fn until(room: &Room<'_>, quiz_id: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let path = format!("quizzes/{quiz_id}");
    for _ in 0..1_500 {
        let quiz = room.viewer(1).get(&path).await.ok();
        if is_so(&quiz) {
            return quiz;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("quiz {quiz_id} does not become what it should: {:?}", room.viewer(1).get(&path).await);
}

async fn answer(room: &Room<'_>, quiz_id: &str, user_id: i64, question: u32, option: u32) -> Answer {
    let ask = json!({ "eventId": event_id(), "question": question, "option": option });
    room.viewer(user_id).post(&format!("quizzes/{quiz_id}/answers"), ask).await
}

async fn answers(room: &Room<'_>, quiz_id: &str, users: &[i64], question: u32, option: u32) {
    let all = users.iter().map(|user_id| answer(room, quiz_id, *user_id, question, option));
    join_all(all).await.into_iter().for_each(|answer| drop(answer.ok()));
}

#[tokio::test]
async fn who_is_right_or_pays_to_come_back_shares_the_pot_to_the_last_coin() {
    let house = House::open(&["quiz"]).await;
    house.give(STREAMER, 1_000).await;
    house.give(1_003, 25).await;
    house.give(1_004, 5).await;
    let room = house.room(json!([{ "name": "quiz" }])).await;
    let quiz_id = make(&room, quiz(Some(1_000), json!({ "price": "10", "times": 1 }))).await;
    let mut seen = room.viewer(1).watch().await;
    let _ = answer(&room, &quiz_id, 1_001, 0, 1).await.refused(409, "quiz-over");
    room.streamer().post(&format!("quizzes/{quiz_id}/start"), json!(null)).await.ok();
    let question = seen.next("quiz.question").await;
    assert_eq!((&question["text"], &question["answer"]), (&json!("one"), &json!(null)));

    // Question 0: 1003 and 1004 are wrong; one answer each, whatever is repeated.
    answers(&room, &quiz_id, &[1_001, 1_002, 1_005], 0, 1).await;
    answers(&room, &quiz_id, &[1_003, 1_004], 0, 0).await;
    let _ = answer(&room, &quiz_id, 1_003, 0, 1).await.refused(409, "already-answered");
    let _ = answer(&room, &quiz_id, 1_006, 1, 1).await.refused(409, "question-not-open");
    let me = room.viewer(1_003).get(&format!("quizzes/{quiz_id}/me")).await.ok();
    assert_eq!(
        (&me["answers"], &me["outAt"]),
        (&json!([0]), &json!(null)),
        "nobody knows before the question is closed"
    );
    let shown = room.viewer(1).get(&format!("quizzes/{quiz_id}")).await.ok();
    assert_eq!(shown["last"], json!(null));
    let revivals = format!("quizzes/{quiz_id}/revivals");
    let revive = || json!({ "eventId": event_id() });
    let _ = room.viewer(1_003).post(&revivals, revive()).await.refused(409, "no-revival");

    house.clock.advance(Duration::from_secs(10));
    assert_eq!(seen.next("quiz.answer").await["chosen"], json!([2, 3]));
    let _ = answer(&room, &quiz_id, 1_006, 0, 1).await.refused(409, "question-not-open");
    let back = revive();
    assert_eq!(room.viewer(1_003).post(&revivals, back.clone()).await.ok()["balance"], "15");
    assert_eq!(room.viewer(1_003).post(&revivals, back).await.ok()["replayed"], true);
    let _ = room.viewer(1_003).post(&revivals, revive()).await.refused(409, "not-eliminated");
    let _ = room.viewer(1_001).post(&revivals, revive()).await.refused(409, "not-eliminated");
    let _ = room.viewer(1_004).post(&revivals, revive()).await.refused(402, "insufficient-balance");
    let _ = room.viewer(1_006).post(&revivals, revive()).await.refused(409, "not-playing");

    let room_id = room.room_id;
    drop(seen);
    let house = house.restart().await;
    let room = house.known_room(room_id);
    let mut seen = room.viewer(1).watch().await;
    house.clock.advance(Duration::from_secs(10));
    assert_eq!(seen.next("quiz.question").await["text"], "two");
    answers(&room, &quiz_id, &[1_001, 1_002, 1_003], 1, 1).await;
    let _ = answer(&room, &quiz_id, 1_004, 1, 1).await.refused(409, "eliminated");
    let _ = answer(&room, &quiz_id, 1_006, 1, 1).await.refused(409, "not-playing");
    house.clock.advance(Duration::from_secs(20));
    assert_eq!(seen.next("quiz.question").await["text"], "three");
    // 1005 did not answer question 1, and it is too late to come back for question 0.
    let _ = room.viewer(1_004).post(&revivals, revive()).await.refused(409, "no-revival");
    answers(&room, &quiz_id, &[1_001, 1_002, 1_003], 2, 1).await;
    house.clock.advance(Duration::from_secs(10));
    assert_eq!(seen.next("quiz.answer").await["question"], 2);
    house.clock.advance(Duration::from_secs(1));
    let finished = seen.next("quiz.finished").await;
    assert_eq!((&finished["winners"], &finished["pot"]), (&json!(3), &json!("1010")));
    let quiz = until(&room, &quiz_id, |quiz| quiz["isPaid"] == true).await;
    assert_eq!(quiz["result"], json!({ "players": 5, "winners": 3, "pot": "1010" }));
    house.reconciles().await;
    let mut paid = Vec::new();
    for (user_id, before) in [(1_001, 0), (1_002, 0), (1_003, 15)] {
        paid.push(house.settled(user_id).await - before);
    }
    paid.sort_unstable();
    assert_eq!(paid, [336, 337, 337]);
    assert_eq!((house.settled(STREAMER).await, house.settled(1_004).await), (0, 5));
    house.close().await;
}

#[tokio::test]
async fn without_winners_or_when_cancelled_everything_is_given_back() {
    let house = House::open(&["quiz"]).await;
    house.give(STREAMER, 100).await;
    house.give(1_001, 50).await;
    let room = house.room(json!([{ "name": "quiz" }])).await;
    let revival = json!({ "price": 30, "times": 2 });
    for is_cancelled in [false, true] {
        let quiz_id = make(&room, quiz(Some(100), revival.clone())).await;
        house.has(STREAMER, 0).await;
        room.streamer().post(&format!("quizzes/{quiz_id}/start"), json!(null)).await.ok();
        answers(&room, &quiz_id, &[1_001], 0, 0).await;
        house.clock.advance(Duration::from_secs(10));
        let revivals = format!("quizzes/{quiz_id}/revivals");
        room.viewer(1_001).post(&revivals, json!({ "eventId": event_id() })).await.ok();
        house.has(1_001, 20).await;
        let cancel = format!("quizzes/{quiz_id}/cancel");
        if is_cancelled {
            let _ = room.viewer(1_001).post(&cancel, json!(null)).await.refused(403, "forbidden");
            room.streamer().post(&cancel, json!(null)).await.ok();
            room.streamer().post(&cancel, json!(null)).await.ok();
        } else {
            house.clock.advance(Duration::from_secs(61));
        }
        until(&room, &quiz_id, |quiz| quiz["isPaid"] == true).await;
        house.has(1_001, 50).await;
        house.has(STREAMER, 100).await;
        if !is_cancelled {
            let _ = room.streamer().post(&cancel, json!(null)).await.refused(409, "quiz-over");
        }
    }
    house.close().await;
}

#[tokio::test]
async fn a_quiz_without_its_pot_does_not_start_and_nothing_is_read_or_run_by_others() {
    let house = House::open(&["quiz"]).await;
    house.give(STREAMER, 99).await;
    let room = house.room(json!([{ "name": "quiz" }])).await;
    let definition = quiz(Some(100), json!(null));
    let _ = room.streamer().post("quizzes", definition.clone()).await.refused(402, "insufficient-balance");
    let _ = room.viewer(1_001).post("quizzes", definition.clone()).await.refused(403, "forbidden");
    house.give(STREAMER, 1).await;
    let mut made = room.streamer().post("quizzes", definition.clone()).await;
    while made.status == 402 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        made = room.streamer().post("quizzes", definition.clone()).await;
    }
    let quiz_id = made.ok()["quizId"].as_str().unwrap().to_owned();
    let quiz = until(&room, &quiz_id, |quiz| quiz["status"] == "ready").await;
    assert!(!quiz.to_string().contains("answer"), "nothing of the answers is shown: {quiz}");
    let start = format!("quizzes/{quiz_id}/start");
    let _ = room.viewer(1_001).post(&start, json!(null)).await.refused(403, "forbidden");
    let _ = room.somebody(78, Role::Streamer).post(&start, json!(null)).await.refused(403, "forbidden");
    let started = room.streamer().post(&start, json!(null)).await.ok();
    assert_eq!((&started["open"]["text"], &started["open"]["answer"]), (&json!("one"), &json!(null)));
    for (question, option) in [(0, 2), (0, u32::MAX), (u32::MAX, 0)] {
        assert!(answer(&room, &quiz_id, 1_001, question, option).await.status >= 400);
    }
    for bad in [
        json!({ "eventId": "e", "question": 0, "option": -1 }),
        json!({ "eventId": "e", "question": 0, "option": 1, "atMs": 1 }),
    ] {
        let _ =
            room.viewer(1_001).post(&format!("quizzes/{quiz_id}/answers"), bad).await.refused(400, "invalid-request");
    }
    // The same player at the same time, with different answers: one of them counts.
    let races = join_all((0..8).map(|n| answer(&room, &quiz_id, 1_002, 0, n % 2))).await;
    assert_eq!(races.iter().filter(|answer| answer.status == 200).count(), 1);
    let mut wrong = quiz_with_answer(2);
    let _ = room.streamer().post("quizzes", wrong.clone()).await.refused(400, "invalid-request");
    wrong["questions"] = json!([]);
    let _ = room.streamer().post("quizzes", wrong).await.refused(400, "invalid-request");
    room.streamer().post(&format!("quizzes/{quiz_id}/cancel"), json!(null)).await.ok();
    until(&room, &quiz_id, |quiz| quiz["isPaid"] == true).await;
    house.has(STREAMER, 100).await;
    house.close().await;
}

fn quiz_with_answer(answer: u32) -> Value {
    let mut quiz = quiz(None, json!(null));
    quiz["questions"][0]["answer"] = json!(answer);
    quiz
}

#[tokio::test]
async fn a_quiz_that_is_never_started_gives_its_pot_back() {
    let house = House::open(&["quiz"]).await;
    house.give(STREAMER, 100).await;
    let room = house.room(json!([{ "name": "quiz" }])).await;
    let quiz_id = make(&room, quiz(Some(100), json!(null))).await;
    house.has(STREAMER, 0).await;
    house.clock.advance(Duration::from_secs(3 * 24 * 60 * 60 + 1));
    let quiz = until(&room, &quiz_id, |quiz| quiz["isPaid"] == true).await;
    assert_eq!(quiz["status"], "cancelled");
    house.has(STREAMER, 100).await;
    house.clock.advance(Duration::from_secs(8 * 24 * 60 * 60));
    assert_eq!(until(&room, &quiz_id, |_| true).await["isPaid"], true, "the database says the same as the cache did");
    house.close().await;
}

#[tokio::test]
async fn what_a_failure_of_the_cache_has_forgotten_is_given_back_to_whoever_paid() {
    let house = House::open(&["quiz"]).await;
    house.give(STREAMER, 100).await;
    house.give(1_001, 50).await;
    let room = house.room(json!([{ "name": "quiz" }])).await;
    let quiz_id = make(&room, quiz(Some(100), json!({ "price": 30, "times": 1 }))).await;
    room.streamer().post(&format!("quizzes/{quiz_id}/start"), json!(null)).await.ok();
    answers(&room, &quiz_id, &[1_001], 0, 0).await;
    house.clock.advance(Duration::from_secs(10));
    until(&room, &quiz_id, |quiz| quiz["last"]["question"] == 0).await;
    room.viewer(1_001).post(&format!("quizzes/{quiz_id}/revivals"), json!({ "eventId": event_id() })).await.ok();
    house.has(1_001, 20).await;
    house.has(STREAMER, 0).await;
    let room_id = room.room_id;
    let house = house.restart_from_database().await;
    let room = house.known_room(room_id);
    let _ = answer(&room, &quiz_id, 1_001, 1, 1).await.refused(409, "quiz-over");
    let quiz = until(&room, &quiz_id, |quiz| quiz["isPaid"] == true).await;
    assert_eq!((&quiz["status"], &quiz["last"]), (&json!("cancelled"), &json!(null)));
    house.has(1_001, 50).await;
    house.has(STREAMER, 100).await;
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_quizzes_that_are_made_at_once_are_all_funded() {
    let house = House::open(&["quiz"]).await;
    house.give(STREAMER, 60).await;
    let room = house.room(json!([{ "name": "quiz" }])).await;
    let made = join_all((0..60).map(|_| make(&room, quiz(Some(1), json!(null))))).await;
    assert_eq!(made.len(), 60);
    house.close().await;
}
