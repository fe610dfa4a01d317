//! A single Redis, with an append-only file.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};

use crate::engine::Engine;
use crate::install::Missing;
use crate::place::{Place, Server, write};
use crate::progress::{Step, run_quietly};

/// Sharded pub/sub and a cluster's own port came with 7.0.
const MAJOR_MIN: u32 = 7;
const ASK_TIMEOUT: Duration = Duration::from_secs(5);

/// When Redis calls `fsync` on its append-only file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Fsync {
    /// After every write, before it is answered.
    Always,
    /// Once a second.
    #[default]
    Everysec,
    /// When the kernel likes.
    No,
}

impl Fsync {
    fn word(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Everysec => "everysec",
            Self::No => "no",
        }
    }
}

/// The single server.
#[derive(Debug)]
pub(crate) struct Redis {
    pub(crate) fsync: Fsync,
}

impl Engine for Redis {
    fn missing(&self, _place: &Place) -> Vec<Missing> {
        missing()
    }

    fn prepare(&self, _place: &Place, _step: &Step) -> anyhow::Result<()> {
        Ok(())
    }

    fn command(&self, place: &Place, server: &Server) -> anyhow::Result<Command> {
        command(place, server, self.fsync, "")
    }

    fn ask(&self, _place: &Place, server: &Server) -> anyhow::Result<()> {
        ping(server)
    }

    /// A server that ran already is told what a new one reads in its configuration.
    fn complete(&self, place: &Place, _step: &Step) -> anyhow::Result<()> {
        set_fsync(place, self.fsync)
    }

    fn url(&self, place: &Place) -> anyhow::Result<String> {
        Ok(format!("redis://{}", place.only()?.address()))
    }
}

/// The programs of Redis, if they are not there or too old.
pub(crate) fn missing() -> Vec<Missing> {
    let says = |program| run_quietly(Command::new(program).arg("--version"), ASK_TIMEOUT).ok();
    let server = says("redis-server").and_then(|line| major(&line)).is_some_and(|major| major >= MAJOR_MIN);
    if server && says("redis-cli").is_some() {
        return Vec::new();
    }
    vec![Missing { program: "redis-server, 7.0 or newer, and redis-cli", package: "redis-server" }]
}

/// How a server is started; `more` is added to its configuration.
///
/// # Errors
/// If that cannot be written.
pub(crate) fn command(place: &Place, server: &Server, fsync: Fsync, more: &str) -> anyhow::Result<Command> {
    let file = place.home(server).join("redis.conf");
    write(&file, &(configuration(server, &place.data(server), fsync)? + more))?;
    let mut command = Command::new("redis-server");
    command.arg(file).current_dir(place.data(server));
    Ok(command)
}

fn configuration(server: &Server, data: &Path, fsync: Fsync) -> anyhow::Result<String> {
    let data = data.to_str().context("Redis needs a path in UTF-8")?.replace('\\', r"\\").replace('"', "\\\"");
    let (port, fsync) = (server.port, fsync.word());
    Ok(format!(
        r#"bind 127.0.0.1
port {port}
dir "{data}"
daemonize no
appendonly yes
appendfsync {fsync}
save ""
maxmemory-policy noeviction
enable-debug-command local
"#
    ))
}

/// Asks for a PONG, which a server that still reads its file does not give.
///
/// # Errors
/// If there is none.
pub(crate) fn ping(server: &Server) -> anyhow::Result<()> {
    let answer = call(server, &["PING"])?;
    if answer == "PONG" { Ok(()) } else { bail!("PING was answered with {answer}") }
}

/// Sets it in all servers of a place.
///
/// # Errors
/// If one refuses.
pub(crate) fn set_fsync(place: &Place, fsync: Fsync) -> anyhow::Result<()> {
    place
        .servers
        .iter()
        .try_for_each(|server| call(server, &["CONFIG", "SET", "appendfsync", fsync.word()]).map(|_| ()))
}

/// One command, on a connection of its own; the answer as text.
///
/// # Errors
/// If there is none, or an error.
pub(crate) fn call(server: &Server, command: &[&str]) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect_timeout(&server.address().parse()?, ASK_TIMEOUT)?;
    stream.set_read_timeout(Some(ASK_TIMEOUT))?;
    let words = command.iter().map(|word| format!("${}\r\n{word}\r\n", word.len()));
    let request = format!("*{}\r\n{}", command.len(), words.collect::<String>());
    stream.write_all(request.as_bytes())?;
    read_reply(&mut BufReader::new(stream)).with_context(|| format!("{} to {}", command.join(" "), server.address()))
}

/// A reply that is a text or a number; longer kinds are not asked for here.
fn read_reply(reader: &mut impl BufRead) -> anyhow::Result<String> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let line = line.trim_end();
    match line.split_at_checked(1) {
        Some(("+" | ":", text)) => Ok(text.to_owned()),
        Some(("-", error)) => bail!("{error}"),
        Some(("$", len)) => {
            let mut text = vec![0; len.parse()?];
            reader.read_exact(&mut text)?;
            Ok(String::from_utf8(text)?)
        }
        _ => bail!("the answer {line:?} is not known"),
    }
}

/// `Redis server v=7.0.15 sha=…` → 7.
fn major(version: &str) -> Option<u32> {
    version.split_once("v=")?.1.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_what_redis_prints() {
        assert_eq!(major("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64"), Some(7));
        assert_eq!(major("redis"), None);
    }

    #[test]
    fn the_configuration_holds_any_path_and_what_was_asked_for() {
        let server = Server { name: String::new(), port: 20_001, peer_port: 0, process: None };
        let text = configuration(&server, Path::new("/a \"b\"/c"), Fsync::Always).unwrap();
        assert!(text.contains("port 20001\ndir \"/a \\\"b\\\"/c\"\n"), "{text}");
        assert!(text.contains("appendonly yes\nappendfsync always\n"), "{text}");
        assert!(text.starts_with("bind 127.0.0.1\n"), "{text}");
    }

    #[test]
    fn replies_are_read_to_their_end_and_errors_told() {
        let read = |text: &str| read_reply(&mut text.as_bytes());
        assert_eq!(read("+PONG\r\n").unwrap(), "PONG");
        assert_eq!(read("$6\r\na:1\r\nb\r\n").unwrap(), "a:1\r\nb");
        assert_eq!(read("-LOADING wait\r\n").unwrap_err().to_string(), "LOADING wait");
        assert!(read("").is_err() && read("$9\r\nshort\r\n").is_err() && read("*1\r\n").is_err());
    }
}
