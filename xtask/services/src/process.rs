//! A server's process: started so that it outlives this program, known again by more than its number, and stopped.
//!
//! The kernel gives a number again once its process has ended. A process is therefore known by its number, the time at which
//! it started and the boot in which that was; nothing else is ever signalled.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

use crate::progress::run_quietly;

const POLL: Duration = Duration::from_millis(50);
const SIGNAL_TIMEOUT: Duration = Duration::from_secs(10);
/// After which a process that still runs is told again.
const SIGNAL_AGAIN: Duration = Duration::from_secs(1);
/// What is shown of a log.
const LOG_BYTES: u64 = 8 * 1024;
const LOG_LINES: usize = 15;

/// A process that was started here, running or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    /// When it started, in the kernel's ticks since the boot.
    started: u64,
    boot: String,
}

impl Process {
    /// Starts a program in a session of its own, without a terminal, its output added to the end of `log`.
    ///
    /// # Errors
    /// If it cannot start.
    pub(crate) fn start(program: &Command, log: &Path) -> anyhow::Result<Self> {
        let open = || OpenOptions::new().create(true).append(true).open(log);
        let file = open().with_context(|| format!("cannot open {}", log.display()))?;
        let mut detached = Command::new("setsid");
        detached.arg(program.get_program()).args(program.get_args());
        if let Some(folder) = program.get_current_dir() {
            detached.current_dir(folder);
        }
        for (name, value) in program.get_envs() {
            match value {
                Some(value) => detached.env(name, value),
                None => detached.env_remove(name),
            };
        }
        detached.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        // `setsid` replaces itself by the program, so that this is the program's number.
        let pid = detached.spawn().context("cannot start setsid")?.id();
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).context("it ended at once")?;
        let (started, _) = parse_stat(&stat).with_context(|| format!("cannot read {stat}"))?;
        Ok(Self { pid, started, boot: boot()? })
    }

    /// Whether it still runs, and is no other that was given its number.
    pub(crate) fn is_running(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        self.is(parse_stat(&stat)) && boot().is_ok_and(|boot| boot == self.boot)
    }

    fn is(&self, stat: Option<(u64, char)>) -> bool {
        // One that has ended is a zombie until its parent asks for it.
        stat.is_some_and(|(started, state)| started == self.started && !matches!(state, 'Z' | 'X'))
    }

    /// Sends a signal, such as "TERM", if it still runs.
    ///
    /// # Errors
    /// If it may not.
    pub(crate) fn signal(&self, signal: &str) -> anyhow::Result<()> {
        if !self.is_running() {
            return Ok(());
        }
        let mut kill = Command::new("kill");
        let sent = run_quietly(kill.args([&format!("-{signal}"), &self.pid.to_string()]), SIGNAL_TIMEOUT);
        // It may have ended in between.
        if self.is_running() { sent.map(|_| ()) } else { Ok(()) }
    }

    /// Asks it with a signal to end, again and again, and waits until it has; after `grace` it is killed. A Redis that makes
    /// its first append-only file does not heed a signal and forgets it.
    ///
    /// # Errors
    /// If it may not be signalled, or stays even so.
    pub(crate) fn stop(&self, signal: &str, grace: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + grace;
        while Instant::now() < deadline {
            self.signal(signal)?;
            if wait(SIGNAL_AGAIN, || self.ended()).is_ok() {
                return Ok(());
            }
        }
        self.signal("KILL")?;
        wait(grace, || self.ended()).with_context(|| format!("process {} does not end", self.pid))
    }

    fn ended(&self) -> anyhow::Result<()> {
        if self.is_running() { bail!("it still runs") } else { Ok(()) }
    }
}

/// Asks until the answer is good, for at most `timeout`; then gives the last error.
///
/// # Errors
/// The last one.
pub(crate) fn wait(timeout: Duration, mut ask: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<()> {
    let deadline = Instant::now() + timeout;
    loop {
        match ask() {
            Ok(()) => return Ok(()),
            Err(error) if Instant::now() >= deadline => return Err(error.context(format!("not within {timeout:?}"))),
            Err(_) => std::thread::sleep(POLL),
        }
    }
}

/// The last lines of a log, for an error; empty if there is none.
pub fn log_end(log: &Path) -> String {
    let mut bytes = Vec::new();
    let read = File::open(log).and_then(|mut file| {
        let len = file.metadata()?.len();
        file.seek(SeekFrom::Start(len.saturating_sub(LOG_BYTES)))?;
        file.read_to_end(&mut bytes)
    });
    if read.is_err() {
        return String::new();
    }
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let skipped = lines.len().saturating_sub(LOG_LINES);
    lines.into_iter().skip(skipped).collect::<Vec<_>>().join("\n")
}

fn boot() -> anyhow::Result<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").context("this needs Linux's /proc")?;
    Ok(id.trim().to_owned())
}

/// The start time and the state in `/proc/<pid>/stat`, whose second field is a name that may hold anything.
fn parse_stat(stat: &str) -> Option<(u64, char)> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    let state = fields.next()?.chars().next()?;
    // The state is field 3, the start time field 22.
    let started = fields.nth(18)?.parse().ok()?;
    Some((started, state))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "41 (redis (a) b) S 1 41 41 0 -1 4194560 1087 0 0 0 12 7 0 0 20 0 5 0 8675309 64925696 2300";

    fn process(started: u64) -> Process {
        Process { pid: 41, started, boot: "b".into() }
    }

    #[test]
    fn the_start_time_is_found_behind_any_name() {
        assert_eq!(parse_stat(STAT), Some((8_675_309, 'S')));
        assert_eq!(parse_stat(""), None);
    }

    #[test]
    fn another_process_with_the_same_number_is_not_taken_for_the_server() {
        assert!(process(8_675_309).is(parse_stat(STAT)));
        assert!(!process(8_675_308).is(parse_stat(STAT)));
        assert!(!process(8_675_309).is(parse_stat(&STAT.replace(") S", ") Z"))));
    }

    #[test]
    fn a_process_is_known_until_it_is_stopped_and_keeps_what_it_said() {
        let folder = std::env::temp_dir().join(format!("greenroom-process-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let log = folder.join("log");
        let mut program = Command::new("sh");
        program.args(["-c", "echo $WORD; exec sleep 60"]).env("WORD", "started");
        let process = Process::start(&program, &log).unwrap();
        wait(Duration::from_secs(10), || if log_end(&log) == "started" { Ok(()) } else { bail!("silent") }).unwrap();
        assert!(process.is_running());
        process.stop("TERM", Duration::from_secs(10)).unwrap();
        assert!(!process.is_running());
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_process_that_heeds_no_signal_is_killed() {
        let mut program = Command::new("sh");
        program.args(["-c", "trap '' TERM; exec sleep 60"]);
        let process = Process::start(&program, Path::new("/dev/null")).unwrap();
        process.stop("TERM", Duration::from_millis(1)).unwrap();
        assert!(!process.is_running());
    }
}
