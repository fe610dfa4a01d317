//! The sections of the configuration; `default.toml` says what each key means.
#![expect(missing_docs, reason = "each field is the key of the same name in default.toml, documented there")]

use std::path::PathBuf;

use serde::Deserialize;

/// As long as the digest that it keys (RFC 7518, 3.2).
pub(super) const SECRET_LEN_MIN: usize = 32;

/// `[auth]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    pub hs256_secret: String,
    pub hs256_secret_previous: String,
    pub jwks_file: PathBuf,
}

/// `[http]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    pub body_bytes_max: usize,
    pub plugin_bytes_max: usize,
    pub header_bytes_max: usize,
    pub header_timeout_ms: u64,
    pub request_timeout_ms: u64,
    pub connections_max: usize,
    pub docs: bool,
}

/// `[rate_limits]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimits {
    pub user_per_second: u32,
    pub room_per_second: u32,
}

/// `[push]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Push {
    pub history_len: usize,
    pub queue_len_max: usize,
    pub connections_max: usize,
    pub websocket_requests_max: usize,
}

/// `[plugins]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plugins {
    pub instances_max: u32,
    pub mintable_assets: Vec<u32>,
}

/// `[settle]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settle {
    pub retry_waits_ms: Vec<u64>,
}

/// `[distributed]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Distributed {
    pub enabled: bool,
    pub process: String,
    pub redis_urls: Vec<String>,
    pub redis_cluster: bool,
    pub prefix: String,
    pub buckets: u32,
    pub durability: String,
    pub replicas: u32,
    pub outbox_len_max: u64,
    pub queue_len_max: u64,
    pub follow_ms: u64,
    pub kafka_brokers: String,
    pub kafka_partitions: u32,
    pub kafka_replication: u32,
    pub kafka_retention_ms: u64,
    pub kafka_delivery_timeout_ms: u64,
    pub postgres_url: String,
    pub postgres_connections_max: u32,
    pub redis_timeout_ms: u64,
    pub postgres_timeout_ms: u64,
    pub breaker_failures_max: u32,
    pub breaker_open_max_ms: u64,
    pub retry_percent: u32,
    pub postgres_migration_lock: bool,
}

/// `[embedded]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Embedded {
    pub buckets: u16,
    pub partitions: u32,
    pub outbox_len_max: u64,
    pub outcomes_max: usize,
    pub accounts_max: usize,
    pub segment_bytes: u64,
}

/// `[log]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    pub filter: String,
    pub format: String,
}
