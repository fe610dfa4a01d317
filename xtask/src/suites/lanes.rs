//! Suites side by side. Many of them mostly wait: for leases, time-outs and servers.
//!
//! What a suite says is kept, and printed whole when it ends, so that no two are mixed. Meanwhile a line now and then tells how far they are.

use std::collections::VecDeque;
use std::process::ExitStatus;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::follow::{PATIENCE, follow};
use super::job::Job;

/// Suites that run at the same time. Each runs as many of its tests at once as there are cores.
const LANES: usize = 2;
/// The lane of those that are never beside each other.
const CROWDED_LANE: usize = 0;
const TELL_EVERY: Duration = Duration::from_secs(60);

/// A suite that has ended.
pub(super) struct Ended {
    pub(super) output: String,
    /// An error if it could not be run, hung, or left a process behind.
    pub(super) status: anyhow::Result<ExitStatus>,
}

enum News {
    Started { lane: usize, name: String, announcement: Option<String> },
    Line { lane: usize, line: String },
    Ended { lane: usize, status: anyhow::Result<ExitStatus> },
}

/// What a lane does.
#[derive(Default)]
struct Lane {
    name: String,
    output: String,
    tests: usize,
    tests_ended: usize,
}

/// Runs all jobs, as many at a time as there are lanes, in their order, but crowded ones one after the other, and tells of each as it ends.
pub(super) fn run(jobs: Vec<Job>, mut ended: impl FnMut(Ended)) {
    let jobs = Mutex::new(VecDeque::from(jobs));
    let (sender, receiver) = mpsc::channel();
    let mut lanes: [Lane; LANES] = Default::default();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for lane in 0..LANES {
            let (jobs, sender) = (&jobs, sender.clone());
            scope.spawn(move || work(lane, jobs, &sender));
        }
        drop(sender);
        let mut tell_at = begun + TELL_EVERY;
        loop {
            match receiver.recv_timeout(tell_at.saturating_duration_since(Instant::now())) {
                Ok(news) => take(&mut lanes, news).into_iter().for_each(&mut ended),
                Err(RecvTimeoutError::Timeout) => {
                    eprintln!("after {:.0?}: {}", begun.elapsed(), told(&lanes));
                    tell_at += TELL_EVERY;
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
    });
}

fn work(lane: usize, jobs: &Mutex<VecDeque<Job>>, news: &Sender<News>) {
    // Nobody listens any more only if this program is about to end.
    let tell = |told| drop(news.send(told));
    loop {
        let Some(mut job) = next(lane, jobs) else { return };
        tell(News::Started { lane, name: job.name.clone(), announcement: job.announcement.take() });
        let status = follow(job, PATIENCE, |line| tell(News::Line { lane, line }));
        tell(News::Ended { lane, status });
    }
}

fn next(lane: usize, jobs: &Mutex<VecDeque<Job>>) -> Option<Job> {
    let mut jobs = jobs.lock().unwrap_or_else(PoisonError::into_inner);
    let place = jobs.iter().position(|job| lane == CROWDED_LANE || !job.is_crowded)?;
    jobs.remove(place)
}

/// Notes what a lane does; gives what it has done.
fn take(lanes: &mut [Lane], news: News) -> Option<Ended> {
    match news {
        News::Started { lane, name, announcement } => {
            let lane = lanes.get_mut(lane)?;
            eprintln!("running {name} …");
            *lane = Lane { name, ..Lane::default() };
            announcement.into_iter().for_each(|line| lane.read(&line));
            None
        }
        News::Line { lane, line } => {
            lanes.get_mut(lane)?.read(&line);
            None
        }
        News::Ended { lane, status } => {
            let lane = std::mem::take(lanes.get_mut(lane)?);
            Some(Ended { output: lane.output, status })
        }
    }
}

impl Lane {
    fn read(&mut self, line: &str) {
        self.output += line;
        self.output.push('\n');
        if let Some(count) =
            line.strip_prefix("running ").and_then(|rest| rest.split(' ').next()?.parse::<usize>().ok())
        {
            self.tests += count;
        }
        self.tests_ended += usize::from(super::table::outcome(line).is_some());
    }
}

/// Such as `faults: 3 of 28 tests, model: 5 of 6 tests`.
fn told(lanes: &[Lane]) -> String {
    let busy = lanes.iter().filter(|lane| !lane.name.is_empty());
    let told = busy.map(|lane| format!("{}: {} of {} tests", lane.name, lane.tests_ended, lane.tests));
    told.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn shell(name: &str, script: &str) -> Job {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Job { name: name.into(), announcement: Some(format!("announced {name}")), command, is_crowded: false }
    }

    fn all(jobs: Vec<Job>) -> Vec<Ended> {
        let mut found = Vec::new();
        run(jobs, |ended| found.push(ended));
        found.sort_by(|one, other| one.output.cmp(&other.output));
        found
    }

    #[test]
    fn the_output_of_suites_side_by_side_is_not_mixed() {
        // Each waits for what the other makes, so that both surely run at the same time.
        let folder = tempfile::TempDir::new().unwrap();
        let meet = |own: &str, other: &str| {
            let wait = "n=0; while [ ! -e OTHER ] && [ $n -lt 600 ]; do sleep 0.05; n=$((n+1)); done; [ -e OTHER ]";
            let script = format!("cd {} && echo one; touch {own}; {wait} && echo two >&2", folder.path().display());
            shell(own, &script.replace("OTHER", other))
        };
        let found = all(vec![meet("a", "b"), meet("b", "a"), shell("c", "echo three")]);
        let outputs: Vec<&str> = found.iter().map(|ended| &*ended.output).collect();
        assert_eq!(outputs, ["announced a\none\ntwo\n", "announced b\none\ntwo\n", "announced c\nthree\n"]);
    }

    #[test]
    fn a_suite_that_fails_or_cannot_start_is_told_of() {
        let lost = Job {
            name: "lost".into(),
            announcement: None,
            command: Command::new("/no/such/program"),
            is_crowded: false,
        };
        let found = all(vec![lost, shell("failing", "exit 3")]);
        let codes: Vec<Option<i32>> = found.iter().map(|ended| ended.status.as_ref().ok()?.code()).collect();
        assert_eq!(codes, [None, Some(3)]);
    }

    #[test]
    fn crowded_suites_are_never_side_by_side_and_others_are_beside_them() {
        let folder = tempfile::TempDir::new().unwrap();
        // Fails if another crowded one is there; waits until the light one has run beside it.
        let alone = "mkdir busy || exit 1; n=0; while [ ! -e light ] && [ $n -lt 600 ]; do sleep 0.05; n=$((n+1)); done; [ -e light ] && rmdir busy";
        let place = format!("cd {} && ", folder.path().display());
        let crowded = |name: &str| Job { is_crowded: true, ..shell(name, &format!("{place}{alone}")) };
        let found = all(vec![crowded("a"), crowded("b"), shell("c", &format!("{place}touch light"))]);
        let codes: Vec<Option<i32>> = found.iter().map(|ended| ended.status.as_ref().ok()?.code()).collect();
        assert_eq!(codes, [Some(0); 3]);
    }

    #[test]
    fn a_line_tells_how_far_each_suite_is() {
        let mut lanes: [Lane; 2] = Default::default();
        assert_eq!(told(&lanes), "");
        take(&mut lanes, News::Started { lane: 1, name: "model".into(), announcement: None });
        for line in ["running 3 tests", "test a ... ok", "what a test says", "test b ... FAILED"] {
            take(&mut lanes, News::Line { lane: 1, line: line.into() });
        }
        assert_eq!(told(&lanes), "model: 2 of 3 tests");
    }
}
