//! Where a service keeps its data, and which of its processes run: `target/services/<name>/`, with `state.json` in it.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

use crate::ports::Ports;
use crate::process::Process;

/// Programs that were fetched; they are no data, and outlive a purge.
pub(crate) const LIBRARIES: &str = "libs";

/// A service's folder and servers.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) folder: PathBuf,
    pub(crate) servers: Vec<Server>,
}

/// One server of a service. What it is asked through is kept over restarts, as long as its ports are free.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Server {
    /// Its folder's name within the service's; empty for the only server of a service.
    pub(crate) name: String,
    pub(crate) port: u16,
    /// For its own kind: a cluster's bus, a Kafka controller. Not used by every service.
    pub(crate) peer_port: u16,
    pub(crate) process: Option<Process>,
}

impl Server {
    /// Whether its process runs.
    pub(crate) fn is_running(&self) -> bool {
        self.process.as_ref().is_some_and(Process::is_running)
    }

    /// `127.0.0.1:<port>`.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

impl Place {
    /// Reads what the last run has written; a service that never ran has no servers.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn load(folder: PathBuf) -> anyhow::Result<Self> {
        let file = folder.join("state.json");
        let servers = match std::fs::read(&file) {
            Ok(text) => serde_json::from_slice(&text).with_context(|| format!("cannot read {}", file.display()))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
        };
        Ok(Self { folder, servers })
    }

    /// Writes it down.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn save(&self) -> anyhow::Result<()> {
        std::fs::create_dir_all(&self.folder).with_context(|| format!("cannot make {}", self.folder.display()))?;
        write(&self.folder.join("state.json"), &serde_json::to_string_pretty(&self.servers)?)
    }

    /// Makes it `count` servers, and gives a free port to each that does not run and whose old one is not free.
    ///
    /// # Errors
    /// If no port is free.
    pub(crate) fn lay_out(&mut self, count: usize, ports: &mut Ports) -> anyhow::Result<()> {
        if self.servers.len() != count {
            if self.any_running() {
                bail!("{} servers run in {}, not {count}; stop them first", self.servers.len(), self.folder.display());
            }
            self.servers = (1..=count).map(|number| new_server(number, count)).collect();
        }
        for server in self.servers.iter_mut().filter(|server| !server.is_running()) {
            for port in [&mut server.port, &mut server.peer_port] {
                if *port == 0 || !ports.keep(*port) {
                    *port = ports.choose()?;
                }
            }
        }
        Ok(())
    }

    /// Whether all run.
    pub(crate) fn all_running(&self) -> bool {
        !self.servers.is_empty() && self.servers.iter().all(Server::is_running)
    }

    /// Whether one runs.
    pub(crate) fn any_running(&self) -> bool {
        self.servers.iter().any(Server::is_running)
    }

    /// A server's own folder.
    pub(crate) fn home(&self, server: &Server) -> PathBuf {
        if server.name.is_empty() { self.folder.clone() } else { self.folder.join(&server.name) }
    }

    /// A server's data.
    pub(crate) fn data(&self, server: &Server) -> PathBuf {
        self.home(server).join("data")
    }

    /// What a server says.
    pub(crate) fn log(&self, server: &Server) -> PathBuf {
        self.home(server).join("server.log")
    }

    /// The only server of a service that has one.
    ///
    /// # Errors
    /// If there is none.
    pub(crate) fn only(&self) -> anyhow::Result<&Server> {
        self.servers.first().with_context(|| format!("no server in {}", self.folder.display()))
    }

    /// Removes everything but the programs that were fetched.
    ///
    /// # Errors
    /// If something cannot be removed.
    pub(crate) fn purge(&mut self) -> anyhow::Result<()> {
        self.servers.clear();
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return Ok(()) };
        for entry in entries {
            let entry = entry?;
            let path = entry.path();
            let removed = match entry.file_type()?.is_dir() {
                true if entry.file_name() == LIBRARIES => Ok(()),
                true => std::fs::remove_dir_all(&path),
                false => std::fs::remove_file(&path),
            };
            removed.with_context(|| format!("cannot remove {}", path.display()))?;
        }
        Ok(())
    }
}

fn new_server(number: usize, count: usize) -> Server {
    let name = if count == 1 { String::new() } else { format!("node-{number}") };
    Server { name, port: 0, peer_port: 0, process: None }
}

/// Writes a file in one step: a reader finds the old or the new text, never half of it.
///
/// # Errors
/// If it cannot be written.
pub(crate) fn write(file: &Path, text: &str) -> anyhow::Result<()> {
    let new = file.with_extension("new");
    std::fs::write(&new, text)
        .and_then(|()| std::fs::rename(&new, file))
        .with_context(|| format!("cannot write {}", file.display()))
}

/// Held until it is dropped; another run waits for it.
///
/// # Errors
/// If the folder cannot be made or written to.
pub(crate) fn lock(folder: &Path) -> anyhow::Result<File> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let file = folder.join("lock");
    let lock = File::create(&file).with_context(|| format!("cannot make {}", file.display()))?;
    lock.lock().with_context(|| format!("cannot lock {}", file.display()))?;
    Ok(lock)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("greenroom-place-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        folder
    }

    #[test]
    fn servers_keep_their_ports_until_they_are_purged() {
        let folder = folder("keep");
        let mut place = Place::load(folder.clone()).unwrap();
        place.lay_out(6, &mut Ports::default()).unwrap();
        place.save().unwrap();
        std::fs::create_dir(folder.join(LIBRARIES)).unwrap();
        let mut again = Place::load(folder.clone()).unwrap();
        assert_eq!(again.servers, place.servers);
        again.lay_out(6, &mut Ports::default()).unwrap();
        assert_eq!(again.servers, place.servers);
        again.purge().unwrap();
        assert!(again.servers.is_empty() && folder.join(LIBRARIES).is_dir() && !folder.join("state.json").exists());
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_port_that_somebody_else_took_is_replaced() {
        let mut place = Place { folder: folder("replace"), servers: Vec::new() };
        place.lay_out(1, &mut Ports::default()).unwrap();
        let old = place.only().unwrap().clone();
        let _listener = std::net::TcpListener::bind(old.address()).unwrap();
        place.lay_out(1, &mut Ports::default()).unwrap();
        let new = place.only().unwrap();
        assert_ne!(new.port, old.port);
        assert_eq!(new.peer_port, old.peer_port);
    }
}
