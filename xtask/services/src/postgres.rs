//! PostgreSQL with the database `greenroom`, and a user of the same name and a password of its own.
//!
//! PostgreSQL refuses to run as root; there it runs as the user `postgres` that Debian's package makes. That user must reach the
//! data wherever the tree lies, so it is allowed to pass the folders on the way if it could not otherwise.

use std::os::unix::fs::{OpenOptionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};

use crate::apt::is_root;
use crate::engine::Engine;
use crate::install::Missing;
use crate::place::{Place, Server};
use crate::progress::{Step, run_quietly};

/// User and database.
const NAME: &str = "greenroom";
/// Whose rights the server has when this is root.
const SYSTEM_USER: &str = "postgres";
const DEBIAN: &str = "/usr/lib/postgresql";
const MISSING: Missing = Missing { program: "initdb, postgres and psql of PostgreSQL", package: "postgresql" };
const INIT_TIMEOUT: Duration = Duration::from_secs(120);
const ASK_TIMEOUT: Duration = Duration::from_secs(10);
/// Above what Linux gives to any process.
const NO_PROCESS: u32 = 4_194_305;
/// Several hosts with a pool each, and the tests beside them.
const CONNECTIONS_MAX: u32 = 300;

/// The server.
#[derive(Debug)]
pub(crate) struct Postgres;

impl Engine for Postgres {
    fn missing(&self, _place: &Place) -> Vec<Missing> {
        if programs().is_some() { Vec::new() } else { vec![MISSING] }
    }

    /// Into a folder that gets its name when it is whole.
    fn prepare(&self, place: &Place, step: &Step) -> anyhow::Result<()> {
        let data = place.data(place.only()?);
        if data.join("PG_VERSION").is_file() {
            return release(place.only()?, &data.join("postmaster.pid"));
        }
        step.note("making the database's files");
        let owner = owner()?;
        give(&place.folder, owner)?;
        let password = place.folder.join("password");
        make_password(&password)?;
        give(&password, owner)?;
        let new = place.folder.join("data.new");
        if new.exists() {
            std::fs::remove_dir_all(&new).with_context(|| format!("cannot remove {}", new.display()))?;
        }
        let mut init = program("initdb", &place.folder)?;
        init.args(["--username", NAME, "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--no-sync"]);
        init.arg("--pwfile").arg(&password).arg("--pgdata").arg(&new);
        run_quietly(&mut init, INIT_TIMEOUT)?;
        // Only what is empty gives way: nothing that somebody may need is ever removed here.
        std::fs::rename(&new, &data).with_context(|| format!("cannot make {}", data.display()))
    }

    fn command(&self, place: &Place, server: &Server) -> anyhow::Result<Command> {
        let mut command = program("postgres", &place.folder)?;
        command.arg("-D").arg(place.data(server));
        for setting in settings(server) {
            command.args(["-c", &setting]);
        }
        Ok(command)
    }

    fn ask(&self, place: &Place, server: &Server) -> anyhow::Result<()> {
        query(place, server, "SELECT 1").map(|_| ())
    }

    fn complete(&self, place: &Place, _step: &Step) -> anyhow::Result<()> {
        let server = place.only()?;
        if query(place, server, &format!("SELECT 1 FROM pg_database WHERE datname = '{NAME}'"))?.trim() != "1" {
            query(place, server, &format!("CREATE DATABASE {NAME}"))?;
        }
        Ok(())
    }

    /// At "TERM" it would wait for its clients to leave.
    fn stop_signal(&self) -> &'static str {
        "INT"
    }

    fn url(&self, place: &Place) -> anyhow::Result<String> {
        let address = place.only()?.address();
        Ok(format!("postgres://{NAME}:{}@{address}/{NAME}", password(place)?))
    }
}

/// Lets go of the lock of a server that was killed, whose process is still listed because nobody has asked how it ended:
/// PostgreSQL takes that for a server that runs. The number is replaced by one that no process can have; the rest of the file
/// stays, so that PostgreSQL still finds processes that such a server has left behind.
fn release(server: &Server, lock: &Path) -> anyhow::Result<()> {
    let ended = server.process.as_ref().filter(|process| !process.is_running());
    let (Some(ended), Ok(text)) = (ended, std::fs::read_to_string(lock)) else { return Ok(()) };
    match released(&text, ended.pid) {
        // Written in place: the file keeps its owner.
        Some(text) => std::fs::write(lock, text).with_context(|| format!("cannot write {}", lock.display())),
        None => Ok(()),
    }
}

/// The lock's text without its owner's number, if the owner is `ended`.
fn released(lock: &str, ended: u32) -> Option<String> {
    let (owner, rest) = lock.split_once('\n')?;
    (owner.parse() == Ok(ended)).then(|| format!("{NO_PROCESS}\n{rest}"))
}

fn settings(server: &Server) -> Vec<String> {
    let port = server.port;
    vec![
        format!("port={port}"),
        "listen_addresses=127.0.0.1".into(),
        // The path of a socket may have 107 bytes, and a tree may lie deeper.
        "unix_socket_directories=".into(),
        format!("max_connections={CONNECTIONS_MAX}"),
        "log_line_prefix=%m [%p] %u ".into(),
        "log_lock_waits=on".into(),
    ]
}

fn query(place: &Place, server: &Server, statement: &str) -> anyhow::Result<String> {
    let programs = programs().context("psql is missing")?;
    let mut psql = Command::new(programs.join("psql"));
    psql.env("PGPASSWORD", password(place)?).env("PGCONNECT_TIMEOUT", "5");
    psql.args([
        "-X",
        "-A",
        "-t",
        "-q",
        "-h",
        "127.0.0.1",
        "-p",
        &server.port.to_string(),
        "-U",
        NAME,
        "-d",
        "postgres",
    ]);
    run_quietly(psql.args(["-c", statement]), ASK_TIMEOUT)
}

fn password(place: &Place) -> anyhow::Result<String> {
    let file = place.folder.join("password");
    let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(text.trim().to_owned())
}

/// Chooses one, which nobody but the server's user and this one can read.
fn make_password(file: &Path) -> anyhow::Result<()> {
    use std::io::Write as _;
    let random = std::fs::read_to_string("/proc/sys/kernel/random/uuid").context("this needs Linux's /proc")?;
    let mut options = std::fs::OpenOptions::new();
    options.create(true).write(true).truncate(true).mode(0o600);
    let mut file = options.open(file).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(writeln!(file, "{}", random.trim())?)
}

/// The folder of the newest PostgreSQL: Debian's, else that of the `initdb` on the path.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir(DEBIAN).into_iter().flatten().flatten();
    let version = |folder: &PathBuf| folder.file_name()?.to_str()?.parse::<u32>().ok();
    let mut debian: Vec<PathBuf> =
        versions.map(|entry| entry.path()).filter(|folder| version(folder).is_some()).collect();
    debian.sort_by_key(|folder| std::cmp::Reverse(version(folder)));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).collect::<Vec<_>>();
    let mut folders = debian.into_iter().map(|folder| folder.join("bin")).chain(on_path);
    folders.find(|folder| ["initdb", "postgres", "psql"].iter().all(|name| folder.join(name).is_file()))
}

/// A program of PostgreSQL, run by a user that it accepts.
fn program(name: &str, folder: &Path) -> anyhow::Result<Command> {
    let program = programs().with_context(|| format!("{name} is missing"))?.join(name);
    let mut command = if is_root() { as_system_user(&program, folder)? } else { Command::new(&program) };
    command.current_dir(folder);
    Ok(command)
}

fn as_system_user(program: &Path, folder: &Path) -> anyhow::Result<Command> {
    let base = || {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", SYSTEM_USER, "--regid", SYSTEM_USER, "--init-groups"]);
        command
    };
    let mut command = base();
    if run_quietly(base().args(["test", "-x"]).arg(folder), ASK_TIMEOUT).is_err() {
        command.args(["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]);
    }
    command.arg(program);
    Ok(command)
}

/// Whom the files must belong to; none for whom they belong to anyway.
fn owner() -> anyhow::Result<Option<u32>> {
    if !is_root() {
        return Ok(None);
    }
    let id = run_quietly(Command::new("id").args(["-u", SYSTEM_USER]), ASK_TIMEOUT);
    let id = id.with_context(|| format!("PostgreSQL does not run as root, and there is no user {SYSTEM_USER}"))?;
    match id.trim().parse() {
        Ok(id) => Ok(Some(id)),
        Err(_) => bail!("id answered {id}"),
    }
}

fn give(path: &Path, owner: Option<u32>) -> anyhow::Result<()> {
    let Some(owner) = owner else { return Ok(()) };
    chown(path, Some(owner), None).with_context(|| format!("cannot give {} to {SYSTEM_USER}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_listens_on_loopback_alone() {
        let server = Server { name: String::new(), port: 20_003, peer_port: 0, process: None };
        let settings = settings(&server);
        for expected in ["port=20003", "listen_addresses=127.0.0.1", "unix_socket_directories="] {
            assert!(settings.iter().any(|setting| setting == expected), "{settings:?}");
        }
    }

    #[test]
    fn only_the_lock_of_the_server_that_was_killed_is_released() {
        let lock = "41\n/data\n1795245249\n20003\n\n127.0.0.1\n  2687127      5\nready   \n";
        assert_eq!(released(lock, 41).unwrap(), lock.replacen("41", "4194305", 1));
        assert_eq!(released(lock, 42), None);
        assert_eq!(released("", 41), None);
    }

    #[test]
    fn a_password_is_chosen_anew_and_kept_from_others() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = std::env::temp_dir().join(format!("greenroom-postgres-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let place = Place { folder: folder.clone(), servers: Vec::new() };
        let chosen = [(); 2].map(|()| {
            make_password(&folder.join("password")).unwrap();
            password(&place).unwrap()
        });
        assert_ne!(chosen[0], chosen[1]);
        assert_eq!(std::fs::metadata(folder.join("password")).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
