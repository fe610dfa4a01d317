//! Looking at the books: straight in the database, and as the hosts tell of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use greenroom_manifest::Role;
use reqwest::Method;
use serde_json::Value;
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Error};
use tokio_util::sync::CancellationToken;

use crate::history::{Function, Recorder};
use crate::hosts::Host;
use crate::world::Caller;

/// Nobody else's in the history.
const PROCESS: i64 = 0;
const LOOK_EVERY: Duration = Duration::from_millis(200);
const QUERY_WAIT: Duration = Duration::from_secs(5);
/// What is on its way is settled by then; retries wait some seconds after some faults.
const SETTLE_WAIT: Duration = Duration::from_secs(120);
const BALANCES: &str = "SELECT user_id, asset_cn FROM user_asset WHERE asset_type = 1 ORDER BY user_id";
const ENTRIES: &str = "SELECT payer_id || '/' || event_id, user_id, delta FROM user_asset_record \
    WHERE asset_type = 1 AND NOT starts_with(event_id, 'recharge-') ORDER BY event_id, payer_id, user_id";
const DEAD_LETTERS: &str = "SELECT payer_id || '/' || event_id, reason FROM dead_letter ORDER BY id";

/// Reads all balances in one statement, again and again.
pub struct Auditor {
    url: String,
    history: Arc<Recorder>,
    connection: Option<PgConnection>,
}

/// Everything that the database says at the end.
pub struct Books {
    pub balances: BTreeMap<i64, i64>,
    /// Payer and event id, account, delta.
    pub entries: Vec<(String, i64, i64)>,
    /// Payer and event id, if it has any, and the reason.
    pub dead_letters: Vec<(Option<String>, String)>,
}

impl Auditor {
    pub fn new(url: &str, history: Arc<Recorder>) -> Self {
        Self { url: url.to_owned(), history, connection: None }
    }

    /// Until it is told to stop. A database that is away is not read.
    pub async fn run(mut self, stop: CancellationToken) -> Self {
        while stop.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_some() {
            let _ = self.read().await;
        }
        self
    }

    /// Reads until it succeeds.
    pub async fn read_surely(&mut self) -> BTreeMap<i64, i64> {
        let begun = Instant::now();
        loop {
            match self.read().await {
                Ok(balances) => return balances,
                Err(error) => assert!(begun.elapsed() < SETTLE_WAIT, "the database is away: {error}"),
            }
        }
    }

    /// Reads everything, for the last time.
    pub async fn close(&mut self) -> Books {
        let balances = self.read_surely().await;
        self.history.invoke(PROCESS, Function::Entries, "nil");
        let entries: Vec<(String, i64, i64)> =
            sqlx::query_as(ENTRIES).fetch_all(self.connection().await.unwrap()).await.unwrap();
        let lines = entries.iter().fold(String::new(), |mut text, (id, account, delta)| {
            write!(text, "[{id:?} {account} {delta}] ").unwrap();
            text
        });
        self.history.ok(PROCESS, Function::Entries, &format!("[{}]", lines.trim_end()));
        self.history.invoke(PROCESS, Function::DeadLetters, "nil");
        let dead_letters: Vec<(Option<String>, String)> =
            sqlx::query_as(DEAD_LETTERS).fetch_all(self.connection().await.unwrap()).await.unwrap();
        let ids = dead_letters.iter().filter_map(|(id, _)| id.as_ref()).map(|id| format!("{id:?}"));
        self.history.ok(PROCESS, Function::DeadLetters, &format!("[{}]", ids.collect::<Vec<_>>().join(" ")));
        Books { balances, entries, dead_letters }
    }

    async fn read(&mut self) -> Result<BTreeMap<i64, i64>, Error> {
        self.history.invoke(PROCESS, Function::Read, "nil");
        let rows: Result<Vec<(i64, i64)>, Error> = async {
            let connection = self.connection().await?;
            let rows = tokio::time::timeout(QUERY_WAIT, sqlx::query_as(BALANCES).fetch_all(connection));
            rows.await.map_err(|_| Error::PoolTimedOut)?
        }
        .await;
        match rows {
            Ok(rows) => {
                let pairs: Vec<String> = rows.iter().map(|(user, balance)| format!("{user} {balance}")).collect();
                self.history.ok(PROCESS, Function::Read, &format!("{{{}}}", pairs.join(", ")));
                Ok(rows.into_iter().collect())
            }
            Err(error) => {
                self.history.fail(PROCESS, Function::Read, "nil");
                self.connection = None;
                Err(error)
            }
        }
    }

    async fn connection(&mut self) -> Result<&mut PgConnection, Error> {
        if self.connection.is_none() {
            let connection = tokio::time::timeout(QUERY_WAIT, PgConnection::connect(&self.url));
            self.connection = Some(connection.await.map_err(|_| Error::PoolTimedOut)??);
        }
        self.connection.as_mut().ok_or(Error::PoolClosed)
    }
}

/// Waits until nothing is on its way but what is set aside; gives the report of that moment.
pub async fn settled(host: &Host) -> Value {
    let operator = Caller::new(Role::Operator);
    let begun = Instant::now();
    loop {
        let report = operator.surely(Method::GET, &format!("{}/v1/reconciliation", host.url()), &Value::Null).await;
        let url = format!("{}/v1/dead-letters?limit=100", host.url());
        let letters = operator.surely(Method::GET, &url, &Value::Null).await["deadLetters"].as_array().unwrap().clone();
        let held = letters.iter().filter(|letter| !letter["amount"].is_null()).count();
        let adds_up = report["differences"].as_array().is_some_and(Vec::is_empty);
        if report["eventsOnTheirWay"] == held && report["accountsBusy"] == 0 && adds_up {
            return report;
        }
        assert!(begun.elapsed() < SETTLE_WAIT, "not everything is settled: {report}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// What each host tells of a user is what the database says.
pub async fn same_balance(hosts: &[Host], user: i64, books: &Books) {
    let service = Caller::new(Role::Service);
    let expected = books.balances.get(&user).copied().unwrap_or_default();
    for host in hosts {
        let assets = service.surely(Method::GET, &format!("{}/v1/users/{user}/assets", host.url()), &Value::Null).await;
        let gold = assets["assets"].as_array().unwrap().iter().find(|asset| asset["assetType"] == 1);
        let told = gold.map(|gold| gold["settled"].as_str().unwrap().parse::<i64>().unwrap());
        assert_eq!(told.unwrap_or_default(), expected, "user {user} at {}: {assets}", host.url());
    }
}
