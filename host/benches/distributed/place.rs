//! A place of its own in each service: a database, and a prefix for everything in Redis and Kafka.

#[path = "../../tests/contracts/postgres/removal.rs"]
mod removal;

use std::sync::Arc;
use std::time::Duration;

use greenroom::adapters::{kafka, postgres, redis as adapter};
use greenroom::ports::outbox::Outbox;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor};

use removal::remove_database;

/// Event ids made less than six minutes after a bucket got its epoch are looked up in the database. What is measured is an
/// installation that has run for longer.
const AGE_US: u64 = 3_600_000_000;
/// How long the buckets of a new installation may take to get their epochs.
const EPOCHS_WAIT: Duration = Duration::from_secs(60);

/// Nobody else wants the buckets of a place.
const LEASE_TTL: Duration = Duration::from_secs(60);

/// Four for each host, as the page on sizing has it.
pub const PARTITIONS: usize = 4;
/// For one Redis and a few hosts, as the page on sizing has it.
const BUCKETS: u32 = 16;

/// Gives every bucket of an empty place its epoch, as a relay does once it knows that nothing is on its way.
pub async fn begin(outbox: &dyn Outbox) {
    for bucket in 0..outbox.buckets() {
        let lease = outbox.lease(bucket, LEASE_TTL).await.unwrap().unwrap();
        let page = outbox.read(lease, None, 1, Duration::ZERO).await.unwrap().unwrap();
        assert!(outbox.set_epoch(lease, &page.history).await.unwrap());
    }
}

pub struct Place {
    pub name: String,
    pub redis: String,
    pub kafka: String,
    /// Of the database with this name.
    pub postgres: String,
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("set {name}, or run `cargo xtask bench distributed`"))
}

impl Place {
    /// One that is there.
    pub fn named(name: &str) -> Self {
        let server = variable("GREENROOM_TEST_POSTGRES_URL");
        let (server, _) = server.rsplit_once('/').unwrap();
        Self {
            name: name.into(),
            redis: variable("GREENROOM_TEST_REDIS_URL"),
            kafka: variable("GREENROOM_TEST_KAFKA_BROKERS"),
            postgres: format!("{server}/{name}"),
        }
    }

    /// Makes one.
    pub async fn open(name: &str) -> Self {
        let mut admin = PgConnection::connect(&variable("GREENROOM_TEST_POSTGRES_URL")).await.unwrap();
        admin.execute(AssertSqlSafe(format!("CREATE DATABASE {name} TEMPLATE template0"))).await.unwrap();
        // The writes of earlier runs are not written back during this one.
        admin.execute("CHECKPOINT").await.unwrap();
        Self::named(name)
    }

    /// For whoever configures a server with it.
    pub fn print(&self) {
        let Self { redis, kafka, postgres, .. } = self;
        let partitions = PARTITIONS.to_string();
        let buckets = BUCKETS.to_string();
        let place = serde_json::json!({
            "redis": redis, "kafka": kafka, "postgres": postgres, "partitions": partitions, "buckets": buckets,
        });
        println!("{place}");
    }

    pub fn redis_settings(&self) -> adapter::Settings {
        adapter::Settings {
            prefix: self.name.clone(),
            buckets: BUCKETS,
            outbox_len_max: 100_000_000,
            ..adapter::Settings::new(vec![self.redis.clone()], false)
        }
    }

    pub async fn redis(&self) -> redis::aio::MultiplexedConnection {
        redis::Client::open(self.redis.as_str()).unwrap().get_multiplexed_async_connection().await.unwrap()
    }

    pub async fn queue(&self) -> Arc<kafka::KafkaQueue> {
        let prefix = format!("{}.", self.name);
        let settings = kafka::Settings { prefix, partitions: PARTITIONS as u32, ..kafka::Settings::new(&self.kafka) };
        Arc::new(kafka::open(settings).await.unwrap())
    }

    pub async fn db(&self) -> Arc<postgres::Postgres> {
        postgres::Postgres::open(postgres::Settings::new(&self.postgres)).await.unwrap()
    }

    /// Waits until every bucket has its epoch, and makes all of them older.
    pub async fn age_epochs(&self) {
        let mut redis = self.redis().await;
        let deadline = tokio::time::Instant::now() + EPOCHS_WAIT;
        for bucket in 0..self.redis_settings().buckets {
            let key = format!("{{{}:b{bucket}}}:epoch", self.name);
            let epoch = loop {
                let found: Option<String> = redis::cmd("GET").arg(&key).query_async(&mut redis).await.unwrap();
                if let Some(epoch) = found {
                    break epoch;
                }
                assert!(tokio::time::Instant::now() < deadline, "{key} is not there after {EPOCHS_WAIT:?}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            };
            let digits = epoch.find(|c: char| !c.is_ascii_digit()).unwrap_or(epoch.len());
            let (set_at_us, rest) = epoch.split_at(digits);
            let older = format!("{}{rest}", set_at_us.parse::<u64>().unwrap() - AGE_US);
            redis::cmd("SET").arg(&key).arg(older).exec_async(&mut redis).await.unwrap();
        }
    }

    /// Removes it.
    pub async fn close(&self) {
        remove_database(&variable("GREENROOM_TEST_POSTGRES_URL"), &self.name).await;
        self.clear_redis().await;
        self.clear_kafka().await;
    }

    pub async fn clear_redis(&self) {
        let mut redis = self.redis().await;
        let mut cursor = 0_u64;
        loop {
            let mut scan = redis::cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg(format!("{{{}*", self.name)).arg("COUNT").arg(5_000);
            let (next, keys): (u64, Vec<String>) = scan.query_async(&mut redis).await.unwrap();
            if !keys.is_empty() {
                redis::cmd("UNLINK").arg(keys).exec_async(&mut redis).await.unwrap();
            }
            if next == 0 {
                return;
            }
            cursor = next;
        }
    }

    async fn clear_kafka(&self) {
        let admin: AdminClient<DefaultClientContext> =
            ClientConfig::new().set("bootstrap.servers", &self.kafka).create().unwrap();
        let prefix = format!("{}.", self.name);
        let metadata = admin.inner().fetch_metadata(None, Duration::from_secs(10)).unwrap();
        let topics: Vec<&str> =
            metadata.topics().iter().map(|topic| topic.name()).filter(|name| name.starts_with(&prefix)).collect();
        if topics.is_empty() {
            return;
        }
        admin.delete_topics(&topics, &AdminOptions::new()).await.unwrap();
    }
}
