//! A quiz with a pot: some are wrong, some of them come back for coins, and who is left shares the pot.

use std::time::Instant;

use futures::future::join_all;
use serde_json::{Value, json};

use crate::books::Books;
use crate::cast::Cast;
use crate::visitor::{PATIENCE, Visitor, number, with_id};

const POT: i64 = 1_000;
const PRICE: i64 = 13;
pub const QUESTIONS: usize = 2;
/// Of every question.
pub const RIGHT: u32 = 1;

pub fn plugin() -> Value {
    json!({ "name": "quiz", "config": { "pauseS": 3 } })
}

/// A quiz that is over and paid, and what was answered.
pub struct Played {
    pub id: String,
    /// Of each viewer, in their order.
    players: Vec<Player>,
}

#[derive(Default)]
struct Player {
    answers: Vec<Option<u32>>,
    is_revived: bool,
}

pub async fn play(cast: &Cast) -> Played {
    let question = |text| json!({ "text": text, "options": ["no", "yes"], "answer": RIGHT, "seconds": 5 });
    let questions = ["one", "two"].map(question);
    let quiz = with_id(json!({
        "title": "Show", "pot": POT, "questions": questions, "revival": { "price": PRICE, "times": 1 },
    }));
    let id = cast.make(&cast.streamer, "quizzes", &quiz, "quizId").await;
    let path = cast.path(&format!("quizzes/{id}"));
    cast.streamer.until(&path, |quiz| quiz["status"] == "ready").await;
    cast.streamer.post(&format!("{path}/start"), &Value::Null).await.unless(&["quiz-over"]);
    let players = cast.viewers.iter().enumerate().map(|(place, viewer)| take_part(viewer, &path, place));
    let players = join_all(players).await;
    cast.streamer.until(&path, |quiz| quiz["isPaid"] == true).await;
    Played { id, players }
}

/// Every third is wrong at first; half of those come back.
async fn take_part(viewer: &Visitor, quiz: &str, place: usize) -> Player {
    let mut player = Player::default();
    for question in 0..QUESTIONS {
        let is_wrong = question == 0 && place.is_multiple_of(3);
        let option = if is_wrong { 0 } else { RIGHT };
        let is_taken = is_open(viewer, quiz, question).await && answer(viewer, quiz, question, option).await;
        player.answers.push(is_taken.then_some(option));
        if is_wrong && is_taken && place.is_multiple_of(2) {
            viewer.until(quiz, |quiz| quiz["last"].is_object()).await;
            player.is_revived = revive(viewer, quiz).await;
        }
    }
    player
}

/// Waits for a question; false if it has been missed.
async fn is_open(viewer: &Visitor, quiz: &str, question: usize) -> bool {
    let begun = Instant::now();
    loop {
        let shown = viewer.get(quiz).await.ok();
        is_sealed(&shown);
        let at = |part: &str| shown[part]["question"].as_u64().and_then(|index| usize::try_from(index).ok());
        if at("open") == Some(question) {
            return true;
        }
        if at("last").is_some_and(|last| last >= question) {
            return false;
        }
        assert!(begun.elapsed() < PATIENCE, "question {question} is never there: {shown}");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
}

/// Nothing says what is right while a question is open.
fn is_sealed(quiz: &Value) {
    let open = &quiz["open"];
    if let Some(question) = open["question"].as_u64() {
        assert_eq!((&open["answer"], &open["chosen"]), (&Value::Null, &Value::Null), "{quiz}");
        assert!(quiz["last"]["question"].as_u64().is_none_or(|last| last < question), "{quiz}");
    }
}

async fn answer(viewer: &Visitor, quiz: &str, question: usize, option: u32) -> bool {
    let ask = with_id(json!({ "question": question, "option": option }));
    let late = ["question-not-open", "quiz-over", "not-playing", "eliminated"];
    viewer.post(&format!("{quiz}/answers"), &ask).await.unless(&late).is_some()
}

async fn revive(viewer: &Visitor, quiz: &str) -> bool {
    let (path, ask) = (format!("{quiz}/revivals"), with_id(json!({})));
    let refusals = ["no-revival", "quiz-over"];
    let Some(first) = viewer.post(&path, &ask).await.unless(&refusals) else { return false };
    let again = viewer.post(&path, &ask).await.ok();
    assert_eq!((&again["balance"], &again["replayed"]), (&first["balance"], &json!(true)));
    true
}

/// What was answered counts and nothing else, and the pot with all revivals went to who is left, or back.
pub async fn check(cast: &Cast, played: &Played, books: &mut Books) {
    let path = cast.path(&format!("quizzes/{}", played.id));
    let quiz = cast.operator.get(&path).await.ok();
    let (mut winners, mut pot, mut players) = (Vec::new(), POT, 0);
    for (viewer, player) in cast.viewers.iter().zip(&played.players) {
        let Some(me) = viewer.get(&format!("{path}/me")).await.unless(&["not-playing"]) else {
            assert!(player.answers.iter().all(Option::is_none), "{} is forgotten", viewer.user_id);
            continue;
        };
        players += 1;
        for question in 0..QUESTIONS {
            let kept = me["answers"].get(question).unwrap_or(&Value::Null);
            assert_eq!(*kept, json!(player.answers[question]), "question {question} of {}: {me}", viewer.user_id);
        }
        let revived = me["revived"].as_array().unwrap().len();
        assert!(revived <= usize::from(player.is_revived), "{} was revived for nothing: {me}", viewer.user_id);
        let paid = PRICE * i64::try_from(revived).unwrap();
        pot += paid;
        books.add(viewer.user_id, -paid);
        books.saw("answers", player.answers.iter().flatten().count());
        books.saw("revivals", revived);
        if me["outAt"].is_null() {
            winners.push(viewer.user_id);
        }
        // Nobody has won, so everything goes back.
        if quiz["result"]["winners"] == 0 {
            books.add(viewer.user_id, paid);
        }
    }
    let result = &quiz["result"];
    let told = (number(&result["players"]), number(&result["winners"]), number(&result["pot"]));
    assert_eq!(told, (players, i64::try_from(winners.len()).unwrap(), pot), "{quiz}");
    books.saw("winners of quizzes", winners.len());
    if !winners.is_empty() {
        books.share(pot, winners);
    }
}
