//! A host is killed in the middle of a quiz and a battle: the one that fires their room's timers.

use serde_json::json;

use crate::accounts::reconciled;
use crate::audience::Audience;
use crate::cast::Cast;
use crate::crowd::{Crowd, ROOM};
use crate::site::Site;
use crate::{gifts, pk, quiz};

#[tokio::test(flavor = "multi_thread")]
async fn when_the_host_that_fires_a_rooms_timers_is_killed_its_quiz_is_paid_and_its_battle_ends() {
    let site = Site::open().await;
    let mut crowd = Crowd::open(&site, &["gift", "pk", "quiz"]).await;
    let cast = crowd.cast();
    cast.open(ROOM, &[quiz::plugin(), pk::plugin(), json!({ "name": "gift" })]).await;
    pk::open_rival(&cast).await;
    cast.pay(&crowd.service()).await;
    let mut audiences = crowd.watched_by(cast.viewers[1].user_id, ROOM).await;
    let (quiz, (battle, sent)) = tokio::join!(quiz::play(&cast), fight(&mut crowd, &cast, &mut audiences));

    let mut books = super::quiz::told(&cast, &quiz, &audiences).await;
    gifts::check(&sent, &mut books);
    pk::check(&cast, &battle, &mut books).await;
    super::pk::told(&cast, &audiences).await;
    assert!(books.seen.values().all(|count| *count > 0), "too little has happened to show anything: {books:?}");
    reconciled(&cast.operator).await;
    super::pk::adds_up(&crowd, &cast, &books).await;
    crowd.close(&[]).await;
}

/// A battle that begins while the first question of the quiz is open, and the kill once it has.
async fn fight(crowd: &mut Crowd, cast: &Cast, audiences: &mut Vec<Audience>) -> (pk::Played, gifts::Played) {
    for audience in &*audiences {
        audience.count("quiz.question", 1).await;
    }
    // Nothing else has a timer yet.
    let firing = crowd.firing().await;
    let killing = async {
        for audience in &*audiences {
            audience.count("pk.started", 1).await;
        }
        crowd.kill(firing);
    };
    let (battle, sent, ()) = tokio::join!(pk::play(cast), gifts::play(cast, ROOM), killing);
    audiences.remove(firing);
    (battle, sent)
}
