//! Real Redis, PostgreSQL and Kafka servers on loopback, for development and tests.
//!
//! Those of `cargo xtask services` have their data in one folder, `<service>/` each. They outlive the program, and are stopped by what it
//! wrote down of their processes, never by a name. A service for which the environment already names a server is not started: that one is
//! used. One run at a time changes anything there. [`Own`] is a service that one test has for itself, and that ends with it.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

pub mod apt;
mod cluster;
mod engine;
mod env;
mod install;
mod job;
mod kafka;
mod leash;
mod lent;
mod own;
mod place;
mod ports;
mod postgres;
mod process;
pub mod progress;
mod redis;

use std::path::Path;

use anyhow::bail;

pub use env::{Variable, export};
pub use job::Service;
pub use leash::Leash;
pub use lent::Lent;
pub use own::Own;
pub use ports::port_of_a_test;
pub use process::log_end;
pub use redis::Fsync;

use job::Job;
use place::{Server, lock};
use ports::Ports;
use progress::Step;

/// Starts what does not run of the named services, or of all if none is named, and gives the variables that tell where they
/// are. What runs stays. Services that the environment names are not started.
///
/// # Errors
/// If a program is missing and cannot be installed, or a server does not answer; with the end of its log.
pub fn up(folder: &Path, services: &[Service], fsync: Fsync) -> anyhow::Result<Vec<Variable>> {
    let _lock = lock(folder)?;
    let (others, named): (Vec<Job>, Vec<Job>) =
        Job::all(folder, fsync)?.into_iter().partition(|job| !is_named(services, job.service));
    let (given, mut own): (Vec<Job>, Vec<Job>) = named.into_iter().partition(|job| job.given.is_some());
    for Job { service, given, .. } in &given {
        env::check(service.variable(), given.as_deref().unwrap_or_default())?;
        eprintln!("{}: not started, {} says where it is", service.name(), service.variable());
    }
    install::ensure(|| own.iter().flat_map(|job| job.engine.missing(&job.place)).collect())?;
    lay_out(&mut own, given.iter().chain(&others))?;
    let result = each(&mut own, |job| {
        let step = Step::start(format!("starting {}", job.service.name()));
        engine::up(job.engine.as_ref(), &mut job.place, &step)?;
        step.done(&format!("ready at {}", addresses(&job.place.servers)));
        Ok(())
    });
    let mut variables = variables(given.iter().chain(&own))?;
    let all = [variables.clone(), self::variables(&others)?].concat();
    env::store(folder, &all)?;
    variables.sort();
    result.map(|()| variables)
}

/// What is there of some services.
fn variables<'a>(jobs: impl IntoIterator<Item = &'a Job>) -> anyhow::Result<Vec<Variable>> {
    jobs.into_iter().filter_map(|job| job.variable().transpose()).collect()
}

/// A line for each service: whether it runs, where, and where its data is.
///
/// # Errors
/// If what is known of one cannot be read.
pub fn status(folder: &Path) -> anyhow::Result<Vec<String>> {
    let mut lines = Vec::new();
    for Job { service, engine, place, given } in Job::all(folder, Fsync::default())? {
        let running: Vec<&Server> = place.servers.iter().filter(|server| server.is_running()).collect();
        let answering = running.iter().filter(|server| engine.ask(&place, server).is_ok()).count();
        let state = state(given.is_some(), place.servers.len(), running.len(), answering);
        let pids = running.iter().filter_map(|server| server.process.as_ref());
        let pids = pids.map(|process| process.pid.to_string()).collect::<Vec<_>>().join(",");
        let address = if given.is_some() { format!("${}", service.variable()) } else { addresses(&place.servers) };
        lines.push(format!(
            "{}: {state}; at {}; pid {}; data in {}",
            service.name(),
            or_none(&address),
            or_none(&pids),
            place.folder.display()
        ));
    }
    Ok(lines)
}

/// Stops what [`up`] has started of the named services, or of all if none is named. The data stays, or is removed too with `purge`.
///
/// # Errors
/// If one cannot be stopped.
pub fn down(folder: &Path, services: &[Service], purge: bool) -> anyhow::Result<()> {
    let _lock = lock(folder)?;
    let (mut named, others): (Vec<Job>, Vec<Job>) =
        Job::all(folder, Fsync::default())?.into_iter().partition(|job| is_named(services, job.service));
    let result = each(&mut named, |job| {
        let step = Step::start(format!("stopping {}", job.service.name()));
        let ran = job.place.any_running();
        engine::down(job.engine.as_ref(), &mut job.place)?;
        if purge {
            job.place.purge()?;
        }
        let purged = if purge { ", its data removed" } else { "" };
        step.done(&format!("{}{purged}", if ran { "stopped" } else { "did not run" }));
        Ok(())
    });
    env::store(folder, &variables(named.iter().chain(&others))?)?;
    result
}

/// Does the same with all at once. All are tried; what failed is told together.
fn each(jobs: &mut [Job], task: impl Fn(&mut Job) -> anyhow::Result<()> + Sync) -> anyhow::Result<()> {
    let failures: Vec<String> = std::thread::scope(|scope| {
        let task = &task;
        let threads: Vec<_> = jobs.iter_mut().map(|job| (job.service.name(), scope.spawn(move || task(job)))).collect();
        let results = threads.into_iter().map(|(name, thread)| (name, thread.join()));
        let failure = |(name, result)| match result {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(format!("{name}: {error:#}")),
            Err(_) => Some(format!("{name}: this program has a bug")),
        };
        results.filter_map(failure).collect()
    });
    if failures.is_empty() { Ok(()) } else { bail!("{}", failures.join("\n")) }
}

/// Gives every server its ports, before any is started, and clear of those of the services that stay as they are.
fn lay_out<'a>(jobs: &mut [Job], others: impl Iterator<Item = &'a Job>) -> anyhow::Result<()> {
    let mut ports = Ports::default();
    others.flat_map(|other| &other.place.servers).for_each(|server| reserve(&mut ports, server));
    let running = jobs.iter().flat_map(|job| &job.place.servers).filter(|server| server.is_running());
    running.for_each(|server| reserve(&mut ports, server));
    for job in jobs {
        job.place.lay_out(job.engine.servers(), &mut ports)?;
        job.place.save()?;
    }
    Ok(())
}

fn reserve(ports: &mut Ports, server: &Server) {
    ports.in_use(server.port);
    ports.in_use(server.peer_port);
}

/// All are meant if none is named.
fn is_named(services: &[Service], service: Service) -> bool {
    services.is_empty() || services.contains(&service)
}

fn addresses(servers: &[Server]) -> String {
    servers.iter().map(Server::address).collect::<Vec<_>>().join(",")
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { "none" } else { text }
}

fn state(given: bool, servers: usize, running: usize, answering: usize) -> String {
    match (given, running) {
        (true, _) => "given by the environment".into(),
        (false, 0) => "stopped".into(),
        (false, _) if running < servers => format!("{running} of {servers} servers run"),
        (false, _) if answering < running => format!("runs, but {answering} of {servers} servers answer"),
        (false, _) => "runs".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_services_are_meant_if_none_is_named() {
        assert!(is_named(&[], Service::Redis));
        assert!(is_named(&[Service::Kafka, Service::Redis], Service::Redis));
        assert!(!is_named(&[Service::Kafka], Service::Redis));
    }

    #[test]
    fn the_state_tells_a_cluster_that_lost_a_server_from_one_that_runs() {
        assert_eq!(state(false, 6, 6, 6), "runs");
        assert_eq!(state(false, 6, 5, 5), "5 of 6 servers run");
        assert_eq!(state(false, 1, 1, 0), "runs, but 0 of 1 servers answer");
        assert_eq!(state(false, 0, 0, 0), "stopped");
        assert_eq!(state(true, 1, 0, 0), "given by the environment");
    }
}
