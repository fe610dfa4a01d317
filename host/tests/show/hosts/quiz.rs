//! A quiz over three hosts, each of whose players asks one host after the other.

use greenroom_manifest::Role;
use serde_json::{Value, json};

use crate::accounts::{agree, reconciled};
use crate::audience::{Audience, Push};
use crate::books::Books;
use crate::cast::Cast;
use crate::crowd::{Crowd, ROOM, path};
use crate::quiz;
use crate::site::Site;
use crate::visitor::{number, with_id};

const LATE: i64 = 901;

#[tokio::test(flavor = "multi_thread")]
async fn a_quiz_on_three_hosts_is_sealed_until_each_close_and_its_pot_is_shared_to_the_last_coin() {
    let site = Site::open().await;
    let crowd = Crowd::open(&site, &["quiz"]).await;
    let cast = crowd.cast();
    cast.open(ROOM, &[quiz::plugin()]).await;
    cast.pay(&crowd.service()).await;
    let audiences = crowd.watched_by(cast.viewers[1].user_id, ROOM).await;
    let (played, ()) = tokio::join!(quiz::play(&cast), nobody_answers_what_is_closed(&crowd, &audiences));
    let books = told(&cast, &played, &audiences).await;
    assert!(books.seen.values().all(|count| *count > 0), "too little has happened to show anything: {books:?}");
    reconciled(&cast.operator).await;
    assert_eq!(agree(&cast, &books, &crowd.service()).await, 0, "what some have lost others have");
    crowd.close(&[]).await;
}

/// As soon as a host has shown the answer, it and all others refuse one.
async fn nobody_answers_what_is_closed(crowd: &Crowd, audiences: &[Audience]) {
    for audience in audiences {
        let shown = audience.count("quiz.answer", 1).await;
        let answers = path(&format!("quizzes/{}/answers", shown[0].data["quizId"].as_str().unwrap()));
        for host in 0..audiences.len() {
            let ask = with_id(json!({ "question": 0, "option": 1 }));
            crowd.somebody(LATE, Role::Viewer, host).post(&answers, &ask).await.refused("question-not-open");
        }
    }
}

/// Checks a quiz that is over, and what was shown of it to its second viewer on each of these hosts; gives the books.
pub async fn told(cast: &Cast, played: &quiz::Played, audiences: &[Audience]) -> Books {
    let mut books = Books::default();
    quiz::check(cast, played, &mut books).await;
    let quiz = cast.path(&format!("quizzes/{}", played.id));
    let result = cast.operator.get(&quiz).await.ok()["result"].clone();
    let has_won = cast.viewers[1].get(&format!("{quiz}/me")).await.ok()["outAt"].is_null();
    for audience in audiences {
        let finished = audience.count("quiz.finished", 1).await;
        assert_eq!(finished.len(), 1, "{finished:?}");
        for field in ["players", "winners"] {
            assert_eq!(number(&finished[0].data[field]), number(&result[field]), "{finished:?}");
        }
        assert_eq!(finished[0].data["pot"], result["pot"], "{finished:?}");
        let won = audience.count("quiz.won", usize::from(has_won)).await;
        assert_eq!(won.len(), usize::from(has_won), "{won:?}");
        is_sealed(&audience.shown("quiz.question"), &audience.shown("quiz.answer"));
    }
    books
}

/// Each question was shown once, and its answer once, when its time was over.
fn is_sealed(questions: &[Push], answers: &[Push]) {
    let numbers = |shown: &[Push]| shown.iter().map(|push| number(&push.data["question"])).collect::<Vec<_>>();
    let all: Vec<i64> = (0..).take(quiz::QUESTIONS).collect();
    assert_eq!((numbers(questions), numbers(answers)), (all.clone(), all));
    for (question, answer) in questions.iter().zip(answers) {
        assert_eq!(question.data["answer"], Value::Null, "{question:?}");
        assert_eq!(answer.data["answer"], quiz::RIGHT, "{answer:?}");
        let closes_at_ms = u64::try_from(number(&question.data["closesAtMs"])).unwrap();
        assert!(answer.at_ms >= closes_at_ms, "{answer:?} came before {closes_at_ms}");
    }
}
