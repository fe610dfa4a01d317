//! The environment variables that tell tests where the servers are, and `target/services/env.json` with the same in it.

use std::collections::BTreeMap;
use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::time::Duration;

use anyhow::bail;

use crate::place::write;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A variable's name and value.
pub type Variable = (String, String);

/// Writes down what is there now, for tools that were not started with the variables.
///
/// # Errors
/// If it cannot be written.
pub(crate) fn store(folder: &Path, variables: &[Variable]) -> anyhow::Result<()> {
    let sorted: BTreeMap<_, _> = variables.iter().map(|(name, value)| (name, value)).collect();
    write(&folder.join("env.json"), &(serde_json::to_string_pretty(&sorted)? + "\n"))
}

/// Checks that somebody listens where a variable points; a place that cannot be told from its value is believed.
///
/// # Errors
/// If nobody does.
pub(crate) fn check(name: &str, value: &str) -> anyhow::Result<()> {
    let places: Vec<&str> = value.split(',').filter_map(place).collect();
    let listens = |place: &&str| {
        let addresses = place.to_socket_addrs().into_iter().flatten();
        addresses.into_iter().any(|address| TcpStream::connect_timeout(&address, CONNECT_TIMEOUT).is_ok())
    };
    if places.is_empty() || places.iter().any(listens) {
        return Ok(());
    }
    bail!("{name} says {}, but nobody listens there; unset it to have a server started", places.join(", "))
}

/// `scheme://user:password@host:port/path?query` → `host:port`; none if it has no port.
fn place(url: &str) -> Option<&str> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?']).next()?;
    let place = authority.rsplit('@').next()?;
    let (_, port) = place.rsplit_once(':')?;
    port.parse::<u16>().ok().map(|_| place)
}

/// A line for a shell.
pub fn export((name, value): &Variable) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.,:/@%+=".contains(c);
    if value.chars().all(plain) {
        format!("export {name}={value}")
    } else {
        format!("export {name}='{}'", value.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_a_shell_would_read_otherwise_is_quoted() {
        let export = |value: &str| export(&("A".into(), value.into()));
        assert_eq!(
            export("redis://127.0.0.1:1,redis://127.0.0.1:2"),
            "export A=redis://127.0.0.1:1,redis://127.0.0.1:2"
        );
        assert_eq!(export("postgres://h/d?a=1&b='2'"), r"export A='postgres://h/d?a=1&b='\''2'\'''");
    }

    #[test]
    fn the_place_is_found_in_a_url_without_its_password() {
        assert_eq!(place("postgres://u:p@127.0.0.1:5432/d?sslmode=disable"), Some("127.0.0.1:5432"));
        assert_eq!(place("127.0.0.1:9092"), Some("127.0.0.1:9092"));
        assert_eq!(place("postgres:///d?host=/run/postgresql"), None);
    }

    #[test]
    fn a_variable_that_points_nowhere_is_refused() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("redis://127.0.0.1:1,redis://{}", listener.local_addr().unwrap());
        check("A", &url).unwrap();
        drop(listener);
        let text = check("A", &url).unwrap_err().to_string();
        assert!(text.starts_with("A says 127.0.0.1:1, "), "{text}");
    }

    #[test]
    fn what_is_stored_can_be_read_as_json() {
        let folder = std::env::temp_dir().join(format!("greenroom-env-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        store(&folder, &[("B".into(), "2".into()), ("A".into(), "1".into())]).unwrap();
        let text = std::fs::read_to_string(folder.join("env.json")).unwrap();
        assert_eq!(text, "{\n  \"A\": \"1\",\n  \"B\": \"2\"\n}\n");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
