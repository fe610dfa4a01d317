//! The distributed backends: Redis, Kafka and PostgreSQL, shared by any number of processes.

use std::sync::Arc;
use std::time::Duration;

use super::{Backends, Kind};
use crate::adapters::embedded::SystemClock;
use crate::adapters::kafka::{self, KafkaQueue};
use crate::adapters::postgres::{self, Postgres};
use crate::adapters::redis::{self, Durability, Redis};
use crate::app::Error;
use crate::config;
use crate::http::Readiness;
use crate::ports::outbox::Outbox;
use crate::ports::rate_limit::RateLimit;
use crate::relay::{self, Relay};

/// How much longer than Kafka's delivery time-out nothing of a publish arrives: for the way there.
const PUBLISH_MARGIN: Duration = Duration::from_secs(2);
/// How long to wait for replicas, if the durability asks for them.
const REPLICAS_WAIT: Duration = Duration::from_secs(1);

/// What has to be asked and closed.
pub(super) struct Distributed {
    pub(super) process: String,
    redis: Redis,
    kafka: Arc<KafkaQueue>,
    publish_max: Duration,
}

pub(super) async fn open(keys: &config::Distributed) -> Result<Backends, Error> {
    let redis = redis::open(redis_settings(keys)).await?;
    let kafka = Arc::new(kafka::open(kafka_settings(keys)).await?);
    let db = Postgres::open(postgres_settings(keys)).await?;
    let process = if keys.process.is_empty() { uuid::Uuid::now_v7().to_string() } else { keys.process.clone() };
    let publish_max = Duration::from_millis(keys.kafka_delivery_timeout_ms) + PUBLISH_MARGIN;
    Ok(Backends {
        cache: redis.cache.clone(),
        queue: kafka.clone(),
        db,
        clock: Arc::new(SystemClock),
        push_bus: redis.push_bus.clone(),
        kind: Kind::Distributed(Distributed { process, redis, kafka, publish_max }),
    })
}

impl Distributed {
    pub(super) fn relay(&self, backends: &Backends) -> Relay {
        Relay {
            outbox: self.redis.outbox.clone(),
            queue: self.kafka.clone(),
            clock: backends.clock.clone(),
            settings: relay::Settings { publish_max: self.publish_max, ..relay::Settings::default() },
        }
    }

    pub(super) fn readiness(&self) -> Vec<Readiness> {
        let (outbox, queue) = (self.redis.outbox.clone(), self.kafka.clone());
        let redis = move || {
            let outbox = outbox.clone();
            Box::pin(async move { outbox.backlog().await.map(drop).map_err(|error| error.to_string()) }) as _
        };
        let kafka = move || {
            let queue = queue.clone();
            Box::pin(async move { queue.check().await.map_err(|error| error.to_string()) }) as _
        };
        vec![Readiness { name: "redis", check: Box::new(redis) }, Readiness { name: "kafka", check: Box::new(kafka) }]
    }

    pub(super) fn user_limit(&self, requests_max: u32, period: Duration) -> Arc<dyn RateLimit> {
        Arc::new(self.redis.rate_limit(requests_max, period))
    }

    pub(super) async fn close(self) {
        self.kafka.close().await;
    }
}

fn redis_settings(keys: &config::Distributed) -> redis::Settings {
    let durability = match keys.durability.as_str() {
        "cached" => Durability::Cached,
        "replicated" => Durability::Replicated { replicas: keys.replicas, timeout: REPLICAS_WAIT },
        _ => Durability::Queued,
    };
    redis::Settings {
        prefix: keys.prefix.clone(),
        buckets: keys.buckets,
        durability,
        outbox_len_max: keys.outbox_len_max,
        ..redis::Settings::new(keys.redis_urls.clone(), keys.redis_cluster)
    }
}

fn kafka_settings(keys: &config::Distributed) -> kafka::Settings {
    kafka::Settings {
        prefix: format!("{}.", keys.prefix),
        partitions: keys.kafka_partitions,
        replication: keys.kafka_replication,
        // A broker may be lost without a gift being lost or refused, from three copies on.
        in_sync_min: keys.kafka_replication.saturating_sub(1).max(1),
        retention: Duration::from_millis(keys.kafka_retention_ms),
        delivery_timeout: Duration::from_millis(keys.kafka_delivery_timeout_ms),
        ..kafka::Settings::new(&keys.kafka_brokers)
    }
}

fn postgres_settings(keys: &config::Distributed) -> postgres::Settings {
    postgres::Settings {
        connections_max: keys.postgres_connections_max,
        plugin_connections_max: (keys.postgres_connections_max / 4).max(1),
        ..postgres::Settings::new(&keys.postgres_url)
    }
}
