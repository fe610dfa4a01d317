//! A database for each test, and the tests of this adapter alone.

mod doors;
mod hosts;
mod migrations;
mod removal;
mod sums;

use std::sync::Arc;

use greenroom::adapters::postgres::{Postgres, Settings};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor};

use removal::remove_database;

/// A database that is dropped with this.
pub struct Opened {
    name: String,
    db: Arc<Postgres>,
}

impl Opened {
    pub fn db(&self) -> &Postgres {
        &self.db
    }

    pub fn shared(&self) -> Arc<Postgres> {
        Arc::clone(&self.db)
    }

    pub fn url(&self) -> String {
        url_of(&self.name)
    }

    pub fn settings(&self) -> Settings {
        Settings { connections_max: 4, plugin_connections_max: 2, ..Settings::new(self.url()) }
    }

    /// Another host on the same database.
    pub async fn again(&self) -> Arc<Postgres> {
        Postgres::open(self.settings()).await.unwrap()
    }

    /// A connection of an administrator.
    pub async fn connect(&self) -> PgConnection {
        let mut connection = PgConnection::connect(&self.url()).await.unwrap();
        connection.execute("SET search_path = greenroom").await.unwrap();
        connection
    }

    /// What an administrator could do.
    pub async fn run(&self, sql: &'static str) {
        let mut connection = self.connect().await;
        connection.execute(sql).await.unwrap();
        connection.close().await.unwrap();
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        let name = std::mem::take(&mut self.name);
        // A runtime of its own: the test's may be the one that drops this.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(remove_database(&server(), &name));
        })
        .join()
        .unwrap();
    }
}

pub fn server() -> String {
    std::env::var("GREENROOM_TEST_POSTGRES_URL")
        .expect("set GREENROOM_TEST_POSTGRES_URL, or run `cargo xtask test`, which starts PostgreSQL")
}

/// The server's URL with another database.
pub fn url_of(database: &str) -> String {
    let server = server();
    let (place, rest) = server.rsplit_once('/').unwrap();
    let options = rest.split_once('?').map(|(_, options)| format!("?{options}")).unwrap_or_default();
    format!("{place}/{database}{options}")
}

/// A database without tables.
pub async fn create() -> String {
    let name = format!("greenroom_test_{:016x}", rand::random::<u64>());
    let mut admin = PgConnection::connect(&server()).await.unwrap();
    admin.execute(AssertSqlSafe(format!("CREATE DATABASE {name} TEMPLATE template0"))).await.unwrap();
    admin.close().await.unwrap();
    name
}

pub async fn open() -> Opened {
    open_as_host(create().await).await
}

/// A host's start on this database.
pub async fn open_as_host(name: String) -> Opened {
    let settings = Settings { connections_max: 4, plugin_connections_max: 2, ..Settings::new(url_of(&name)) };
    let db = Postgres::open(settings).await.unwrap();
    Opened { name, db }
}
