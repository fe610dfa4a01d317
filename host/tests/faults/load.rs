//! Viewers who send gifts over all hosts, ask again where an answer is lost, and look what they have.
//!
//! Everything that they do is in the history. Each does one thing at a time and is one of its processes; a viewer who gives up on an
//! answer goes on as another process, as Jepsen wants it.

mod gift;
mod tally;
mod viewer;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinHandle;

use crate::history::Recorder;
pub use gift::Gift;
pub use tally::{Status, Tally};
use viewer::Viewer;

/// A room and its only streamer. The first is the hot one; the streamers of the others are viewers too, who pay each other.
pub const ROOMS: [(i64, i64); 3] = [(7, 77), (8, 1001), (9, 1002)];
/// Viewers have this number and those after it.
pub const FIRST_VIEWER: i64 = 1001;
pub const VIEWERS: i64 = 10;
/// The last ones run out of money.
pub const POOR: i64 = 2;
/// What each has at the start: enough for all that they can send.
pub const START: i64 = 1_000_000;
pub const START_OF_POOR: i64 = 400;
/// A gift that was not answered by then never will be.
const ANSWER_WAIT: Duration = Duration::from_secs(120);

/// How the load is to be.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Each viewer waits at most so long between two gifts.
    pub pause_max: Duration,
    /// Whether what was answered is sent again now and then, and must be answered in the same way. Not where answers may be lost.
    pub repeats: bool,
    /// Whether viewers give up on some answers.
    pub gives_up: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self { pause_max: Duration::from_millis(60), repeats: true, gives_up: true }
    }
}

/// What all viewers share.
struct Shared {
    plan: Plan,
    hosts: Vec<String>,
    history: Arc<Recorder>,
    tally: Arc<Tally>,
    stopped: AtomicBool,
}

/// A load that runs until it is told to stop.
pub struct Load {
    shared: Arc<Shared>,
    viewers: Vec<JoinHandle<Vec<Gift>>>,
}

/// All viewers.
pub fn viewers() -> impl Iterator<Item = i64> {
    FIRST_VIEWER..FIRST_VIEWER + VIEWERS
}

impl Load {
    /// Starts it over hosts at these URLs.
    pub fn start(seed: u64, plan: Plan, hosts: Vec<String>, history: Arc<Recorder>) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let tally = Arc::new(Tally::default());
        let shared = Arc::new(Shared { plan, hosts, history, tally, stopped: AtomicBool::new(false) });
        let start = |user| tokio::spawn(Viewer::new(user, random.random(), Arc::clone(&shared)).run());
        let viewers = viewers().map(start).collect();
        Self { shared, viewers }
    }

    /// What has happened so far.
    pub fn tally(&self) -> &Tally {
        &self.shared.tally
    }

    /// Waits until so many more gifts were answered.
    ///
    /// # Panics
    /// If that takes longer than a minute and a half.
    pub async fn answered(&self, more: usize) {
        let wanted = self.shared.tally.count(Status::Answered) + more;
        let begun = Instant::now();
        while self.shared.tally.count(Status::Answered) < wanted {
            assert!(begun.elapsed() < Duration::from_secs(90), "the load stands still: {}", self.shared.tally);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Lets every viewer finish what is begun; all services must be there again. Gives all gifts that were sent.
    pub async fn stop(self) -> Vec<Gift> {
        self.shared.stopped.store(true, Ordering::Relaxed);
        let mut gifts = Vec::new();
        for viewer in self.viewers {
            gifts.extend(viewer.await.unwrap());
        }
        gifts
    }
}
