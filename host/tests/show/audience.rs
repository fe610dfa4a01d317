//! A viewer who watches a room on one host, and remembers everything that was shown there.

use std::time::UNIX_EPOCH;

use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::support::Client;
use crate::visitor::PATIENCE;

/// A message of the room, or to this viewer.
#[derive(Debug, Clone)]
pub struct Push {
    pub event: String,
    pub data: Value,
    /// When it was there, in milliseconds since the Unix epoch.
    pub at_ms: u64,
}

/// Watches until it is dropped.
pub struct Audience {
    seen: watch::Receiver<Vec<Push>>,
    watching: JoinHandle<()>,
}

impl Drop for Audience {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

impl Audience {
    /// Somebody who watches a room from now on.
    pub async fn open(client: &Client, room: i64) -> Self {
        let mut events = client.events(room, None).await;
        let (shown, seen) = watch::channel(Vec::new());
        let watching = tokio::spawn(async move {
            while let Some((event, data)) = events.next().await {
                let at_ms = u64::try_from(UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
                shown.send_modify(|seen: &mut Vec<Push>| seen.push(Push { event, data, at_ms }));
            }
        });
        Self { seen, watching }
    }

    /// What was shown under this name so far.
    pub fn shown(&self, event: &str) -> Vec<Push> {
        of(&self.seen.borrow(), event).into_iter().cloned().collect()
    }

    /// Waits until what was shown under this name is as it should be, and gives it.
    pub async fn until(&self, event: &str, is_so: impl Fn(&[&Push]) -> bool) -> Vec<Push> {
        let mut seen = self.seen.clone();
        let waited = timeout(PATIENCE, seen.wait_for(|seen| is_so(&of(seen, event)))).await;
        let is_there = waited.is_ok_and(|seen| seen.is_ok());
        let shown = self.shown(event);
        assert!(is_there, "{event} is not shown as it should be: {shown:?}");
        shown
    }

    /// Waits until something was shown so often.
    pub async fn count(&self, event: &str, count: usize) -> Vec<Push> {
        self.until(event, |shown| shown.len() >= count).await
    }
}

fn of<'a>(seen: &'a [Push], event: &str) -> Vec<&'a Push> {
    seen.iter().filter(|push| push.event == event).collect()
}

/// That something was shown no more often than once in a period, but for how late each may have been.
pub fn is_paced(shown: &[Push], period_ms: u64) {
    let times: Vec<u64> = shown.iter().map(|push| push.at_ms).collect();
    let span_ms = times[times.len() - 1] - times[0];
    let most = span_ms / period_ms + 2;
    assert!(times.len() as u64 <= most, "{} times within {span_ms} ms: {times:?}", times.len());
}
