//! Word of what was appended, so that whoever relays a bucket looks into its outbox at once.
//!
//! A relay of this process is told directly. For the buckets that others relay the push bus carries the word: one small message for all that
//! came while an answer of the server was awaited. A word that is lost costs a wait, as relays look now and then all the same. Bounded
//! by the number of buckets.

use std::collections::BTreeSet;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// What was appended and is yet to be told of.
#[derive(Debug)]
pub(super) struct Appended {
    buckets: Vec<Notify>,
    /// Buckets that others relay.
    elsewhere: Mutex<BTreeSet<u32>>,
    /// Told when there is one.
    some: Notify,
}

impl Appended {
    pub(super) fn new(buckets: u32) -> Self {
        let buckets = (0..buckets).map(|_| Notify::new()).collect();
        Self { buckets, elsewhere: Mutex::default(), some: Notify::new() }
    }

    /// This process has appended to a bucket that it relays itself.
    pub(super) fn here(&self, bucket: u32) {
        if let Some(bucket) = self.bucket(bucket) {
            bucket.notify_one();
        }
    }

    /// This process has appended to a bucket that another one relays.
    pub(super) fn elsewhere(&self, bucket: u32) {
        if self.elsewhere.lock().insert(bucket) {
            self.some.notify_one();
        }
    }

    /// Waits until other processes must be told, and gives what.
    pub(super) async fn some_elsewhere(&self) -> Vec<u32> {
        loop {
            self.some.notified().await;
            let buckets = std::mem::take(&mut *self.elsewhere.lock());
            if !buckets.is_empty() {
                return buckets.into_iter().collect();
            }
        }
    }

    /// Another process, or this one, has appended to these.
    pub(super) fn heard(&self, buckets: &[u32]) {
        buckets.iter().for_each(|bucket| self.here(*bucket));
    }

    /// Waits until something is appended to a bucket, or was since the last wait.
    pub(super) async fn to(&self, bucket: u32) {
        match self.bucket(bucket) {
            Some(bucket) => bucket.notified().await,
            None => std::future::pending().await,
        }
    }

    fn bucket(&self, bucket: u32) -> Option<&Notify> {
        self.buckets.get(usize::try_from(bucket).ok()?)
    }
}
