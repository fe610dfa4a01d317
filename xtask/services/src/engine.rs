//! What the services have in common: each is a number of servers that are prepared, started, waited for and stopped.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};

use crate::install::Missing;
use crate::place::{Place, Server};
use crate::process::{Process, log_end, wait};
use crate::progress::Step;

/// A JVM on a busy machine, or a journal that is read again.
const READY_TIMEOUT: Duration = Duration::from_secs(90);
pub(crate) const STOP_TIMEOUT: Duration = Duration::from_secs(20);
/// A server that was killed may leave children behind that hold its data for a moment, so that a first start fails.
const STARTS_MAX: usize = 5;
const START_PAUSE: Duration = Duration::from_millis(300);

/// One kind of service.
pub(crate) trait Engine: Send + Sync {
    /// How many servers it is.
    fn servers(&self) -> usize {
        1
    }

    /// The programs that it needs and this machine lacks.
    fn missing(&self, place: &Place) -> Vec<Missing>;

    /// Makes what must be there before the first server starts; what is there stays.
    ///
    /// # Errors
    /// If it cannot.
    fn prepare(&self, place: &Place, step: &Step) -> anyhow::Result<()>;

    /// How a server is started. Its configuration is written anew.
    ///
    /// # Errors
    /// If that cannot be written.
    fn command(&self, place: &Place, server: &Server) -> anyhow::Result<Command>;

    /// Asks a server something that only one that serves can answer.
    ///
    /// # Errors
    /// If it does not.
    fn ask(&self, place: &Place, server: &Server) -> anyhow::Result<()>;

    /// Makes what can only be made when all servers answer; what is there stays.
    ///
    /// # Errors
    /// If it cannot.
    fn complete(&self, _place: &Place, _step: &Step) -> anyhow::Result<()> {
        Ok(())
    }

    /// The signal at which it stops without losing anything.
    fn stop_signal(&self) -> &'static str {
        "TERM"
    }

    /// What its environment variable says.
    ///
    /// # Errors
    /// If it has never run.
    fn url(&self, place: &Place) -> anyhow::Result<String>;
}

/// Starts what does not run, and waits until all of it serves.
///
/// # Errors
/// If it does not; with the log's end.
pub(crate) fn up(engine: &dyn Engine, place: &mut Place, step: &Step) -> anyhow::Result<()> {
    engine.prepare(place, step)?;
    for index in 0..place.servers.len() {
        start(engine, place, index)?;
    }
    for index in 0..place.servers.len() {
        wait_ready(engine, place, index)?;
    }
    engine.complete(place, step)
}

/// Starts one server if it does not run, and waits until it answers; what needs all of them is not looked at.
///
/// # Errors
/// If it does not; with the log's end.
pub(crate) fn up_one(engine: &dyn Engine, place: &mut Place, index: usize, step: &Step) -> anyhow::Result<()> {
    engine.prepare(place, step)?;
    start(engine, place, index)?;
    wait_ready(engine, place, index)
}

fn start(engine: &dyn Engine, place: &mut Place, index: usize) -> anyhow::Result<()> {
    let server = place.servers.get(index).context("no such server")?;
    if server.is_running() {
        return Ok(());
    }
    let data = place.data(server);
    std::fs::create_dir_all(&data).with_context(|| format!("cannot make {}", data.display()))?;
    let process = Process::start(&engine.command(place, server)?, &place.log(server))?;
    if let Some(server) = place.servers.get_mut(index) {
        server.process = Some(process);
    }
    place.save()
}

fn wait_ready(engine: &dyn Engine, place: &mut Place, index: usize) -> anyhow::Result<()> {
    for _ in 0..STARTS_MAX {
        let server = place.servers.get(index).context("no such server")?;
        let log = place.log(server);
        let mut ended = false;
        let answered = wait(READY_TIMEOUT, || {
            ended = !server.is_running();
            if ended { Ok(()) } else { engine.ask(place, server) }
        });
        match answered {
            Ok(()) if ended => {
                std::thread::sleep(START_PAUSE);
                start(engine, place, index)?;
            }
            Ok(()) => return Ok(()),
            Err(error) => {
                let end = log_end(&log);
                return Err(error.context(format!("it runs, but does not answer; see {}:\n{end}", log.display())));
            }
        }
    }
    let log = place.log(place.servers.get(index).context("no such server")?);
    bail!("it ends as soon as it has started; see {}:\n{}", log.display(), log_end(&log))
}

/// Stops what runs: all are told, then each is waited for, so that none takes another's end for a fault.
///
/// # Errors
/// If one does not end.
pub(crate) fn down(engine: &dyn Engine, place: &mut Place) -> anyhow::Result<()> {
    let processes: Vec<&Process> = place.servers.iter().filter_map(|server| server.process.as_ref()).collect();
    for process in &processes {
        process.signal(engine.stop_signal())?;
    }
    for process in &processes {
        process.stop(engine.stop_signal(), STOP_TIMEOUT)?;
    }
    if place.servers.is_empty() {
        return Ok(());
    }
    for server in &mut place.servers {
        server.process = None;
    }
    place.save()
}
