//! Configuration: the defaults compiled in, then a file, then the environment, then the command line; the later wins.
//!
//! Every key is in `default.toml`, with its unit and its range. A key of the file that is not there is refused, and so is a variable
//! `GREENROOM_…` that names none. What a key may be is said where it is read.

#[cfg(test)]
mod example_tests;
mod layers;
mod sections;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

pub use sections::{Auth, Distributed, Embedded, Http, Log, Plugins, Push, RateLimits, Settle};

/// The defaults, as documented text.
pub const DEFAULT: &str = include_str!("config/default.toml");

/// Why there is no configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read the configuration {path}: {reason}")]
    Read {
        /// The file.
        path: PathBuf,
        /// In the system's words.
        reason: String,
    },
    /// It is not TOML.
    #[error("the configuration {path} is not TOML: {reason}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and why.
        reason: String,
    },
    /// A key that is none.
    #[error("{place}: there is no key `{key}`{hint}")]
    UnknownKey {
        /// The file or the variable.
        place: String,
        /// The key.
        key: String,
        /// The nearest key there is.
        hint: String,
    },
    /// A value that its key may not have.
    #[error("{place}: `{key}` {fault}")]
    Value {
        /// The file or the variable.
        place: String,
        /// The key.
        key: String,
        /// What is wrong, and what it may be.
        fault: String,
    },
}

/// Everything that can be set.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Where everything is kept.
    pub data_dir: PathBuf,
    /// Components in this folder are installed at the start; empty for none.
    pub plugins_dir: PathBuf,
    /// The server makes its own secret, and says how to get tokens.
    pub dev: bool,
    /// How long a shutdown may take, in milliseconds.
    pub shutdown_ms: u64,
    /// Who callers are.
    pub auth: Auth,
    /// What bounds a request.
    pub http: Http,
    /// How often callers may call.
    pub rate_limits: RateLimits,
    /// What bounds pushes.
    pub push: Push,
    /// What bounds plugins.
    pub plugins: Plugins,
    /// How events are settled.
    pub settle: Settle,
    /// Redis, Kafka and PostgreSQL.
    pub distributed: Distributed,
    /// The embedded backends.
    pub embedded: Embedded,
    /// What is logged.
    pub log: Log,
}

impl Config {
    /// Reads the layers below the command line.
    ///
    /// # Errors
    /// With the file or variable, the key and what it may be.
    pub fn load(file: Option<&Path>, environment: impl Iterator<Item = (String, String)>) -> Result<Self, Error> {
        let mut layers = layers::Layers::defaults()?;
        if let Some(path) = file {
            layers.add_file(path)?;
        }
        layers.add_environment(environment)?;
        let config = layers.read()?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), Error> {
        let secret = &self.auth.hs256_secret;
        if !secret.is_empty() && secret.len() < sections::SECRET_LEN_MIN {
            return Err(invalid("auth.hs256_secret", "must have at least 32 bytes, or be empty"));
        }
        if self.settle.retry_waits_ms.is_empty() {
            return Err(invalid("settle.retry_waits_ms", "must have at least one wait"));
        }
        if !matches!(self.log.format.as_str(), "text" | "json") {
            return Err(invalid("log.format", "must be \"text\" or \"json\""));
        }
        self.distributed.check()?;
        let outside = self.ranges().into_iter().find(|(_, value, min, max)| !(*min..=*max).contains(value));
        match outside {
            Some((key, _, min, u64::MAX)) => Err(invalid(key, &format!("must be {min} or more"))),
            Some((key, _, min, max)) => Err(invalid(key, &format!("must be {min} to {max}"))),
            None => Ok(()),
        }
    }

    /// The keys that have a range: key, value, least, greatest.
    fn ranges(&self) -> [(&'static str, u64, u64, u64); 29] {
        let (http, push, embedded, distributed) = (&self.http, &self.push, &self.embedded, &self.distributed);
        let any = u64::MAX;
        [
            ("http.body_bytes_max", http.body_bytes_max as u64, 1, any),
            // hyper reads a head in a buffer of at least so many bytes.
            ("http.header_bytes_max", http.header_bytes_max as u64, 8_192, any),
            ("http.header_timeout_ms", http.header_timeout_ms, 1, any),
            ("http.request_timeout_ms", http.request_timeout_ms, 1, any),
            ("http.connections_max", http.connections_max as u64, 1, any),
            ("push.history_len", push.history_len as u64, 1, any),
            ("push.queue_len_max", push.queue_len_max as u64, 1, any),
            ("push.websocket_requests_max", push.websocket_requests_max as u64, 1, any),
            ("plugins.instances_max", u64::from(self.plugins.instances_max), 1, 100_000),
            ("distributed.buckets", u64::from(distributed.buckets), 1, 16_384),
            ("distributed.replicas", u64::from(distributed.replicas), 1, any),
            ("distributed.outbox_len_max", distributed.outbox_len_max, 1, any),
            ("distributed.queue_len_max", distributed.queue_len_max, 1, any),
            ("distributed.follow_ms", distributed.follow_ms, 10, 3_600_000),
            ("distributed.kafka_partitions", u64::from(distributed.kafka_partitions), 1, 4_096),
            ("distributed.kafka_replication", u64::from(distributed.kafka_replication), 1, 32_767),
            ("distributed.kafka_retention_ms", distributed.kafka_retention_ms, 3_600_000, any),
            ("distributed.kafka_delivery_timeout_ms", distributed.kafka_delivery_timeout_ms, 1_000, 600_000),
            ("distributed.postgres_connections_max", u64::from(distributed.postgres_connections_max), 1, any),
            ("distributed.redis_timeout_ms", distributed.redis_timeout_ms, 100, 60_000),
            ("distributed.postgres_timeout_ms", distributed.postgres_timeout_ms, 100, 60_000),
            ("distributed.breaker_failures_max", u64::from(distributed.breaker_failures_max), 1, any),
            ("distributed.breaker_open_max_ms", distributed.breaker_open_max_ms, 100, 60_000),
            ("distributed.retry_percent", u64::from(distributed.retry_percent), 0, 100),
            ("embedded.buckets", u64::from(embedded.buckets), 1, 4_096),
            ("embedded.partitions", u64::from(embedded.partitions), 1, 1_024),
            ("embedded.outbox_len_max", embedded.outbox_len_max, 1, any),
            ("embedded.accounts_max", embedded.accounts_max as u64, 1, any),
            // A hold's event with its greatest payload must fit into one file of the journal many times over.
            ("embedded.segment_bytes", embedded.segment_bytes, 1 << 20, any),
        ]
    }
}

impl Distributed {
    /// What must be there if it is to be used.
    fn check(&self) -> Result<(), Error> {
        if !matches!(self.durability.as_str(), "cached" | "replicated" | "queued" | "settled") {
            return Err(invalid(
                "distributed.durability",
                "must be \"cached\", \"replicated\", \"queued\" or \"settled\"",
            ));
        }
        if !self.enabled {
            return Ok(());
        }
        let missing = |key: &str| Err(invalid(key, "must be set if distributed.enabled is true"));
        match () {
            () if self.redis_urls.is_empty() => missing("distributed.redis_urls"),
            () if self.kafka_brokers.is_empty() => missing("distributed.kafka_brokers"),
            () if self.postgres_url.is_empty() => missing("distributed.postgres_url"),
            () => Ok(()),
        }
    }
}

fn invalid(key: &str, fault: &str) -> Error {
    Error::Value { place: "configuration".into(), key: key.into(), fault: fault.into() }
}
