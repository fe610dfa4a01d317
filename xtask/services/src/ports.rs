//! Ports on loopback that nobody listens on.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Context;

/// Below the ports that Linux gives to outgoing connections, one of which could otherwise hold a stopped server's port.
const PORTS: Range<u16> = 20_000..32_000;

/// Those of all that the tests of this process start, so that no two are given the same.
static OF_TESTS: Mutex<Ports> = Mutex::new(Ports { taken: BTreeSet::new() });

/// A port on loopback for a server of a test, which has it also while it is stopped: it is given to nobody else in this process, and no
/// outgoing connection has it.
///
/// # Errors
/// If none is free.
pub fn port_of_a_test() -> anyhow::Result<u16> {
    of_tests().choose()
}

pub(crate) fn of_tests() -> MutexGuard<'static, Ports> {
    OF_TESTS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The ports that are spoken for in this run, used or not.
#[derive(Debug, Default)]
pub(crate) struct Ports {
    taken: BTreeSet<u16>,
}

impl Ports {
    /// Leaves a port to a server that had it before; false if it is spoken for, or somebody else listens on it.
    pub(crate) fn keep(&mut self, port: u16) -> bool {
        is_free(port) && self.taken.insert(port)
    }

    /// Leaves a port to a server that is using it.
    pub(crate) fn in_use(&mut self, port: u16) {
        self.taken.insert(port);
    }

    /// Chooses a free one; different runs begin at different places, so that two trees seldom meet.
    ///
    /// # Errors
    /// If there is none.
    pub(crate) fn choose(&mut self) -> anyhow::Result<u16> {
        let random = RandomState::new().hash_one(());
        let port = first_free(random, |port| !self.taken.contains(&port) && is_free(port))
            .with_context(|| format!("no port of {PORTS:?} is free"))?;
        self.taken.insert(port);
        Ok(port)
    }
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// The first free port from a random place on, around the end.
fn first_free(random: u64, mut is_free: impl FnMut(u16) -> bool) -> Option<u16> {
    let len = PORTS.len();
    let start = usize::try_from(random % len as u64).unwrap_or_default();
    PORTS.cycle().skip(start).take(len).find(|port| is_free(*port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_search_goes_around_the_end() {
        let last = u64::from(PORTS.end - PORTS.start) - 1;
        assert_eq!(first_free(last, |_| true), Some(PORTS.end - 1));
        assert_eq!(first_free(last, |port| port < PORTS.end - 1), Some(PORTS.start));
        assert_eq!(first_free(7, |_| false), None);
    }

    #[test]
    fn no_port_is_given_twice_nor_one_that_is_listened_on() {
        let mut ports = Ports::default();
        let chosen: BTreeSet<u16> = (0..20).map(|_| ports.choose().unwrap()).collect();
        assert_eq!(chosen.len(), 20);
        assert!(!ports.keep(*chosen.first().unwrap()));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        assert!(!ports.keep(listener.local_addr().unwrap().port()));
    }
}
