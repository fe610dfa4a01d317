//! Host processes: the real program, killed and started again on the same port.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use greenroom::domain::UserId;
use greenroom::http::auth;
use greenroom_manifest::Role;
use greenroom_services::{Leash, log_end, port_of_a_test};
use reqwest::StatusCode;

/// A debug build that compiles its plugins on a busy machine.
const READY_WAIT: Duration = Duration::from_secs(90);
const STARTS_MAX: usize = 3;
/// As supervisors do; a decision.
const RESTART_WAIT: Duration = Duration::from_secs(1);
const STOP_WAIT: Duration = Duration::from_secs(60);
/// All hosts of all scenarios have it.
pub const SECRET: &str = "a secret that all hosts of a test share";
/// Longer than any clock is set forward.
const TOKEN_LIFETIME_S: u64 = 30 * 86_400;

/// One host, running or not.
pub struct Host {
    data: PathBuf,
    plugins: PathBuf,
    environment: Vec<(String, String)>,
    port: u16,
    running: Option<(Child, Leash)>,
}

impl Host {
    /// The host of this number, not started. What it keeps in `folder` stays from scenario to scenario, so that plugins are compiled once.
    pub fn new(folder: &Path, number: usize, environment: Vec<(String, String)>) -> Self {
        let data = folder.join(format!("host-{number}"));
        std::fs::create_dir_all(&data).unwrap();
        std::fs::write(data.join("dev-secret"), SECRET).unwrap();
        Self { data, plugins: plugins(folder), environment, port: port_of_a_test().unwrap(), running: None }
    }

    /// Its address, the same after a restart.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Starts it if it does not run, and waits until it says that it is ready.
    pub async fn start(&mut self) {
        if self.running.is_none() {
            self.spawn();
        }
        let (begun, mut tries) = (Instant::now(), 1);
        let ready = format!("{}/readyz", self.url());
        let http = reqwest::Client::builder().timeout(Duration::from_secs(5)).build().unwrap();
        while !http.get(&ready).send().await.is_ok_and(|answer| answer.status() == StatusCode::OK) {
            let (child, _) = self.running.as_mut().unwrap();
            if let Some(status) = child.try_wait().unwrap() {
                // As by a supervisor: a service that is slow at its own start is a reason to say so and end.
                assert!(
                    status.code() == Some(1) && tries < STARTS_MAX,
                    "a host ended with {status}; {}",
                    self.last_words()
                );
                tries += 1;
                tokio::time::sleep(RESTART_WAIT).await;
                self.spawn();
            }
            assert!(begun.elapsed() < READY_WAIT, "a host was never ready; {}", self.last_words());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn spawn(&mut self) {
        let log = OpenOptions::new().create(true).append(true).open(self.log()).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_greenroom"))
            .args(["serve", "--dev", "--listen", &format!("127.0.0.1:{}", self.port), "--data-dir"])
            .arg(&self.data)
            .arg("--plugins")
            .arg(&self.plugins)
            .env("GREENROOM_LOG_FILTER", "info")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let leash = Leash::new(child.id()).unwrap();
        self.running = Some((child, leash));
    }

    fn log(&self) -> PathBuf {
        self.data.join("host.log")
    }

    fn last_words(&self) -> String {
        format!("see {}:\n{}", self.log().display(), log_end(&self.log()))
    }

    /// Ends it as a crash does: SIGKILL.
    pub fn kill(&mut self) {
        if let Some((mut child, leash)) = self.running.take() {
            drop(leash);
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Ends it as an operator does: SIGTERM, and waits.
    pub fn stop(&mut self) {
        let Some((mut child, _leash)) = self.running.take() else { return };
        signal(&child, "TERM");
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            assert!(begun.elapsed() < STOP_WAIT, "a host does not stop; {}", self.last_words());
            std::thread::sleep(Duration::from_millis(20));
        };
        assert!(status.success(), "a host ended with {status}; {}", self.last_words());
    }

    /// Stops it in its tracks with SIGSTOP: for the others it is silent, by its own clock nothing happens.
    pub fn pause(&self) {
        signal(&self.running.as_ref().unwrap().0, "STOP");
    }

    /// Lets it go on.
    pub fn resume(&self) {
        signal(&self.running.as_ref().unwrap().0, "CONT");
    }

    /// What `greenroom reconcile` says of everything: whether it found no difference, and its report.
    pub fn reconcile(&self) -> (bool, serde_json::Value) {
        let output = Command::new(env!("CARGO_BIN_EXE_greenroom"))
            .args(["reconcile", "--data-dir"])
            .arg(&self.data)
            .output()
            .unwrap();
        let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            serde_json::json!({ "said": said })
        });
        (output.status.success(), report)
    }
}

impl Drop for Host {
    /// A scenario that fails leaves no host behind.
    fn drop(&mut self) {
        self.kill();
    }
}

/// A token that any host takes.
pub fn token(user: i64, role: Role) -> String {
    let expires_at_s = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs() + TOKEN_LIFETIME_S;
    auth::issue(SECRET.as_bytes(), UserId(user), role, 1, expires_at_s).unwrap()
}

fn signal(child: &Child, signal: &str) {
    let status = Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

/// A folder with the gift plugin alone.
fn plugins(folder: &Path) -> PathBuf {
    let folder = folder.join("plugins");
    std::fs::create_dir_all(&folder).unwrap();
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/plugins/gift.wasm");
    let new = folder.join("gift.new");
    std::fs::copy(&built, &new).unwrap_or_else(|_| panic!("no {}: run `cargo xtask plugins`", built.display()));
    std::fs::rename(new, folder.join("gift.wasm")).unwrap();
    folder
}
