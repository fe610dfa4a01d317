//! The database on PostgreSQL: the home of the settled ledger and of what operators decide when several hosts share them. Steps 8
//! and 9 of the way of a gift end here.
//!
//! A batch is one statement, and so one round trip and one transaction: see `post`. Several hosts may post at once: every
//! transaction takes the gates of its events in order and then its accounts in ascending order, so no two wait for each other.
//! What still is refused for the moment (a serialization failure, a deadlock, a lock not to be had) is begun again a bounded number
//! of times; see [`Settings::attempts_max`].
//!
//! The host's tables are in the schema `greenroom`, each plugin's in one of its own with a role that may touch nothing else.
//!
//! Bounds: two pools of connections, one for the host and one for plugins, so that plugins cannot starve settling; the time to get
//! one, of a statement, of a lock and of an idle transaction, all in [`Settings`]. It does not decide what is posted: that is the
//! ledger's business.

mod batch;
mod deliveries;
mod differences;
mod error;
mod gate;
mod ledger;
mod lexer;
mod plugins;
mod post;
mod pots;
mod records;
mod rooms;
mod rules;
mod schema;
mod statements;
mod text;
mod values;

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, Executor};

use self::error::Refusal;
use super::guard::{self, Fault, Guard};
use crate::ports::db::{Database, Error};

/// The schema of the host's own tables.
pub const SCHEMA: &str = "greenroom";

static MIGRATIONS: Migrator = sqlx::migrate!("../migrations/postgres");

/// Where the database is, and what it may cost.
#[derive(Clone)]
pub struct Settings {
    /// `postgres://user:password@host:port/database`. The user makes schemas and roles (`CREATEROLE`), or is given them.
    pub url: String,
    /// Connections of this process for the host's own work; 1 or more.
    pub connections_max: u32,
    /// Connections of this process for the statements of plugins; 1 or more.
    pub plugin_connections_max: u32,
    /// How long a caller waits for a connection.
    pub wait_max: Duration,
    /// How long one statement of the host may run.
    pub statement_timeout: Duration,
    /// How long one statement of a plugin may run.
    pub plugin_statement_timeout: Duration,
    /// How long a statement waits for one lock. More than the server's `deadlock_timeout` (1 s), or deadlocks are not told apart.
    pub lock_timeout: Duration,
    /// How long a transaction may wait for this program's next statement before the server ends it.
    pub idle_in_transaction_timeout: Duration,
    /// How long a question, or a change by an operator, may take, with its attempts and the wait for a connection. It is what ends a
    /// call when the network swallows packets.
    pub call_timeout: Duration,
    /// The same for a batch of events; more than the time-outs of the server, less than a plugin has for its batch.
    pub batch_timeout: Duration,
    /// When the server counts as away.
    pub guard: guard::Settings,
    /// How long adding up the whole ledger, or a migration, may take.
    pub scan_timeout: Duration,
    /// How often a transaction is begun that others stand in the way of; 1 or more.
    pub attempts_max: u32,
    /// Whether hosts that start at once take turns by an advisory lock. Off where the database has none; then start one host first.
    pub migration_lock: bool,
}

impl Settings {
    /// What suits a server in the same place.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            connections_max: 16,
            plugin_connections_max: 4,
            wait_max: Duration::from_millis(1_500),
            statement_timeout: Duration::from_secs(10),
            plugin_statement_timeout: Duration::from_secs(2),
            lock_timeout: Duration::from_secs(5),
            idle_in_transaction_timeout: Duration::from_secs(10),
            call_timeout: Duration::from_secs(3),
            batch_timeout: Duration::from_secs(15),
            guard: guard::Settings::default(),
            scan_timeout: Duration::from_secs(600),
            attempts_max: 5,
            migration_lock: true,
        }
    }
}

/// The connections, and how more are made.
struct Pools {
    host: PgPool,
    plugins: PgPool,
}

impl Pools {
    /// Connects when somebody asks for a connection.
    fn new(settings: &Settings, host: PgConnectOptions, plugins: PgConnectOptions) -> Self {
        let pool = |count: u32| PgPoolOptions::new().max_connections(count.max(1)).acquire_timeout(settings.wait_max);
        Self {
            host: pool(settings.connections_max).connect_lazy_with(host),
            plugins: pool(settings.plugin_connections_max).connect_lazy_with(plugins),
        }
    }
}

/// An open database.
pub struct Postgres {
    pools: ArcSwap<Pools>,
    settings: Settings,
    guard: Arc<Guard>,
    /// The database's number: roles belong to the whole server, so their names have it.
    database: i64,
    checked: moka::sync::Cache<String, Arc<statements::Checked>>,
}

impl Postgres {
    /// Connects, and brings the tables up to date.
    ///
    /// # Errors
    /// `Unavailable` if the server does not answer; `Refused` if it does not let this user in, or has tables of a newer program.
    pub async fn open(settings: Settings) -> Result<Arc<Self>, Error> {
        let options = options(&settings)?;
        let (database, commits) = prepare(&settings, &options).await?;
        // The offsets of the queue are committed on the strength of a commit here.
        let options = if commits == "off" { options.options([("synchronous_commit", "on")]) } else { options };
        let plugin_options = options.clone().options([("statement_timeout", ms(settings.plugin_statement_timeout))]);
        let options = options.options([("statement_timeout", ms(settings.statement_timeout))]);
        Ok(Arc::new(Self {
            pools: ArcSwap::from_pointee(Pools::new(&settings, options, plugin_options)),
            guard: Guard::new("postgres", settings.guard),
            settings,
            database,
            checked: moka::sync::Cache::new(4_096),
        }))
    }

    /// What every call passes through.
    #[must_use]
    pub fn guard(&self) -> &Arc<Guard> {
        &self.guard
    }

    fn pool(&self) -> PgPool {
        self.pools.load().host.clone()
    }

    fn plugin_pool(&self) -> PgPool {
        self.pools.load().plugins.clone()
    }

    /// The one way out of this process. Ends a call that takes too long, whatever the server's own limits: a network that swallows
    /// packets says nothing. The connections are then not to be trusted, and the driver would wait for them; others take their place.
    async fn within<T, E: From<Error> + Refusal + std::fmt::Display>(
        &self,
        limit: Duration,
        call: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let pools = self.pools.load_full();
        match self.guard.call(limit, call, E::is_answer).await {
            Ok(answer) => Ok(answer),
            Err(Fault::Call(error)) => Err(error),
            Err(Fault::Open(open)) => Err(Error::Unavailable(open.to_string()).into()),
            Err(Fault::Late(_)) => {
                let (host, plugins) = (pools.host.connect_options(), pools.plugins.connect_options());
                let fresh = Arc::new(Pools::new(&self.settings, (*host).clone(), (*plugins).clone()));
                if !pools.host.is_closed() {
                    // Of several that wait in vain one makes the exchange.
                    self.pools.compare_and_swap(&pools, fresh);
                }
                Err(Error::Unavailable(format!("no answer within {} ms", limit.as_millis())).into())
            }
        }
    }

    fn attempts(&self) -> error::Attempts {
        error::Attempts::new(self.settings.attempts_max, Arc::clone(&self.guard))
    }
}

#[async_trait]
impl Database for Postgres {
    async fn ping(&self) -> Result<(), Error> {
        self.within(self.settings.call_timeout, async {
            let answer = sqlx::query("SELECT 1").execute(&self.pool()).await;
            answer.map(drop).map_err(|fault| Error::Unavailable(fault.to_string()))
        })
        .await
    }

    async fn close(&self) {
        let pools = self.pools.load_full();
        let closing = futures::future::join(pools.plugins.close(), pools.host.close());
        if tokio::time::timeout(self.settings.call_timeout, closing).await.is_err() {
            tracing::warn!("the database does not let its connections go");
        }
    }
}

fn options(settings: &Settings) -> Result<PgConnectOptions, Error> {
    let options = PgConnectOptions::from_str(&settings.url)
        .map_err(|_| Error::Refused("the database's address is no postgres:// URL".into()))?;
    let options = options.application_name("greenroom").statement_cache_capacity(256).disable_statement_logging();
    Ok(options.options([
        ("search_path", SCHEMA.to_owned()),
        ("lock_timeout", ms(settings.lock_timeout)),
        ("idle_in_transaction_session_timeout", ms(settings.idle_in_transaction_timeout)),
        ("default_transaction_isolation", "read committed".to_owned()),
        ("standard_conforming_strings", "on".to_owned()),
        // A statement over arrays is planned for their real lengths: the general plan takes them to have ten elements and joins
        // thousands in nested loops.
        ("plan_cache_mode", "force_custom_plan".to_owned()),
        ("jit", "off".to_owned()),
    ]))
}

fn ms(duration: Duration) -> String {
    duration.as_millis().to_string()
}

/// Brings the tables up to date, and returns the database's number and its `synchronous_commit`.
async fn prepare(settings: &Settings, options: &PgConnectOptions) -> Result<(i64, String), Error> {
    let scan = ms(settings.scan_timeout);
    let options = options.clone().options([("statement_timeout", scan.clone()), ("lock_timeout", scan)]);
    let connecting = tokio::time::timeout(settings.wait_max, PgConnection::connect_with(&options));
    let mut connection =
        connecting.await.map_err(|_| Error::Unavailable("the database does not answer".into()))?.map_err(error::of)?;
    make_schema(settings, &mut connection).await?;
    let mut migrator = Migrator { migrations: MIGRATIONS.migrations.clone(), ..Migrator::DEFAULT };
    migrator.set_locking(settings.migration_lock);
    migrator.run(&mut connection).await.map_err(migration_error)?;
    let found = sqlx::query_as(
        "SELECT oid::int8, current_setting('synchronous_commit') FROM pg_database WHERE datname = current_database()",
    )
    .fetch_one(&mut connection)
    .await
    .map_err(error::of)?;
    connection.close().await.map_err(error::of)?;
    Ok(found)
}

/// Two hosts may both find that it is missing, and one of them is refused; then it is there.
async fn make_schema(settings: &Settings, connection: &mut PgConnection) -> Result<(), Error> {
    for attempt in 1..=settings.attempts_max.max(2) {
        let found: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = $1)")
            .bind(SCHEMA)
            .fetch_one(&mut *connection)
            .await
            .map_err(error::of)?;
        if found {
            break;
        }
        match connection.execute("CREATE SCHEMA IF NOT EXISTS greenroom").await {
            Err(fault) if attempt > 1 => return Err(error::of(fault)),
            _ => {}
        }
    }
    Ok(())
}

fn migration_error(fault: MigrateError) -> Error {
    match fault {
        MigrateError::VersionMissing(version) => Error::Refused(format!(
            "the database was written by a newer program (it has migration {version}, this one ends before it): start that program"
        )),
        MigrateError::VersionMismatch(version) => Error::Refused(format!(
            "migration {version} of the database is not the one of this program: start the program that wrote it"
        )),
        MigrateError::Execute(fault) | MigrateError::ExecuteMigration(fault, _) => error::of(fault),
        other => Error::Refused(other.to_string()),
    }
}
