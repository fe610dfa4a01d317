//! One installation of Greenroom: a prefix, topics and a database that no other scenario has, and how its hosts reach them.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor};

use crate::hosts::SECRET;
use crate::proxy::{Proxy, Service};
use crate::services::Services;

/// The names of one scenario.
pub struct Site {
    /// Database and prefix.
    pub name: String,
    /// For those who look into the database themselves, past every proxy.
    pub postgres_url: String,
    redis: Vec<String>,
    kafka: String,
}

/// The networks between one host and the services.
pub struct Network {
    /// To the single Redis; hosts talk to a Redis Cluster directly.
    pub redis: Proxy,
    /// To the broker.
    pub kafka: Proxy,
    /// To the database.
    pub postgres: Proxy,
}

impl Network {
    /// All of it carries again.
    pub fn pass(&self) {
        [&self.redis, &self.kafka, &self.postgres].into_iter().for_each(Proxy::pass);
    }
}

impl Site {
    pub async fn open(services: &mut Services, clustered: bool) -> Self {
        let name = format!("greenroom_{}", uuid::Uuid::now_v7().simple());
        let server = services.postgres().url().unwrap();
        let mut admin = PgConnection::connect(&server).await.unwrap();
        admin.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.unwrap();
        admin.close().await.unwrap();
        let (head, _) = server.rsplit_once('/').unwrap();
        let redis = if clustered { services.cluster().url() } else { services.redis().url() };
        Self {
            postgres_url: format!("{head}/{name}"),
            redis: redis.unwrap().split(',').map(ToOwned::to_owned).collect(),
            kafka: services.kafka().address(),
            name,
        }
    }

    /// Networks of a host's own.
    pub async fn network(&self) -> Network {
        let redis = self.redis[0].trim_start_matches("redis://");
        let (_, postgres) = self.postgres_url.rsplit_once('@').unwrap();
        let (postgres, _) = postgres.split_once('/').unwrap();
        Network {
            redis: Proxy::open(Service::Plain, redis).await,
            kafka: Proxy::open(Service::Kafka, &self.kafka).await,
            postgres: Proxy::open(Service::Plain, postgres).await,
        }
    }

    /// The keys of a host's configuration.
    pub fn environment(&self, durability: &str, network: Option<&Network>) -> Vec<(String, String)> {
        let is_cluster = self.redis.len() > 1;
        let mut redis = self.redis.clone();
        let (mut kafka, mut postgres) = (self.kafka.clone(), self.postgres_url.clone());
        if let Some(network) = network {
            if !is_cluster {
                redis = vec![format!("redis://{}", network.redis.address())];
            }
            kafka = network.kafka.address();
            let (head, tail) = (postgres.rsplit_once('@').unwrap().0, postgres.rsplit_once('/').unwrap().1);
            postgres = format!("{head}@{}/{tail}", network.postgres.address());
        }
        let keys = [
            ("ENABLED", "true".to_owned()),
            ("PREFIX", self.name.clone()),
            ("BUCKETS", "8".to_owned()),
            ("DURABILITY", durability.to_owned()),
            ("REDIS_URLS", serde_json::to_string(&redis).unwrap()),
            ("REDIS_CLUSTER", is_cluster.to_string()),
            ("KAFKA_BROKERS", kafka),
            ("KAFKA_PARTITIONS", "4".to_owned()),
            // A cache that lost data is recovered no sooner.
            ("KAFKA_DELIVERY_TIMEOUT_MS", "2000".to_owned()),
            ("POSTGRES_URL", postgres),
            ("POSTGRES_CONNECTIONS_MAX", "4".to_owned()),
        ];
        let keys = keys.into_iter().map(|(key, value)| (format!("GREENROOM_DISTRIBUTED_{key}"), value));
        let others = [
            ("GREENROOM_AUTH_HS256_SECRET".to_owned(), SECRET.to_owned()),
            ("GREENROOM_RATE_LIMITS_USER_PER_SECOND".to_owned(), "0".to_owned()),
        ];
        keys.chain(others).collect()
    }
}
