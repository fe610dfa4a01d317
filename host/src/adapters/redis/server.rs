//! The connections: one to each server, shared by all callers, whose commands are pipelined. Whoever waits, waits for a bounded time.
//!
//! After a fault a connection is made again with growing pauses, at random so that hosts do not come all at once; until it stands, calls
//! are refused as unavailable. Every call passes the guard, so that a server that is away costs no waiting.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{MultipleNodeRoutingInfo, Route, RoutingInfo, SingleNodeRoutingInfo, SlotAddr};
use redis::io::tcp::TcpSettings;
use redis::io::tcp::socket2::TcpKeepalive;
use redis::{
    Client, Cmd, ErrorKind, FromRedisValue, IntoConnectionInfo, Pipeline, ProtocolVersion, RedisError, ServerErrorKind,
    Value,
};

use super::super::guard::{Fault, Guard};
use super::Settings;
use super::scripts::Call;

/// Times that the cluster's client asks again by itself, redirections included.
const CLUSTER_RETRIES: u32 = 5;

/// How long a node is given to say where a key is now.
const ASK_AROUND_MAX: Duration = Duration::from_millis(500);

/// Tries to connect before the callers that wait for it are refused; the next call begins anew.
const TRIES: usize = 3;

/// Cheap to share.
#[derive(Clone)]
pub(super) struct Server {
    link: Link,
    call_timeout: Duration,
    guard: Arc<Guard>,
}

/// The connections to one server, or to the nodes of a cluster; each is made again by itself.
#[derive(Clone)]
pub(super) enum Link {
    Single(ConnectionManager),
    Cluster(ClusterConnection),
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("is_cluster", &self.is_cluster()).finish_non_exhaustive()
    }
}

impl Server {
    /// Connects, and sees to it that somebody answers.
    pub(super) async fn open(settings: &Settings, guard: &Arc<Guard>) -> Result<Self, String> {
        let link = within(settings.connect_timeout, async {
            if settings.is_cluster {
                Ok(Link::Cluster(cluster(settings, |builder| builder)?.get_async_connection().await?))
            } else {
                let client = single(settings, ProtocolVersion::RESP2)?;
                Ok(Link::Single(client.get_connection_manager_with_config(reconnecting(settings, TRIES)).await?))
            }
        });
        let link = link.await?;
        let server = Self { link, call_timeout: settings.call_timeout, guard: Arc::clone(guard) };
        server.ask::<Value>(&redis::cmd("PING")).await?;
        Ok(server)
    }

    /// Other connections to the same servers.
    pub(super) async fn another(&self, settings: &Settings) -> Result<Self, String> {
        Self::open(settings, &self.guard).await
    }

    pub(super) fn is_cluster(&self) -> bool {
        matches!(self.link, Link::Cluster(_))
    }

    /// Runs a script, which the node is taught if it does not know it.
    pub(super) async fn run(&self, call: Call) -> Result<Value, String> {
        let answered = async {
            match self.send(&call.cmd).await {
                Err(error) if is_unknown_script(&error) && self.guard.may_try_again() => {
                    self.teach(&call).await?;
                    self.send(&call.cmd).await
                }
                answered => answered,
            }
        };
        match self.guard.call(self.call_timeout, answered, is_answer).await {
            Ok(answer) => Ok(answer),
            Err(fault) => {
                if !matches!(fault, Fault::Open(_)) {
                    self.ask_around(&call.key).await;
                }
                Err(fault.to_string())
            }
        }
    }

    /// A node that hangs, but whose connection stands, may have been replaced. The cluster's client hears of that only from another node,
    /// which redirects it: so one at random is asked for the same key.
    async fn ask_around(&self, key: &str) {
        if let Link::Cluster(connection) = &self.link {
            let (mut connection, mut exists) = (connection.clone(), redis::cmd("EXISTS"));
            exists.arg(key);
            let random = RoutingInfo::SingleNode(SingleNodeRoutingInfo::Random);
            // What it answers does not matter.
            let _ = tokio::time::timeout(ASK_AROUND_MAX, connection.route_command(exists, random)).await;
        }
    }

    /// One command, whose key decides on the node.
    pub(super) async fn ask<T: FromRedisValue>(&self, cmd: &Cmd) -> Result<T, String> {
        let answered = async { redis::from_redis_value(self.send(cmd).await?).map_err(RedisError::from) };
        guarded(&self.guard, self.call_timeout, answered).await
    }

    /// Commands that go over one connection, one after the other, to the master that has this key; the answer to each.
    pub(super) async fn ask_node(&self, pipeline: Pipeline, key: &str, limit: Duration) -> Result<Vec<Value>, String> {
        let answered = async {
            match &self.link {
                Link::Single(connection) => pipeline.query_async(&mut connection.clone()).await,
                Link::Cluster(connection) => {
                    let route = SingleNodeRoutingInfo::SpecificNode(Route::with_key(key, SlotAddr::Master));
                    let len = pipeline.len();
                    connection.clone().route_pipeline(pipeline, 0, len, route).await
                }
            }
        };
        guarded(&self.guard, limit, answered).await
    }

    /// One command to every master; the answer of each.
    pub(super) async fn ask_masters(&self, cmd: &Cmd) -> Result<Vec<Value>, String> {
        let answered = async {
            match &self.link {
                Link::Single(connection) => Ok(vec![cmd.query_async(&mut connection.clone()).await?]),
                Link::Cluster(connection) => {
                    let masters = RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllMasters, None));
                    let answers = connection.clone().route_command(cmd.clone(), masters).await?.extract_error()?;
                    Ok(redis::from_redis_value::<BTreeMap<String, Value>>(answers)?.into_values().collect())
                }
            }
        };
        guarded(&self.guard, self.call_timeout, answered).await
    }

    async fn teach(&self, call: &Call) -> Result<(), RedisError> {
        let mut load = redis::cmd("SCRIPT");
        load.arg("LOAD").arg(call.script.text);
        self.send_to(load, &call.key).await.map(drop)
    }

    async fn send(&self, cmd: &Cmd) -> Result<Value, RedisError> {
        match &self.link {
            Link::Single(connection) => cmd.query_async(&mut connection.clone()).await,
            Link::Cluster(connection) => cmd.query_async(&mut connection.clone()).await,
        }
    }

    async fn send_to(&self, cmd: Cmd, key: &str) -> Result<Value, RedisError> {
        match &self.link {
            Link::Single(connection) => cmd.query_async(&mut connection.clone()).await,
            Link::Cluster(connection) => {
                let route = SingleNodeRoutingInfo::SpecificNode(Route::with_key(key, SlotAddr::Master));
                connection.clone().route_command(cmd, RoutingInfo::SingleNode(route)).await?.extract_error()
            }
        }
    }
}

pub(super) async fn within<T>(
    limit: Duration,
    answered: impl Future<Output = Result<T, RedisError>>,
) -> Result<T, String> {
    match tokio::time::timeout(limit, answered).await {
        Ok(answered) => answered.map_err(plain),
        Err(_) => Err(format!("no answer within {limit:?}")),
    }
}

/// The one way out of this process to a connection that stands.
pub(super) async fn guarded<T>(
    guard: &Guard,
    limit: Duration,
    answered: impl Future<Output = Result<T, RedisError>>,
) -> Result<T, String> {
    guard.call(limit, answered, is_answer).await.map_err(|fault| fault.to_string())
}

/// Whether a server is there that can do its work, though it has refused something.
fn is_answer(error: &RedisError) -> bool {
    match error.kind() {
        ErrorKind::Server(kind) => {
            !matches!(kind, ServerErrorKind::BusyLoading | ServerErrorKind::ClusterDown | ServerErrorKind::MasterDown)
        }
        ErrorKind::Extension | ErrorKind::UnexpectedReturnType => true,
        _ => false,
    }
}

fn is_unknown_script(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}

/// What happened, in words.
pub(super) fn plain(error: RedisError) -> String {
    error.to_string()
}

pub(super) fn single(settings: &Settings, protocol: ProtocolVersion) -> Result<Client, RedisError> {
    let url = settings.urls.first().map(String::as_str).unwrap_or_default();
    let info = url.into_connection_info()?;
    let redis = info.redis_settings().clone().set_protocol(protocol);
    Client::open(info.set_redis_settings(redis).set_tcp_settings(tcp(settings)))
}

/// Makes the connection again when it is lost, in so many tries one after the other.
pub(super) fn reconnecting(settings: &Settings, tries: usize) -> ConnectionManagerConfig {
    ConnectionManagerConfig::new()
        .set_min_delay(Duration::from_millis(20))
        .set_max_delay(settings.reconnect_delay_max)
        .set_number_of_retries(tries)
        .set_response_timeout(Some(settings.call_timeout))
        .set_connection_timeout(Some(settings.connect_timeout))
}

pub(super) fn cluster(
    settings: &Settings,
    more: impl FnOnce(ClusterClientBuilder) -> ClusterClientBuilder,
) -> Result<ClusterClient, RedisError> {
    let builder = ClusterClient::builder(settings.urls.iter().map(String::as_str))
        .retries(CLUSTER_RETRIES)
        .min_retry_wait(20)
        .max_retry_wait(u64::try_from(settings.reconnect_delay_max.as_millis()).unwrap_or(u64::MAX))
        .connection_timeout(settings.connect_timeout)
        .response_timeout(settings.call_timeout)
        .tcp_settings(tcp(settings));
    more(builder).build()
}

/// Small requests are sent at once. A server that has vanished without a word is noticed after a few calls' time, even by who only hears.
fn tcp(settings: &Settings) -> TcpSettings {
    let silence_max = (settings.call_timeout * 2).max(Duration::from_secs(2));
    let keepalive = TcpKeepalive::new().with_time(silence_max).with_interval(silence_max);
    let tcp = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive);
    #[cfg(target_os = "linux")]
    let tcp = tcp.set_user_timeout(silence_max * 2);
    tcp
}
