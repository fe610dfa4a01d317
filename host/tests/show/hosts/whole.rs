//! A host is killed in the middle of a whole show of all plugins: any of them, at any moment.

use std::time::Duration;

use rand::RngExt;

use crate::accounts::reconciled;
use crate::crowd::{Crowd, HOSTS};
use crate::site::Site;
use crate::whole::{PLUGINS, prepare, show};

/// From the first requests until most things have ended, in milliseconds.
const KILLED_AFTER_MS: std::ops::Range<u64> = 500..8_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_show_loses_no_coin_when_one_of_three_hosts_is_killed_in_its_middle() {
    let site = Site::open().await;
    let mut crowd = Crowd::open(&site, &PLUGINS).await;
    let cast = crowd.cast();
    prepare(&cast, &crowd.service()).await;
    let mut random = rand::rng();
    let (place, after_ms) = (random.random_range(0..HOSTS), random.random_range(KILLED_AFTER_MS));
    println!("host {place} is killed after {after_ms} ms");
    let killing = async {
        tokio::time::sleep(Duration::from_millis(after_ms)).await;
        crowd.kill(place);
    };
    let (books, ()) = tokio::join!(show(&cast), killing);
    assert!(books.seen.values().all(|count| *count > 0), "too little has happened to show anything: {books:?}");
    reconciled(&cast.operator).await;
    super::pk::adds_up(&crowd, &cast, &books).await;
    crowd.close(&[]).await;
}
