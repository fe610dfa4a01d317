//! Which buckets lie on one node of a cluster.

use std::collections::HashMap;

use redis::cluster_routing::Slot;

use super::keys::Keys;
use super::reply::Reply;
use super::server::Server;

/// The buckets of each master that has some; of a single server, all of them.
pub(super) async fn buckets_by_node(server: &Server, keys: &Keys) -> Result<Vec<Vec<u32>>, String> {
    let buckets = 0..keys.buckets();
    if !server.is_cluster() {
        return Ok(vec![buckets.collect()]);
    }
    let mut by_slot: HashMap<Slot, Vec<u32>> = HashMap::new();
    for bucket in buckets {
        by_slot.entry(Slot::for_key(keys.of_bucket(bucket).marker())).or_default().push(bucket);
    }
    let mut by_node: HashMap<String, Vec<u32>> = HashMap::new();
    for range in Reply::new(server.ask(redis::cmd("CLUSTER").arg("SLOTS")).await?)?.rest() {
        let mut range = Reply::new(range)?;
        let (first, last): (u16, u16) = (range.number()?, range.number()?);
        let mut master = Reply::new(range.value()?)?;
        let (_address, _port, id) = (master.value()?, master.value()?, master.text()?);
        let moved = (first..=last).filter_map(Slot::new).filter_map(|slot| by_slot.remove(&slot));
        by_node.entry(id).or_default().extend(moved.flatten());
    }
    if let Some(bucket) = by_slot.values().flatten().next() {
        return Err(format!("the cluster has no node for bucket {bucket}"));
    }
    Ok(by_node.into_values().filter(|buckets| !buckets.is_empty()).collect())
}
