//! Counts of what happened under load.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What can become of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// A gift was answered.
    Answered,
    /// A gift was refused for good.
    Refused,
    /// Its sender has given up on the answer.
    GivenUp,
    /// A request was answered with 503, or another failure of the server.
    Unavailable,
    /// A request had no answer at all.
    Lost,
    /// The same gift over two hosts at once, both answered.
    Doubled,
    /// A gift that was answered long ago was answered in the same way.
    Repeated,
    /// A viewer read a balance.
    Read,
}

const ALL: [Status; 8] = [
    Status::Answered,
    Status::Refused,
    Status::GivenUp,
    Status::Unavailable,
    Status::Lost,
    Status::Doubled,
    Status::Repeated,
    Status::Read,
];

/// How often each happened.
#[derive(Debug, Default)]
pub struct Tally([AtomicUsize; ALL.len()]);

impl Tally {
    pub fn add(&self, status: Status) {
        self.0[status as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub fn count(&self, status: Status) -> usize {
        self.0[status as usize].load(Ordering::Relaxed)
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = ALL.map(|status| format!("{status:?} {}", self.count(status)));
        out.write_str(&counts.join(", "))
    }
}
