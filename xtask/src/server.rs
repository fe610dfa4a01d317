//! A server of this tree, started for a demo or a bench on a data directory of its own, and stopped gracefully.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::signal::unix::{SignalKind, signal};

use crate::http::Caller;
use greenroom_services::progress::{Step, run_quietly};

/// The file of the secret that signs tokens, in the data directory.
const SECRET: &str = "dev-secret";
/// The first start compiles the plugins' machine code.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);

/// How to start.
pub(crate) struct Options<'a> {
    /// The `greenroom` program.
    pub(crate) program: &'a Path,
    pub(crate) plugins: &'a Path,
    /// Emptied first.
    pub(crate) data_dir: &'a Path,
    /// Port 0 takes a free one.
    pub(crate) listen: &'a str,
    /// Configuration keys as environment variables.
    pub(crate) env: &'a [(String, String)],
    /// What signs tokens, where servers share it; none lets the server make its own.
    pub(crate) secret: Option<&'a str>,
}

/// A running server. It is ended when this is dropped.
pub(crate) struct Server {
    child: Child,
    program: PathBuf,
    data_dir: PathBuf,
    /// `host:port`.
    pub(crate) authority: String,
}

impl Server {
    /// Starts and waits until it is ready.
    ///
    /// # Errors
    /// If it cannot start, ends, or is not ready in time; its log is in `server.log` in the data directory.
    pub(crate) fn start(options: &Options<'_>) -> anyhow::Result<Self> {
        let Options { program, plugins, data_dir, listen, env, secret } = options;
        let _ = std::fs::remove_dir_all(data_dir);
        std::fs::create_dir_all(data_dir).with_context(|| format!("cannot make {}", data_dir.display()))?;
        if let Some(secret) = secret {
            std::fs::write(data_dir.join(SECRET), secret).with_context(|| format!("cannot write {SECRET}"))?;
        }
        let log = data_dir.join("server.log");
        let file = std::fs::File::create(&log).with_context(|| format!("cannot make {}", log.display()))?;
        let step = Step::start("starting the server");
        let mut command = Command::new(program);
        command.args(["serve", "--dev", "--listen", listen]).arg("--data-dir").arg(data_dir);
        command.arg("--plugins").arg(plugins).envs(env.iter().cloned());
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        // A group of its own: Ctrl-C reaches this program alone, which then stops the server once and waits for it.
        let child = command.process_group(0).spawn().context("cannot start the server")?;
        let mut server =
            Self { child, program: program.to_path_buf(), data_dir: data_dir.to_path_buf(), authority: String::new() };
        server.wait_ready(&log)?;
        step.done(&format!("ready at http://{}, logging to {}", server.authority, log.display()));
        Ok(server)
    }

    fn wait_ready(&mut self, log: &Path) -> anyhow::Result<()> {
        let deadline = Instant::now() + READY_TIMEOUT;
        loop {
            if let Some(status) = self.ended()? {
                let said = std::fs::read_to_string(log).unwrap_or_default();
                bail!("the server ended with {status}:\n{said}");
            }
            // It writes its address down once it listens.
            if let Ok(address) = std::fs::read_to_string(self.data_dir.join("address")) {
                self.authority = address.trim().to_owned();
                if self.caller("").call("GET", "/readyz", None).is_ok() {
                    return Ok(());
                }
            }
            if Instant::now() > deadline {
                bail!("the server is not ready after {READY_TIMEOUT:?}; see {}", log.display());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Whether it has ended, and how.
    pub(crate) fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        self.child.try_wait().context("cannot ask for the server")
    }

    /// A caller with a token.
    pub(crate) fn caller<'a>(&'a self, token: &'a str) -> Caller<'a> {
        Caller { authority: &self.authority, token }
    }

    /// A token, as `greenroom token` makes it.
    ///
    /// # Errors
    /// If it cannot.
    pub(crate) fn token(&self, user: &str, role: &str) -> anyhow::Result<String> {
        let mut command = Command::new(&self.program);
        command.args(["token", "--user", user, "--role", role, "--data-dir"]).arg(&self.data_dir);
        Ok(run_quietly(&mut command, COMMAND_TIMEOUT)?.trim().to_owned())
    }

    /// The file with the secret that signs its tokens.
    pub(crate) fn secret_file(&self) -> PathBuf {
        self.data_dir.join(SECRET)
    }

    /// Asks it to drain and stop, and waits for it.
    ///
    /// # Errors
    /// If it does not stop in time, or ends with a failure.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        self.terminate()?;
        let deadline = Instant::now() + STOP_TIMEOUT;
        loop {
            match self.ended()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => bail!("the server ended with {status}"),
                None if Instant::now() > deadline => bail!("the server did not stop within {STOP_TIMEOUT:?}"),
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    fn terminate(&self) -> anyhow::Result<()> {
        let pid = self.child.id().to_string();
        run_quietly(Command::new("kill").args(["-TERM", &pid]), COMMAND_TIMEOUT).map(|_| ())
    }
}

/// Says when Ctrl-C or SIGTERM came. From the call on, neither ends this program by itself.
///
/// # Errors
/// If the signals cannot be listened for.
pub(crate) fn interrupts() -> anyhow::Result<Receiver<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    let (sender, receiver) = sync_channel(1);
    // Waits for the rest of this program's life, and ends with it.
    std::thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        });
        // Nobody listens any more: this program is ending already.
        let _ = sender.send(());
    });
    Ok(receiver)
}

impl Drop for Server {
    fn drop(&mut self) {
        // Nothing is left to do about a process that has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
