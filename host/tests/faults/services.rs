//! Real servers that the scenarios may kill. A scenario has a set of them to itself, and gets it whole.
//!
//! Scenarios mostly wait: for leases to end, for circuits to open, for servers to start. So two of them run side by side.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use futures::future::select_all;
use greenroom_services::{Fsync, Own, Service};
use tokio::sync::{Mutex, MutexGuard};

/// Started by the scenarios that need them first. They end with this program.
static SETS: LazyLock<[Mutex<Services>; 2]> = LazyLock::new(|| ["a", "b"].map(|name| Mutex::new(Services::new(name))));

/// Where everything of this suite is kept, for those who look why it failed.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/faults")
}

/// What runs. Each may be killed, restarted, wiped and paused: see [`Own`]. Calls block their thread, which no other task of a test needs.
pub struct Services {
    folder: PathBuf,
    redis: Option<Own>,
    cluster: Option<Own>,
    kafka: Option<Own>,
    postgres: Option<Own>,
}

impl Services {
    fn new(name: &str) -> Self {
        Self { folder: folder().join(name), redis: None, cluster: None, kafka: None, postgres: None }
    }

    /// All that a scenario needs, running, for as long as it holds them: the set that is free first.
    pub async fn take(clustered: bool) -> MutexGuard<'static, Self> {
        let (mut services, ..) = select_all(SETS.iter().map(|set| Box::pin(set.lock()))).await;
        services.heal(clustered);
        services
    }

    /// Where the scenario that has the set keeps its hosts, for those who look why it failed.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Starts what does not run; what a scenario before has left paused goes on.
    pub fn heal(&mut self, clustered: bool) {
        let Self { folder, redis, cluster, kafka, postgres } = self;
        let folder = &*folder;
        let cache = if clustered { (cluster, Service::RedisCluster) } else { (redis, Service::Redis) };
        std::thread::scope(|scope| {
            for (own, service) in [cache, (kafka, Service::Kafka), (postgres, Service::Postgres)] {
                scope.spawn(move || run(own, service, folder));
            }
        });
    }

    /// The single Redis.
    pub fn redis(&mut self) -> &mut Own {
        self.redis.as_mut().expect("this scenario is over Redis Cluster")
    }

    /// The Redis Cluster: three masters, and a replica of each.
    pub fn cluster(&mut self) -> &mut Own {
        self.cluster.as_mut().expect("this scenario is over a single Redis")
    }

    /// The broker.
    pub fn kafka(&mut self) -> &mut Own {
        self.kafka.as_mut().unwrap()
    }

    /// The database.
    pub fn postgres(&mut self) -> &mut Own {
        self.postgres.as_mut().unwrap()
    }
}

fn run(own: &mut Option<Own>, service: Service, folder: &Path) {
    match own {
        Some(own) => {
            own.resume().unwrap();
            own.restart().unwrap();
        }
        None => {
            let folder = folder.join(service.variable().to_lowercase());
            // What an earlier run of this suite left behind is of no use.
            let _ = std::fs::remove_dir_all(&folder);
            *own = Some(Own::start(service, &folder, Fsync::Everysec).unwrap());
        }
    }
}
