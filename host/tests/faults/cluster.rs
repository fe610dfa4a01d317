//! Faults of a Redis Cluster: three masters, and a replica of each.

use std::time::{Duration, Instant};

use greenroom_services::Own;

use crate::world::{Setup, World};

/// Above the time after which a silent master is replaced.
const FAILOVER_WAIT: Duration = Duration::from_secs(30);
/// So long a replica does not hear of what its master does.
const BEHIND: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_is_killed_is_replaced_by_its_replica_and_nothing_is_lost() {
    let mut world = World::open(Setup::new("cluster_master_killed").clustered()).await;
    world.load.answered(200).await;
    let cluster = world.services.cluster();
    let (master, replica) = pair(cluster);
    cluster.kill_node(master).unwrap();
    promoted(cluster, replica).await;
    world.load.answered(200).await;
    world.services.cluster().restart_node(master).unwrap();
    world.load.answered(200).await;
    world.finish().await;
}

/// The replica knows nothing of the last two seconds: what was spent then is in Kafka, and must not be spent again.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_was_behind_and_takes_over_loses_nothing_that_was_answered() {
    let mut world = World::open(Setup::new("cluster_stale_replica").clustered()).await;
    world.load.answered(200).await;
    let cluster = world.services.cluster();
    let (master, replica) = pair(cluster);
    // It cannot follow its master any more, but is told by the others who lives.
    cluster.redis(replica, &["CONFIG", "SET", "masterauth", "wrong"]).unwrap();
    cluster.redis(replica, &["CONFIG", "SET", "masteruser", "nobody"]).unwrap();
    cluster.redis(master, &["CLIENT", "KILL", "TYPE", "replica"]).unwrap();
    tokio::time::sleep(BEHIND).await;
    cluster.kill_node(master).unwrap();
    promoted(cluster, replica).await;
    cluster.redis(replica, &["CONFIG", "SET", "masteruser", ""]).unwrap();
    cluster.redis(replica, &["CONFIG", "SET", "masterauth", ""]).unwrap();
    world.load.answered(200).await;
    world.services.cluster().restart_node(master).unwrap();
    world.load.answered(100).await;
    world.finish().await;
}

/// For the others it is gone, by its own view nothing has happened; commands that wait at its door are older than the failover.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_master_that_comes_back_from_a_partition_changes_nothing() {
    let mut world = World::open(Setup::new("cluster_old_master").clustered()).await;
    world.load.answered(200).await;
    let cluster = world.services.cluster();
    let (master, replica) = pair(cluster);
    cluster.pause_node(master).unwrap();
    promoted(cluster, replica).await;
    world.load.answered(200).await;
    world.services.cluster().resume_node(master).unwrap();
    world.load.answered(200).await;
    world.finish().await;
}

/// A master, and the replica that follows it.
fn pair(cluster: &Own) -> (usize, usize) {
    let nodes = cluster.address().split(',').count();
    let info = |node| cluster.redis(node, &["INFO", "replication"]).unwrap();
    let addresses: Vec<String> = cluster.address().split(',').map(ToOwned::to_owned).collect();
    for replica in 0..nodes {
        let told = info(replica);
        let Some(port) = told.lines().find_map(|line| line.trim().strip_prefix("master_port:")) else { continue };
        if let Some(master) = addresses.iter().position(|address| address.ends_with(&format!(":{port}"))) {
            return (master, replica);
        }
    }
    panic!("no replica follows a master")
}

/// Waits until a node is a master.
async fn promoted(cluster: &Own, node: usize) {
    let begun = Instant::now();
    while !cluster.redis(node, &["INFO", "replication"]).unwrap().contains("role:master") {
        assert!(begun.elapsed() < FAILOVER_WAIT, "the replica is never promoted");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
