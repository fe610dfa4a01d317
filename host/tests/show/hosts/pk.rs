//! A battle over three hosts, whose gifts are sent to one host after the other.

use greenroom_manifest::Role;
use serde_json::{Value, json};

use crate::accounts::{PLATFORM, agree, balance, reconciled};
use crate::audience::{Audience, is_paced};
use crate::books::Books;
use crate::cast::Cast;
use crate::crowd::{Crowd, HOSTS, ROOM};
use crate::site::Site;
use crate::{gifts, pk};

/// Both rooms are shown the score so often at most, whichever has a gift.
const SCORE_EVERY_MS: u64 = 500;

#[tokio::test(flavor = "multi_thread")]
async fn the_gifts_of_two_rooms_on_three_hosts_decide_and_both_rooms_see_it_on_each() {
    let site = Site::open().await;
    let crowd = Crowd::open(&site, &["gift", "pk"]).await;
    let cast = crowd.cast();
    cast.open(ROOM, &[pk::plugin(), json!({ "name": "gift" })]).await;
    pk::open_rival(&cast).await;
    cast.pay(&crowd.service()).await;
    let mut audiences = crowd.audiences(ROOM).await;
    audiences.extend(crowd.audiences(pk::rival(&cast)).await);
    let (played, sent) = tokio::join!(pk::play(&cast), gifts::play(&cast, ROOM));
    let mut books = Books::default();
    gifts::check(&sent, &mut books);
    pk::check(&cast, &played, &mut books).await;
    assert!(books.seen.values().all(|count| *count > 0), "too little has happened to show anything: {books:?}");
    for host in 0..HOSTS {
        let shown = crowd.somebody(9, Role::Viewer, host).get(&cast.path("pk")).await.ok();
        assert_eq!(shown, cast.operator.get(&cast.path("pk")).await.ok(), "host {host}");
    }
    told(&cast, &audiences).await;
    reconciled(&cast.operator).await;
    adds_up(&crowd, &cast, &books).await;
    crowd.close(&[]).await;
}

/// Viewers have what they were told, and the streamer and the platform what was sent.
pub async fn adds_up(crowd: &Crowd, cast: &Cast, books: &Books) {
    let service = crowd.service();
    let coins = agree(cast, books, &service).await + balance(&service, PLATFORM).await;
    assert_eq!(coins, 0, "what some have lost others have");
}

/// Each room was told of the beginning and the end once on each host, and of the last score.
pub async fn told(cast: &Cast, audiences: &[Audience]) {
    let battle = cast.operator.get(&cast.path("pk")).await.ok();
    let scores = |battle: &Value| ["challenger", "challenged"].map(|side| battle[side]["score"].clone());
    for audience in audiences {
        let ended = audience.count("pk.ended", 1).await;
        assert_eq!(ended.iter().map(|push| &push.data).collect::<Vec<_>>(), [&battle]);
        for event in ["pk.invited", "pk.started"] {
            let shown = audience.shown(event);
            assert_eq!(shown.len(), 1, "{shown:?}");
        }
        let shown = audience.shown("pk.score");
        let last = shown.iter().filter(|push| scores(&push.data) == scores(&battle)).count();
        assert_eq!(last, 1, "the last score is shown once: {shown:?}");
        is_paced(&shown, SCORE_EVERY_MS);
    }
}
