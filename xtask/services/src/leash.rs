//! Processes that end with this program, however it ends.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use anyhow::Context;

/// Reads from a pipe that nobody writes to, and whose other end the kernel closes when this program is gone.
const WATCH: &str = r#"read -r _; kill -KILL "$1""#;

/// Kills a process when this program ends, even if that is killed itself. Dropped, it lets go.
///
/// The kernel's own signal at a parent's death would come at the end of the thread that started the process, and a change of user
/// takes it away.
#[derive(Debug)]
pub struct Leash {
    watcher: Child,
}

impl Leash {
    /// Watches over `pid`, which must be a process that this program started and has not waited for: its number is nobody else's as
    /// long as that is so.
    ///
    /// # Errors
    /// If the watcher cannot start.
    pub fn new(pid: u32) -> anyhow::Result<Self> {
        let mut shell = Command::new("sh");
        shell.args(["-c", WATCH, "sh", &pid.to_string()]);
        // Out of the reach of a Ctrl-C, which the group of this program gets as a whole.
        shell.process_group(0);
        shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self { watcher: shell.spawn().context("cannot start sh")? })
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        // It may be gone; there is nothing to do about it then.
        let _ = self.watcher.kill();
        let _ = self.watcher.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::process::wait;

    #[test]
    fn a_process_ends_with_the_program_that_holds_the_leash_and_not_sooner() {
        let mut held = Command::new("sleep").arg("60").spawn().unwrap();
        let mut free = Command::new("sleep").arg("60").spawn().unwrap();
        drop(Leash::new(free.id()).unwrap());
        let mut leash = Leash::new(held.id()).unwrap();
        assert!(held.try_wait().unwrap().is_none());
        // What the kernel does when the program is gone.
        drop(leash.watcher.stdin.take());
        let mut ended = || held.try_wait()?.map(drop).context("it runs");
        wait(Duration::from_secs(10), &mut ended).unwrap();
        assert!(free.try_wait().unwrap().is_none());
        free.kill().unwrap();
        free.wait().unwrap();
    }
}
