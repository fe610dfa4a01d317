//! A service that one test has for itself: it may kill it, and nothing of it is left at the end.

use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::engine::{self, Engine};
use crate::job::Service;
use crate::leash::Leash;
use crate::place::{Place, Server};
use crate::progress::Step;
use crate::redis::{self, Fsync};
use crate::{addresses, install, ports};

/// One service of a test's own, on free ports. Its processes are killed when this is dropped, and when the program ends without that.
///
/// A node is one of its servers, from 0; all but a Redis Cluster have one. What waits, waits for a minute and a half at most, and blocks
/// its thread.
pub struct Own {
    service: Service,
    engine: Box<dyn Engine>,
    place: Place,
    /// One for each node that runs.
    leashes: Vec<Option<Leash>>,
}

impl Own {
    /// Starts it with its data in `folder`, and waits until it serves. What `folder` has of an earlier one is used again.
    ///
    /// # Errors
    /// If a program is missing and cannot be installed, or a server does not answer; with the end of its log.
    pub fn start(service: Service, folder: &Path, fsync: Fsync) -> anyhow::Result<Self> {
        let engine = service.engine(&shared().join(service.name()), fsync);
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let mut place = Place::load(folder.to_owned())?;
        install::ensure(|| engine.missing(&place))?;
        place.lay_out(engine.servers(), &mut ports::of_tests())?;
        let leashes = place.servers.iter().map(|_| None).collect();
        let mut own = Self { service, engine, place, leashes };
        own.restart()?;
        Ok(own)
    }

    /// Starts what does not run of it, with the data and the ports that it had, and waits until all of it serves.
    ///
    /// # Errors
    /// If it does not; with the end of the log.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        let step = Step::start(format!("starting {} for a test", self.service.name()));
        let result = engine::up(self.engine.as_ref(), &mut self.place, &step);
        self.hold()?;
        result
    }

    /// The same for one node; the others may be away.
    ///
    /// # Errors
    /// As for all.
    pub fn restart_node(&mut self, node: usize) -> anyhow::Result<()> {
        let step = Step::start(format!("starting {} of {} for a test", node, self.service.name()));
        let result = engine::up_one(self.engine.as_ref(), &mut self.place, node, &step);
        self.hold()?;
        result
    }

    /// Ends all of it as a crash does, with SIGKILL; its data stays.
    ///
    /// # Errors
    /// If a process does not end.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        (0..self.place.servers.len()).try_for_each(|node| self.kill_node(node))
    }

    /// The same for one node.
    ///
    /// # Errors
    /// If its process does not end, or there is no such node.
    pub fn kill_node(&mut self, node: usize) -> anyhow::Result<()> {
        if let Some(process) = &self.node(node)?.process {
            process.stop("KILL", engine::STOP_TIMEOUT)?;
        }
        if let Some(leash) = self.leashes.get_mut(node) {
            *leash = None;
        }
        Ok(())
    }

    /// Ends all of it as an operator does.
    ///
    /// # Errors
    /// If a process does not end.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        engine::down(self.engine.as_ref(), &mut self.place)?;
        self.leashes.iter_mut().for_each(|leash| *leash = None);
        Ok(())
    }

    /// Kills what runs, and removes the data of all nodes: the next start is like a first one, on the same ports.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn wipe(&mut self) -> anyhow::Result<()> {
        self.kill()?;
        for server in &self.place.servers {
            let data = self.place.data(server);
            std::fs::remove_dir_all(&data).with_context(|| format!("cannot remove {}", data.display()))?;
        }
        Ok(())
    }

    /// Stops a node in its tracks with SIGSTOP: its connections stay, and nothing is answered.
    ///
    /// # Errors
    /// If it cannot be signalled.
    pub fn pause_node(&self, node: usize) -> anyhow::Result<()> {
        self.signal(node, "STOP")
    }

    /// Lets a paused node go on.
    ///
    /// # Errors
    /// If it cannot be signalled.
    pub fn resume_node(&self, node: usize) -> anyhow::Result<()> {
        self.signal(node, "CONT")
    }

    /// Lets every node go on that was paused.
    ///
    /// # Errors
    /// If one cannot be signalled.
    pub fn resume(&self) -> anyhow::Result<()> {
        let processes = self.place.servers.iter().filter_map(|server| server.process.as_ref());
        processes.into_iter().try_for_each(|process| process.signal("CONT"))
    }

    /// Where it is, as the variable of [`Service::variable`] would say.
    ///
    /// # Errors
    /// If what it is made of cannot be read.
    pub fn url(&self) -> anyhow::Result<String> {
        self.engine.url(&self.place)
    }

    /// `127.0.0.1:<port>` of every node, with commas between them.
    pub fn address(&self) -> String {
        addresses(&self.place.servers)
    }

    /// Sends one command to a node of Redis, such as `["FLUSHALL"]`, and gives its answer, which must be a text or a number.
    ///
    /// # Errors
    /// If there is none, or an error.
    pub fn redis(&self, node: usize, command: &[&str]) -> anyhow::Result<String> {
        redis::call(self.node(node)?, command)
    }

    /// Where its data is, and `server.log` of what it says.
    pub fn folder(&self) -> &Path {
        &self.place.folder
    }

    fn node(&self, node: usize) -> anyhow::Result<&Server> {
        self.place.servers.get(node).with_context(|| format!("{} has no node {node}", self.service.name()))
    }

    fn signal(&self, node: usize, signal: &str) -> anyhow::Result<()> {
        let process = self.node(node)?.process.as_ref().context("it never ran")?;
        process.signal(signal)
    }

    /// Sees to it that every node that runs ends with this program.
    fn hold(&mut self) -> anyhow::Result<()> {
        for (server, leash) in self.place.servers.iter().zip(&mut self.leashes) {
            let process = server.process.as_ref().filter(|process| process.is_running());
            if let (Some(process), None) = (process, &leash) {
                *leash = Some(Leash::new(process.pid)?);
            }
        }
        Ok(())
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            eprintln!("{} was not stopped: {error:#}", self.service.name());
        }
    }
}

/// The folder of `cargo xtask services`, where the programs are that it fetched.
fn shared() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/services")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_redis_had_on_disk_is_there_again_until_it_is_wiped() {
        let folder = tempfile::TempDir::new().unwrap();
        let mut own = Own::start(Service::Redis, folder.path(), Fsync::Always).unwrap();
        let address = own.address();
        assert_eq!(own.redis(0, &["SET", "a", "1"]).unwrap(), "OK");
        own.kill().unwrap();
        assert!(own.redis(0, &["PING"]).is_err());
        own.restart().unwrap();
        assert_eq!((own.redis(0, &["GET", "a"]).unwrap(), own.address()), ("1".to_owned(), address));
        own.wipe().unwrap();
        own.restart().unwrap();
        assert_eq!(own.redis(0, &["EXISTS", "a"]).unwrap(), "0");
        let process = own.node(0).unwrap().process.clone().unwrap();
        drop(own);
        assert!(!process.is_running());
    }
}
