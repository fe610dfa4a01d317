//! The distributed backends: Redis, Kafka and PostgreSQL, shared by any number of processes.

use std::sync::Arc;
use std::time::Duration;

use super::{Backends, Kind};
use crate::adapters::guard::{self, Guard};
use crate::adapters::kafka::{self, KafkaQueue};
use crate::adapters::postgres::{self, Postgres};
use crate::adapters::redis::{self, Durability, Redis};
use crate::app::Error;
use crate::breaker::Breaker;
use crate::config;
use crate::http::Readiness;
use crate::ports::clock::Clock;
use crate::ports::outbox::Outbox;
use crate::ports::rate_limit::RateLimit;
use crate::relay::{self, Relay};
use crate::settle::Pace;

/// How much longer than Kafka's delivery time-out nothing of a publish arrives: for the way there.
const PUBLISH_MARGIN: Duration = Duration::from_secs(2);
/// How long to wait for replicas, if the durability asks for them.
const REPLICAS_WAIT: Duration = Duration::from_secs(1);

/// The durability whose answers wait for the books.
const SETTLED: &str = "settled";

/// While one batch waits for PostgreSQL's disk, others are prepared or released, if there are so many. Where nobody waits for the books a batch is
/// gathered for longer: at 3,000 gifts a second it then has some hundreds rather than some tens, and rankings, scores of battles and entries
/// by gifts lag by as much. Decisions.
pub const SETTLE_PACE: Pace = Pace { lanes: 4, lane_len: 500, gather: Duration::from_millis(150) };

/// How long the relay gathers what a bucket has, and the producer what a partition gets, where no answer waits for Kafka. A decision: 100 and
/// 50 ms brought a twentieth more (the README has the figures), and twice as much would be lost with Redis. A gift that comes alone waits for
/// the producer only.
const GATHER: Gather = Gather { relay: Duration::from_millis(50), linger: Duration::from_millis(20) };
/// The same where answers wait: with 5 and 2 ms a gift cost a third more, because nearly every one was read and published alone. One that
/// comes alone waits for the producer only here, too.
const GATHER_AWAITED: Gather = Gather { relay: Duration::from_millis(20), linger: Duration::from_millis(5) };

struct Gather {
    relay: Duration,
    linger: Duration,
}

/// What has to be asked and closed.
pub(super) struct Distributed {
    pub(super) process: String,
    redis: Redis,
    kafka: Arc<KafkaQueue>,
    postgres: Arc<Guard>,
    publish_max: Duration,
    queue_len_max: u64,
    /// Whether a gift is answered only once Kafka has it.
    answers_need_kafka: bool,
    /// Whether it is answered only once its books are in the database.
    pub(super) answers_need_books: bool,
}

pub(super) async fn open(keys: &config::Distributed, clock: Arc<dyn Clock>) -> Result<Backends, Error> {
    let kafka = Arc::new(kafka::open(kafka_settings(keys)).await?);
    let queue = Some(Arc::clone(kafka.guard().breaker()));
    let redis = redis::open(redis::Settings { queue, ..redis_settings(keys) }).await?;
    let db = Postgres::open(postgres_settings(keys)).await?;
    let process = if keys.process.is_empty() { uuid::Uuid::now_v7().to_string() } else { keys.process.clone() };
    let publish_max = Duration::from_millis(keys.kafka_delivery_timeout_ms) + PUBLISH_MARGIN;
    let answers_need_kafka = answers_need_kafka(keys);
    let postgres = Arc::clone(db.guard());
    Ok(Backends {
        cache: redis.cache.clone(),
        queue: kafka.clone(),
        db,
        clock,
        push_bus: redis.push_bus.clone(),
        kind: Kind::Distributed(Distributed {
            process,
            redis,
            kafka,
            postgres,
            publish_max,
            queue_len_max: keys.queue_len_max,
            answers_need_kafka,
            answers_need_books: keys.durability == SETTLED,
        }),
    })
}

impl Distributed {
    pub(super) fn relay(&self, backends: &Backends) -> Relay {
        Relay {
            outbox: self.redis.outbox.clone(),
            queue: self.kafka.clone(),
            clock: backends.clock.clone(),
            settings: relay::Settings {
                publish_max: self.publish_max,
                queue_len_max: self.queue_len_max,
                gather: gather(self.answers_need_kafka).relay,
                ..relay::Settings::default()
            },
        }
    }

    pub(super) fn outbox(&self) -> Arc<dyn Outbox> {
        self.redis.outbox.clone()
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
        vec![
            Readiness { name: "redis", is_needed: true, check: Box::new(redis) },
            Readiness { name: "kafka", is_needed: self.answers_need_kafka, check: Box::new(kafka) },
        ]
    }

    pub(super) fn circuits(&self) -> Vec<(&'static str, Arc<Breaker>)> {
        let guards = self.redis.guards.iter().chain([self.kafka.guard(), &self.postgres]);
        guards.map(|guard| (guard.backend(), Arc::clone(guard.breaker()))).collect()
    }

    pub(super) fn user_limit(&self, requests_max: u32, period: Duration) -> Arc<dyn RateLimit> {
        Arc::new(self.redis.rate_limit(requests_max, period))
    }

    pub(super) async fn close(self) {
        self.kafka.close().await;
    }
}

fn durability(keys: &config::Distributed) -> Durability {
    match keys.durability.as_str() {
        "cached" => Durability::Cached,
        "replicated" => Durability::Replicated { replicas: keys.replicas, timeout: REPLICAS_WAIT },
        // What is settled was queued before; the rest is for the ledger to wait for.
        _ => Durability::Queued,
    }
}

fn answers_need_kafka(keys: &config::Distributed) -> bool {
    matches!(durability(keys), Durability::Queued)
}

fn gather(is_awaited: bool) -> Gather {
    if is_awaited { GATHER_AWAITED } else { GATHER }
}

fn guard(keys: &config::Distributed) -> guard::Settings {
    guard::Settings {
        failures_max: keys.breaker_failures_max,
        open_max: Duration::from_millis(keys.breaker_open_max_ms),
        retry_percent: keys.retry_percent,
    }
}

fn redis_settings(keys: &config::Distributed) -> redis::Settings {
    redis::Settings {
        prefix: keys.prefix.clone(),
        buckets: keys.buckets,
        durability: durability(keys),
        call_timeout: Duration::from_millis(keys.redis_timeout_ms),
        guard: guard(keys),
        outbox_len_max: keys.outbox_len_max,
        ..redis::Settings::new(keys.redis_urls.clone(), keys.redis_cluster)
    }
}

fn kafka_settings(keys: &config::Distributed) -> kafka::Settings {
    kafka::Settings {
        linger: gather(answers_need_kafka(keys)).linger,
        prefix: format!("{}.", keys.prefix),
        partitions: keys.kafka_partitions,
        replication: keys.kafka_replication,
        // A broker may be lost without a gift being lost or refused, from three copies on.
        in_sync_min: keys.kafka_replication.saturating_sub(1).max(1),
        retention: Duration::from_millis(keys.kafka_retention_ms),
        delivery_timeout: Duration::from_millis(keys.kafka_delivery_timeout_ms),
        guard: guard(keys),
        ..kafka::Settings::new(&keys.kafka_brokers)
    }
}

fn postgres_settings(keys: &config::Distributed) -> postgres::Settings {
    postgres::Settings {
        connections_max: keys.postgres_connections_max,
        plugin_connections_max: (keys.postgres_connections_max / 4).max(1),
        wait_max: Duration::from_millis(keys.postgres_timeout_ms) / 2,
        call_timeout: Duration::from_millis(keys.postgres_timeout_ms),
        guard: guard(keys),
        migration_lock: keys.postgres_migration_lock,
        ..postgres::Settings::new(&keys.postgres_url)
    }
}
