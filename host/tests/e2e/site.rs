//! What a test has for itself: a data directory, and in the distributed mode a Redis prefix, Kafka topics and a database.
//!
//! All of it is removed with the site. The servers themselves are lent: tests run side by side on them.

#[path = "../contracts/postgres/removal.rs"]
mod removal;

use std::path::Path;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor, SqliteConnection};
use tempfile::TempDir;

use super::support::{GOLD, Server, only};
use crate::MODE;
use removal::remove_database;

/// Which backends the suite runs over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(dead_code, reason = "each binary has one of them")]
pub enum Mode {
    Embedded,
    Distributed,
}

const SECRET: &str = "a secret that all hosts of a test share";
const BUCKETS: &str = "8";
/// Users whom no test knows, enough of them for every bucket to have some.
const STRANGERS: std::ops::Range<i64> = 9_000_000..9_000_128;
const RECOVERED_WITHIN: Duration = Duration::from_secs(180);
/// How long a server that tests share may take for an answer on a busy machine.
const ANSWERED_WITHIN: Duration = Duration::from_secs(30);

/// A place where hosts of a test's own run.
pub struct Site {
    data: TempDir,
    /// The database's name, and the prefix in Redis and Kafka; none in the embedded mode.
    name: Option<String>,
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("set {name}, or run `cargo xtask test`, which starts the server"))
}

fn redis_url() -> String {
    variable("GREENROOM_TEST_REDIS_URL")
}

fn brokers() -> String {
    variable("GREENROOM_TEST_KAFKA_BROKERS")
}

/// The server's URL with another database.
fn postgres_url(database: &str) -> String {
    let server = variable("GREENROOM_TEST_POSTGRES_URL");
    let (place, rest) = server.rsplit_once('/').unwrap();
    let options = rest.split_once('?').map(|(_, options)| format!("?{options}")).unwrap_or_default();
    format!("{place}/{database}{options}")
}

async fn admin() -> PgConnection {
    PgConnection::connect(&variable("GREENROOM_TEST_POSTGRES_URL")).await.unwrap()
}

impl Site {
    pub async fn open() -> Self {
        let data = TempDir::new().unwrap();
        if MODE == Mode::Embedded {
            return Self { data, name: None };
        }
        let name = format!("greenroom_{}", uuid::Uuid::now_v7().simple());
        let mut admin = admin().await;
        admin.execute(AssertSqlSafe(format!("CREATE DATABASE {name} TEMPLATE template0"))).await.unwrap();
        admin.close().await.unwrap();
        Self { data, name: Some(name) }
    }

    /// The data directory of the site's first host.
    pub fn data(&self) -> &Path {
        self.data.path()
    }

    /// The prefix in Redis and Kafka.
    #[allow(dead_code, reason = "the embedded mode has none")]
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap()
    }

    #[allow(dead_code, reason = "the embedded mode has none")]
    pub fn brokers() -> String {
        brokers()
    }

    /// The first host, with the gift plugin, ready to hold.
    pub async fn start(&self) -> Server {
        self.start_with(only(&["gift"]).path(), &[]).await
    }

    /// The same with other plugins and settings.
    pub async fn start_with(&self, plugins: &Path, environment: &[(&str, &str)]) -> Server {
        let host = self.host(self.data(), plugins, environment).await;
        if self.name.is_some() {
            is_whole(&host).await;
        }
        host
    }

    /// A host with a data directory of its own, as soon as it answers.
    pub async fn host(&self, data: &Path, plugins: &Path, environment: &[(&str, &str)]) -> Server {
        let mut all = self.environment();
        all.extend(environment.iter().map(|(name, value)| (*name, (*value).to_owned())));
        if self.name.is_some() {
            std::fs::write(data.join("dev-secret"), SECRET).unwrap();
        }
        let all: Vec<(&str, &str)> = all.iter().map(|(name, value)| (*name, &**value)).collect();
        Server::start_with(data, plugins, &all).await
    }

    fn environment(&self) -> Vec<(&str, String)> {
        let Some(name) = &self.name else { return Vec::new() };
        vec![
            ("GREENROOM_AUTH_HS256_SECRET", SECRET.to_owned()),
            // The servers share the machine with the tests: how fast they are is not what is tested here.
            ("GREENROOM_HTTP_REQUEST_TIMEOUT_MS", "60000".to_owned()),
            ("GREENROOM_DISTRIBUTED_ENABLED", "true".to_owned()),
            ("GREENROOM_DISTRIBUTED_PREFIX", name.clone()),
            ("GREENROOM_DISTRIBUTED_BUCKETS", BUCKETS.to_owned()),
            ("GREENROOM_DISTRIBUTED_REDIS_URLS", format!("[\"{}\"]", redis_url())),
            ("GREENROOM_DISTRIBUTED_KAFKA_BROKERS", brokers()),
            ("GREENROOM_DISTRIBUTED_KAFKA_PARTITIONS", "3".to_owned()),
            // A new prefix is recovered like one that has lost its data: not before nothing can be on its way any more.
            ("GREENROOM_DISTRIBUTED_KAFKA_DELIVERY_TIMEOUT_MS", "1000".to_owned()),
            ("GREENROOM_DISTRIBUTED_POSTGRES_URL", postgres_url(name)),
            ("GREENROOM_DISTRIBUTED_POSTGRES_CONNECTIONS_MAX", "4".to_owned()),
            // Services that are slow because other tests run beside these are not away. Less than a plugin has for a call.
            ("GREENROOM_DISTRIBUTED_POSTGRES_TIMEOUT_MS", "4500".to_owned()),
            ("GREENROOM_DISTRIBUTED_REDIS_TIMEOUT_MS", "4500".to_owned()),
        ]
    }

    /// Between two starts: whatever a host had in memory, or Redis for it, is gone.
    pub async fn forget(&self) {
        if let Some(name) = &self.name {
            forget_in_redis(name).await;
        }
    }

    /// Whether the books of an event are in the database now.
    #[allow(dead_code, reason = "the embedded mode does not ask")]
    pub async fn is_posted(&self, payer: i64, event_id: &str) -> bool {
        let mut connection = PgConnection::connect(&postgres_url(self.name())).await.unwrap();
        let posted = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM greenroom.event WHERE payer_id = $1 AND event_id = $2 AND NOT voided)",
        );
        let posted: bool = posted.bind(payer).bind(event_id).fetch_one(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        posted
    }

    /// What an administrator with a shell could do to the database.
    pub async fn in_the_database(&self, sql: &'static str) {
        match &self.name {
            Some(name) => {
                let mut connection = PgConnection::connect(&postgres_url(name)).await.unwrap();
                connection.execute("SET search_path = greenroom").await.unwrap();
                connection.execute(sql).await.unwrap();
                connection.close().await.unwrap();
            }
            None => {
                let url = format!("sqlite://{}", self.data().join("greenroom.db").display());
                let mut connection = SqliteConnection::connect(&url).await.unwrap();
                connection.execute(sql).await.unwrap();
                connection.close().await.unwrap();
            }
        }
    }
}

/// Waits until every bucket has its epoch: then a payment of somebody without an account is refused for that reason.
async fn is_whole(host: &Server) {
    let change = |user: i64| {
        json!({
            "eventId": format!("stranger-{user}"), "opUserId": user, "eventType": "interactGift", "bizId": "7", "bizType": 1,
            "objId": "o", "opUserAssetChange": { "userId": user, "assetType": GOLD, "incr": -1 },
            "toUserAssetChange": { "userId": 77, "assetType": GOLD, "incr": 1 },
        })
    };
    let body = json!({ "bizAssetChanges": STRANGERS.map(change).collect::<Vec<Value>>() });
    let begun = Instant::now();
    loop {
        let (status, answer) = host.service().call(Method::POST, "/v1/asset-changes", body.clone()).await;
        let results = answer["bizAssetChangeResList"].as_array();
        if results.is_some_and(|results| results.iter().all(|result| result["errCode"] == 20002)) {
            return;
        }
        assert!(begun.elapsed() < RECOVERED_WITHIN, "the buckets have not recovered: {status} {answer}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let Some(name) = self.name.take() else { return };
        // A runtime of its own: the test's may be the one that drops this.
        let removed = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                remove_database(&variable("GREENROOM_TEST_POSTGRES_URL"), &name).await;
                forget_in_redis(&name).await;
                drop_topics(&name).await;
            });
        })
        .join();
        // A test that fails has said why already.
        assert!(removed.is_ok() || std::thread::panicking(), "the site was not removed");
    }
}

async fn forget_in_redis(prefix: &str) {
    let client = redis::Client::open(redis_url()).unwrap();
    let patient = redis::AsyncConnectionConfig::new().set_response_timeout(Some(ANSWERED_WITHIN));
    let mut link = client.get_multiplexed_async_connection_with_config(&patient).await.unwrap();
    let mut cursor = 0_u64;
    // A part at a time: other tests use the same server meanwhile.
    loop {
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(format!("*{prefix}*")).arg("COUNT").arg(5_000);
        let (next, keys): (u64, Vec<Vec<u8>>) = scan.query_async(&mut link).await.unwrap();
        if !keys.is_empty() {
            redis::cmd("UNLINK").arg(keys).exec_async(&mut link).await.unwrap();
        }
        if next == 0 {
            return;
        }
        cursor = next;
    }
}

async fn drop_topics(prefix: &str) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", brokers()).create().unwrap();
    let metadata = admin.inner().fetch_metadata(None, ANSWERED_WITHIN).unwrap();
    let topics: Vec<&str> = metadata
        .topics()
        .iter()
        .map(rdkafka::metadata::MetadataTopic::name)
        .filter(|name| name.starts_with(prefix))
        .collect();
    // None, if no host of it was ever ready.
    if !topics.is_empty() {
        admin.delete_topics(&topics, &AdminOptions::new()).await.unwrap();
    }
}
