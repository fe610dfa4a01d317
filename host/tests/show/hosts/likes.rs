//! Likes over three hosts: each is counted once, and the last total is shown on each host.

use greenroom_manifest::Role;
use serde_json::json;

use crate::audience::{Push, is_paced};
use crate::books::Books;
use crate::crowd::{Crowd, HOSTS, ROOM, path};
use crate::likes::{self, Played};
use crate::site::Site;
use crate::visitor::{Visitor, number, with_id};

/// The room is told its total twice a second at most.
const PERIOD_MS: u64 = 500;

fn viewers() -> usize {
    if std::env::var_os("GREENROOM_TEST_FULL").is_some() { 50_000 } else { 1_500 }
}

#[tokio::test(flavor = "multi_thread")]
async fn likes_on_three_hosts_are_counted_once_and_the_last_total_is_shown_on_each() {
    let site = Site::open().await;
    let crowd = Crowd::open(&site, &["likes"]).await;
    let cast = crowd.cast();
    cast.open(ROOM, &[likes::plugin()]).await;
    let audiences = crowd.audiences(ROOM).await;
    let (played, counted) = tokio::join!(likes::play(&cast), crowd.all(viewers(), like));
    let total = played.total + counted.iter().sum::<i64>();
    for (host, audience) in audiences.iter().enumerate() {
        let somebody = crowd.somebody(9, Role::Viewer, host);
        somebody.until(&path("likes"), |shown| shown["total"] == total).await;
        let is_last = |shown: &[&Push]| shown.last().is_some_and(|push| push.data["total"] == total);
        audience.until("likes.total", is_last).await;
    }
    likes::check(&cast, &Played { total }, &mut Books::default()).await;
    assert_eq!(audiences.len(), HOSTS);
    for audience in &audiences {
        let shown = audience.shown("likes.total");
        let totals: Vec<i64> = shown.iter().map(|push| number(&push.data["total"])).collect();
        assert_eq!(totals.iter().max(), Some(&total), "{totals:?}");
        assert_eq!(totals.last(), Some(&total), "{totals:?}");
        is_paced(&shown, PERIOD_MS);
    }
    crowd.close(&[]).await;
}

/// How many likes of a viewer count, whatever is repeated and raced.
async fn like(here: Visitor, there: Visitor, place: usize) -> i64 {
    let (path, count) = (path("likes"), i64::try_from(place % 7 + 1).unwrap());
    let ask = with_id(json!({ "count": count }));
    match place % 3 {
        // The same request over two hosts at once.
        0 => {
            let (one, other) = tokio::join!(here.post(&path, &ask), there.post(&path, &ask));
            let (one, other) = (one.ok(), other.ok());
            assert_ne!(one["replayed"], other["replayed"], "{one} {other}");
            assert_eq!([&one["counted"], &other["counted"]], [count, count]);
            count
        }
        // Two requests over two hosts at once.
        1 => {
            let second = with_id(json!({ "count": count }));
            let (one, other) = tokio::join!(here.post(&path, &ask), there.post(&path, &second));
            assert_eq!([&one.ok()["counted"], &other.ok()["counted"]], [count, count]);
            2 * count
        }
        _ => {
            for replayed in [false, true] {
                let host = if replayed { &there } else { &here };
                assert_eq!(host.post(&path, &ask).await.ok(), json!({ "counted": count, "replayed": replayed }));
            }
            count
        }
    }
}
