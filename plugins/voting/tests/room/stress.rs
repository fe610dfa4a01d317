//! Very many voters who repeat and race, while another poll is closed under them.

use std::sync::atomic::{AtomicU64, Ordering};

use futures::StreamExt;
use futures::stream;

use super::*;

const VOTERS: i64 = 2_000;
const AT_ONCE: usize = 64;

/// Votes for the first option, every fourth twice, and at the same time for the second: one of the two votes counts, once. Whether it is
/// the first.
async fn voted(viewer: &Visitor, votes: &str, number: i64) -> bool {
    if number % 4 != 0 {
        let _ = viewer.post(votes, ask("mine", &[1])).await.ok();
        return true;
    }
    let (first, again, other) = tokio::join!(
        viewer.post(votes, ask("mine", &[1])),
        viewer.post(votes, ask("mine", &[1])),
        viewer.post(votes, ask("other", &[2])),
    );
    assert_eq!(first.status, again.status, "{first:?} {again:?}");
    assert_ne!(first.status == 200, other.status == 200, "{first:?} {other:?}");
    first.status == 200
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn tally_recount_and_distinct_votes_are_the_same_whatever_is_repeated_raced_or_closed() {
    let house = house().await;
    let room = room(&house, json!({})).await;
    let mut seen = room.viewer(1).watch().await;
    let (whole, cut) = (open(&room, json!({})).await, open(&room, json!({})).await);
    let answered = AtomicU64::new(0);
    let voting = stream::iter(1..=VOTERS).map(|number| {
        let (viewer, whole, cut) = (room.viewer(10_000 + number), format!("{whole}/votes"), format!("{cut}/votes"));
        let answered = &answered;
        async move {
            let (of_cut, is_first) = tokio::join!(viewer.post(&cut, ask("mine", &[3])), voted(&viewer, &whole, number));
            answered.fetch_add(1, Ordering::SeqCst);
            (i64::from(is_first), i64::from(of_cut.status == 200))
        }
    });
    let closing = async {
        while answered.load(Ordering::SeqCst) < VOTERS.unsigned_abs() / 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let _ = room.streamer().post(&format!("{cut}/close"), Value::Null).await.ok();
        seen.next("poll.closed").await
    };
    let (counts, closed) = tokio::join!(voting.buffer_unordered(AT_ONCE).collect::<Vec<(i64, i64)>>(), closing);
    let (ones, cut_votes) = counts.iter().fold((0, 0), |(a, b), (one, cut)| (a + one, b + cut));
    assert!((VOTERS / 4..VOTERS).contains(&cut_votes), "{cut_votes}");
    assert_eq!((points(&closed), &closed["voters"]), (vec![0, 0, cut_votes], &json!(cut_votes)));
    assert_eq!(recounted(&room, &cut).await["options"], closed["sums"]);

    house.clock.advance(CLOSES_IN);
    let closed = seen.next("poll.closed").await;
    assert_eq!((points(&closed), &closed["voters"]), (vec![ones, VOTERS - ones, 0], &json!(VOTERS)));
    let recount = recounted(&room, &whole).await;
    assert_eq!((&recount["options"], &recount["voters"]), (&closed["sums"], &json!(VOTERS)));
    house.close().await;
}
