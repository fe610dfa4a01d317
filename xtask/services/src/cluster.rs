//! A Redis Cluster of three masters with one replica each.

use std::process::Command;
use std::time::Duration;

use anyhow::bail;

use crate::engine::Engine;
use crate::install::Missing;
use crate::place::{Place, Server};
use crate::process::wait;
use crate::progress::{Step, run_quietly};
use crate::redis::{self, Fsync, call};

const NODES: usize = 6;
const MASTERS: usize = 3;
const SLOTS: &str = "16384";
/// A master that is silent for so long is replaced by its replica. Ten times a pause of this machine, but short for a test.
const NODE_TIMEOUT_MS: u32 = 2_000;
const CREATE_TIMEOUT: Duration = Duration::from_secs(60);
const WHOLE_TIMEOUT: Duration = Duration::from_secs(60);

/// The cluster.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) fsync: Fsync,
}

impl Engine for Cluster {
    fn servers(&self) -> usize {
        NODES
    }

    fn missing(&self, _place: &Place) -> Vec<Missing> {
        redis::missing()
    }

    fn prepare(&self, _place: &Place, _step: &Step) -> anyhow::Result<()> {
        Ok(())
    }

    fn command(&self, place: &Place, server: &Server) -> anyhow::Result<Command> {
        redis::command(place, server, self.fsync, &configuration(server))
    }

    fn ask(&self, _place: &Place, server: &Server) -> anyhow::Result<()> {
        redis::ping(server)
    }

    fn complete(&self, place: &Place, step: &Step) -> anyhow::Result<()> {
        redis::set_fsync(place, self.fsync)?;
        let known = known_nodes(place)?;
        if known.iter().all(|known| *known == 1) {
            step.note("forming the cluster");
            form(place)?;
        } else if !know_each_other(place)? {
            step.note("introducing the nodes to each other");
            meet(place)?;
        }
        wait(WHOLE_TIMEOUT, || whole(place)).map_err(|error| {
            error.context("the nodes do not agree; `cargo xtask services down redis-cluster --purge` starts afresh")
        })
    }

    fn url(&self, place: &Place) -> anyhow::Result<String> {
        place.only()?;
        Ok(place.servers.iter().map(|server| format!("redis://{}", server.address())).collect::<Vec<_>>().join(","))
    }
}

fn configuration(server: &Server) -> String {
    let bus = server.peer_port;
    format!(
        "cluster-enabled yes\ncluster-config-file nodes.conf\ncluster-port {bus}\ncluster-node-timeout {NODE_TIMEOUT_MS}\n"
    )
}

fn form(place: &Place) -> anyhow::Result<()> {
    let mut create = Command::new("redis-cli");
    create.args(["--cluster", "create"]).args(place.servers.iter().map(Server::address));
    run_quietly(create.args(["--cluster-replicas", "1", "--cluster-yes"]), CREATE_TIMEOUT).map(|_| ())
}

/// Whether every node knows under which ports the others are now.
fn know_each_other(place: &Place) -> anyhow::Result<bool> {
    for server in &place.servers {
        let nodes = call(server, &["CLUSTER", "NODES"])?;
        let knows = |other: &Server| nodes.contains(&format!(" {}@{}", other.address(), other.peer_port));
        if !place.servers.iter().all(knows) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Introduces all nodes to each other, as is needed when one came back under another port.
fn meet(place: &Place) -> anyhow::Result<()> {
    for server in &place.servers {
        for other in place.servers.iter().filter(|other| other.port != server.port) {
            let (port, bus) = (other.port.to_string(), other.peer_port.to_string());
            call(server, &["CLUSTER", "MEET", "127.0.0.1", &port, &bus])?;
        }
    }
    Ok(())
}

fn known_nodes(place: &Place) -> anyhow::Result<Vec<usize>> {
    let known = |server| Ok(field(&call(server, &["CLUSTER", "INFO"])?, "cluster_known_nodes").parse()?);
    place.servers.iter().map(known).collect()
}

/// Whether every node serves every slot and knows every other, and every replica follows its master.
fn whole(place: &Place) -> anyhow::Result<()> {
    let mut masters = 0;
    for server in &place.servers {
        let info = call(server, &["CLUSTER", "INFO"])?;
        let replication = call(server, &["INFO", "replication"])?;
        if let Some(fault) = fault(&info, &replication) {
            bail!("{}: {fault}", server.name);
        }
        masters += usize::from(field(&replication, "role") == "master");
    }
    if masters == MASTERS { Ok(()) } else { bail!("{masters} masters") }
}

/// What is not yet as it must be with one node.
fn fault(info: &str, replication: &str) -> Option<String> {
    let expected =
        [("cluster_state", "ok"), ("cluster_slots_ok", SLOTS), ("cluster_known_nodes", "6"), ("cluster_size", "3")];
    for (name, value) in expected {
        if field(info, name) != value {
            return Some(format!("{name} is {}", field(info, name)));
        }
    }
    let follows = field(replication, "role") == "master" || field(replication, "master_link_status") == "up";
    if follows { None } else { Some("the replica does not follow its master yet".into()) }
}

/// A value in what `INFO` prints, one `name:value` a line; empty if it is not there.
fn field<'a>(info: &'a str, name: &str) -> &'a str {
    let mut fields = info.lines().filter_map(|line| line.trim().split_once(':'));
    fields.find(|(found, _)| *found == name).map(|(_, value)| value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &str = "cluster_state:ok\r\ncluster_slots_ok:16384\r\ncluster_known_nodes:6\r\ncluster_size:3\r\n";

    #[test]
    fn a_node_is_as_it_must_be_when_all_slots_are_served_and_replicas_follow() {
        assert_eq!(fault(INFO, "# Replication\r\nrole:master\r\n"), None);
        assert_eq!(fault(INFO, "role:slave\r\nmaster_link_status:up\r\n"), None);
        assert!(fault(INFO, "role:slave\r\nmaster_link_status:down\r\n").is_some());
        let failing = INFO.replace("state:ok", "state:fail");
        assert_eq!(fault(&failing, "role:master"), Some("cluster_state is fail".into()));
    }

    #[test]
    fn a_node_is_told_the_port_of_its_bus() {
        let server = Server { name: "node-1".into(), port: 20_001, peer_port: 20_002, process: None };
        assert!(configuration(&server).contains("cluster-enabled yes\n"));
        assert!(configuration(&server).contains("cluster-port 20002\n"));
    }
}
