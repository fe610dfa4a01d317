//! The contracts of cache and push bus over Redis and Redis Cluster, and what only this adapter promises.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "contracts/cache.rs"]
#[macro_use]
mod cache;
#[path = "contracts/fixture.rs"]
mod fixture;
#[path = "contracts/key_space.rs"]
mod key_space;
#[path = "contracts/outage.rs"]
mod outage;
#[path = "faults/proxy.rs"]
#[allow(dead_code, reason = "the faults of the whole use the rest")]
mod proxy;
#[path = "contracts/loading.rs"]
#[macro_use]
mod loading;
#[path = "contracts/push_bus.rs"]
#[macro_use]
mod push_bus;
#[path = "contracts/redis_avalanche.rs"]
mod redis_avalanche;
#[path = "contracts/redis.rs"]
mod redis_backend;
#[path = "contracts/redis_bus.rs"]
mod redis_bus;
#[path = "contracts/redis_faults.rs"]
mod redis_faults;
#[path = "contracts/redis_lifetimes.rs"]
mod redis_lifetimes;
#[path = "contracts/redis_model.rs"]
mod redis_model;
#[path = "contracts/redis_newer.rs"]
mod redis_newer;
#[path = "contracts/redis_outbox.rs"]
mod redis_outbox;
#[path = "contracts/redis_rate_limit.rs"]
mod redis_rate_limit;
#[path = "contracts/redis_reconcile.rs"]
mod redis_reconcile;
#[path = "contracts/redis_replicas.rs"]
mod redis_replicas;
#[path = "contracts/redis_server.rs"]
mod redis_server;
#[path = "contracts/redis_setup.rs"]
mod redis_setup;
#[path = "contracts/redis_takeover.rs"]
mod redis_takeover;

mod of_the_cache_in_redis {
    cache_contracts!(crate::redis_backend::open_single);
}

mod of_the_cache_in_redis_cluster {
    cache_contracts!(crate::redis_backend::open_cluster);
}

mod of_the_cache_with_replicas {
    cache_contracts!(crate::redis_backend::open_replicated);
}

mod of_the_loading_in_redis {
    loading_contracts!(crate::redis_backend::open_single, crate::redis_backend::open_single_brief, (2..));
}

mod of_the_loading_in_redis_cluster {
    loading_contracts!(crate::redis_backend::open_cluster, crate::redis_backend::open_cluster_brief, (2..));
}

mod of_the_push_bus_in_redis {
    push_bus_contracts!(crate::redis_backend::open_single);
}

mod of_the_push_bus_in_redis_cluster {
    push_bus_contracts!(crate::redis_backend::open_cluster);
}
