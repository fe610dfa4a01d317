//! Redis servers of a test's own, so that it may stop them and make them replicas of each other.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use greenroom_services::Leash;
use redis::FromRedisValue;
use redis::aio::MultiplexedConnection;

/// For everything that a server has to do.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct RedisServer {
    child: Child,
    leash: Leash,
    port: u16,
    dir: tempfile::TempDir,
    more: Vec<&'static str>,
}

impl RedisServer {
    /// With an append-only file and these settings more.
    pub(crate) async fn start(more: &[&'static str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        // The cluster's bus has a port that is 10,000 higher.
        let port = loop {
            let port = rand::random_range(20_000..32_000);
            let is_free = |port| std::net::TcpListener::bind(("127.0.0.1", port)).is_ok();
            if is_free(port) && is_free(port + 10_000) {
                break port;
            }
        };
        let child = spawn(port, dir.path(), more);
        let leash = Leash::new(child.id()).unwrap();
        let server = Self { child, leash, port, dir, more: more.to_vec() };
        server.wait_for(&["PING"], |answer| answer == "PONG").await;
        server
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// As a machine does that fails.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// It does nothing any more, and no connection is closed.
    pub(crate) fn pause(&self) {
        let stopped = Command::new("kill").args(["-STOP", &self.child.id().to_string()]).status().unwrap();
        assert!(stopped.success());
    }

    /// After [`Self::kill`]: with the data that its file has.
    pub(crate) async fn start_again(&mut self) {
        self.child = spawn(self.port, self.dir.path(), &self.more);
        self.leash = Leash::new(self.child.id()).unwrap();
        self.wait_for(&["PING"], |answer| answer == "PONG").await;
    }

    async fn connect(&self) -> redis::RedisResult<MultiplexedConnection> {
        redis::Client::open(self.url())?.get_multiplexed_async_connection().await
    }

    pub(crate) async fn ask<T: FromRedisValue>(&self, words: &[&str]) -> redis::RedisResult<T> {
        let (name, args) = words.split_first().unwrap();
        redis::cmd(name).arg(args).query_async(&mut self.connect().await?).await
    }

    pub(crate) async fn wait_for(&self, words: &[&str], is_so: impl Fn(&str) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.ask::<String>(words).await;
            let error = match answer {
                Ok(answer) if is_so(&answer) => return,
                Ok(answer) => answer,
                Err(error) => error.to_string(),
            };
            assert!(Instant::now() < deadline, "{words:?} is not answered as it should be: {error}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Makes it a replica, and waits until it has what the other one has.
    pub(crate) async fn follow(&self, master: &Self) {
        self.ask::<()>(&["REPLICAOF", "127.0.0.1", &master.port.to_string()]).await.unwrap();
        self.wait_until_it_follows().await;
        let offset =
            |info: &str| info.lines().find_map(|line| line.strip_prefix("master_repl_offset:")).map(str::to_owned);
        let theirs = offset(&master.ask::<String>(&["INFO", "replication"]).await.unwrap());
        let number = |offset: Option<String>| offset.unwrap().parse::<u64>().unwrap();
        let theirs = number(theirs);
        self.wait_for(&["INFO", "replication"], |info| number(offset(info)) >= theirs).await;
    }

    pub(crate) async fn wait_until_it_follows(&self) {
        self.wait_for(&["INFO", "replication"], |info| info.contains("master_link_status:up")).await;
    }

    /// It takes no more from its master and is one itself.
    pub(crate) async fn promote(&self) {
        self.ask::<()>(&["REPLICAOF", "NO", "ONE"]).await.unwrap();
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(port: u16, dir: &std::path::Path, more: &[&str]) -> Child {
    Command::new("redis-server")
        .args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--appendonly", "yes"])
        .args(["--repl-diskless-sync-delay", "0"])
        .args(more)
        .current_dir(dir)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("redis-server is installed, as by `cargo xtask services up redis`")
}
