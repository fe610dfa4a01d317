//! One program that runs tests: its lines as they come, and its end, also where it has none.

use std::fmt;
use std::io::{BufRead, BufReader, PipeReader};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::job::Job;

const LOOK_EVERY: Duration = Duration::from_millis(200);
/// For the last words of what was killed.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Lines that wait to be taken; who writes more waits.
const LINES_MAX: usize = 1_000;

/// How long something may take before it counts as hanging.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// From one line to the next. A test says nothing until it ends: the longest takes four minutes on two slow cores, and some seven with
    /// `GREENROOM_TEST_FULL`.
    pub(super) silence: Duration,
    /// From the program's end to that of the processes that it has left behind, which have its output open. A decision: those that it
    /// has killed are gone at once.
    pub(super) leftovers: Duration,
}

pub(super) const PATIENCE: Patience =
    Patience { silence: Duration::from_secs(20 * 60), leftovers: Duration::from_secs(10) };

/// Runs a job, and gives its lines as they come.
///
/// # Errors
/// If it cannot start, its output cannot be read, it hangs, or it leaves a process behind; these are killed, and named.
pub(super) fn follow(mut job: Job, patience: Patience, mut line: impl FnMut(String)) -> anyhow::Result<ExitStatus> {
    let (reader, writer) = std::io::pipe().context("cannot make a pipe")?;
    let pipe = PathBuf::from(format!("/proc/self/fd/{}", reader.as_raw_fd()));
    let pipe = pipe.read_link().context("cannot look up the pipe")?;
    job.command.stdout(writer.try_clone()?).stderr(writer);
    let mut child = job.command.spawn().with_context(|| format!("cannot start {}", job.name))?;
    let name = job.name;
    // The command holds the pipe's other end; the output ends only when nobody can write to it.
    drop(job.command);
    let lines = lines(reader);
    if let Err(how) = until_its_end(&mut child, &lines, patience, &mut line) {
        let kept: Vec<Process> = Process::that_have_open(&pipe).collect();
        let told = kept.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        kept.iter().for_each(Process::kill);
        child.kill()?;
        while let Ok(Ok(said)) = lines.recv_timeout(LAST_WORDS) {
            line(said);
        }
        child.wait()?;
        bail!("{name} {how}. Killed: {told}");
    }
    Ok(child.wait()?)
}

/// The output's lines, until nobody can write to it any more. The thread that reads them ends then too, or when nobody listens; a process that
/// cannot be killed may keep it, so nobody waits for it.
fn lines(reader: PipeReader) -> Receiver<std::io::Result<String>> {
    let (sender, receiver) = mpsc::sync_channel(LINES_MAX);
    std::thread::spawn(move || {
        for line in BufReader::new(reader).split(b'\n') {
            let line = line.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

/// An error if there is no end, and why not.
fn until_its_end(
    child: &mut Child,
    lines: &Receiver<std::io::Result<String>>,
    patience: Patience,
    line: &mut impl FnMut(String),
) -> Result<(), String> {
    let (mut said_at, mut ended_at, mut looked_at) = (Instant::now(), None, Instant::now());
    loop {
        match lines.recv_timeout(LOOK_EVERY) {
            Ok(Ok(said)) => {
                said_at = Instant::now();
                line(said);
            }
            Ok(Err(error)) => return Err(format!("cannot be read: {error}")),
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
            Err(RecvTimeoutError::Timeout) => {}
        }
        if looked_at.elapsed() < LOOK_EVERY {
            continue;
        }
        looked_at = Instant::now();
        if ended_at.is_none() && child.try_wait().is_ok_and(|status| status.is_some()) {
            ended_at = Some(looked_at);
        }
        if ended_at.is_some_and(|at| at.elapsed() > patience.leftovers) {
            return Err("has ended, and left processes behind".into());
        }
        if said_at.elapsed() > patience.silence {
            return Err(format!("has said nothing for {:.0?}", patience.silence));
        }
    }
}

/// A process of a suite.
struct Process {
    pid: u32,
    command: String,
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.command, self.pid)
    }
}

impl Process {
    /// All but this one that have a pipe open.
    fn that_have_open(pipe: &PathBuf) -> impl Iterator<Item = Self> {
        let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(|pid| *pid != std::process::id() && has_open(*pid, pipe)).map(Self::of)
    }

    fn of(pid: u32) -> Self {
        let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words = words.split(|byte| *byte == 0).map(String::from_utf8_lossy);
        Self { pid, command: words.collect::<Vec<_>>().join(" ").trim().to_owned() }
    }

    fn kill(&self) {
        // It may have ended meanwhile, which is as good.
        let _ = Command::new("kill").args(["-KILL", &self.pid.to_string()]).status();
    }
}

fn has_open(pid: u32, pipe: &PathBuf) -> bool {
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    files.map(|file| file.path()).any(|file| file.read_link().is_ok_and(|target| target == *pipe))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The silence is far longer than a busy machine takes from one line of these scripts to the next.
    const SHORT: Patience = Patience { silence: Duration::from_secs(4), leftovers: Duration::from_millis(300) };

    /// The lines that a shell's script writes, and how it ends.
    fn script(script: &str) -> (Vec<String>, anyhow::Result<ExitStatus>) {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let job = Job { name: "suite".into(), announcement: None, command, is_crowded: false };
        let mut lines = Vec::new();
        let status = follow(job, SHORT, |line| lines.push(line));
        (lines, status)
    }

    /// A process that was told of as killed, such as `sleep 61 (4711)`, is gone.
    fn is_gone(told: &str, command: &str) {
        let (_, rest) = told.split_once(&format!("{command} (")).expect(told);
        let pid = rest.split(')').next().unwrap();
        let begun = Instant::now();
        // An orphan is there until whoever inherits it has waited for it; then it has no command any more.
        while std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|words| !words.is_empty()) {
            assert!(begun.elapsed() < Duration::from_secs(20), "{pid} was not killed");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn lines_are_read_until_the_end() {
        let (lines, status) = script("echo one; echo two >&2; exit 3");
        assert_eq!((lines, status.unwrap().code()), (vec!["one".to_owned(), "two".to_owned()], Some(3)));
    }

    #[test]
    fn what_is_left_behind_is_killed_and_named_whether_it_talks_or_not() {
        let (lines, status) = script("echo one; sleep 61 & exit 0");
        assert_eq!(lines, ["one"]);
        let told = status.unwrap_err().to_string();
        assert!(told.starts_with("suite has ended, and left processes behind. Killed: sleep 61 ("), "{told}");
        is_gone(&told, "sleep 61");

        let (lines, status) = script("yes & exit 0");
        assert!(lines.iter().all(|line| line.starts_with('y')));
        let told = status.unwrap_err().to_string();
        assert!(told.starts_with("suite has ended, and left processes behind. Killed: yes ("), "{told}");
    }

    #[test]
    fn what_says_nothing_any_more_is_killed_and_named_and_its_last_words_are_kept() {
        let (lines, status) = script("echo one; printf 'test two ... '; sleep 62; echo three");
        assert_eq!(lines, ["one", "test two ... "]);
        let told = status.unwrap_err().to_string();
        assert!(told.starts_with("suite has said nothing for 4s. Killed: "), "{told}");
        is_gone(&told, "sleep 62");
    }

    #[test]
    fn who_goes_on_talking_is_left_in_peace() {
        let (lines, status) = script("for n in 1 2 3 4 5 6; do sleep 1; echo $n; done");
        assert_eq!(lines.len(), 6);
        assert!(status.unwrap().success());
    }
}
