//! Room and configuration of a call, read once for each snapshot instead of once for each call.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use std::thread::LocalKey;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::{Problem, read_json, room};

/// How many snapshots an instance remembers. A room has one at a time; an entry is a few hundred bytes.
const CONTEXTS_MAX: usize = 512;

/// The room and the plugin's configuration in it, as of a call's snapshot.
#[derive(Debug, Clone)]
pub struct Context<C> {
    /// The room; none for a call that is about no room.
    pub room: Option<Rc<room::Info>>,
    /// The configuration, with the schema's defaults filled in.
    pub config: Rc<C>,
}

/// A plugin's configuration in a room: a type that is a [`config`](crate::config).
pub trait Config: DeserializeOwned + JsonSchema + 'static {
    /// The snapshots that this instance has seen.
    fn contexts() -> &'static LocalKey<Contexts<Context<Self>>>;
}

impl<C: DeserializeOwned> Context<C> {
    /// Asks the host: two host calls.
    ///
    /// # Errors
    /// If the configuration is not what the plugin expects, which its schema should have refused.
    pub fn read() -> Result<Self, Problem> {
        let config = configuration(&room::configuration())?;
        Ok(Self { room: room::get_info().map(Rc::new), config: Rc::new(config) })
    }
}

/// Reads a configuration as the host gives it.
pub(crate) fn configuration<C: DeserializeOwned>(json: &str) -> Result<C, Problem> {
    read_json(json.as_bytes())
        .map_err(|e| Problem::failed(format!("the configuration is not what the plugin expects: {e}")))
}

impl<C> Context<C> {
    /// The room.
    ///
    /// # Errors
    /// If the call is about none.
    pub fn room(&self) -> Result<&room::Info, Problem> {
        self.room.as_deref().ok_or_else(|| Problem::invalid("this is only possible in a room"))
    }
}

/// The snapshots that an instance has seen, oldest forgotten first.
#[derive(Debug)]
pub struct Contexts<T> {
    seen: RefCell<BTreeMap<u64, Rc<T>>>,
}

impl<T> Contexts<T> {
    /// None seen yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { seen: RefCell::new(BTreeMap::new()) }
    }

    /// What was made for this `request.context` before, or is made now.
    ///
    /// # Errors
    /// Those of `make`; nothing is remembered then.
    pub fn get_or_make<E>(&self, context: u64, make: impl FnOnce() -> Result<T, E>) -> Result<Rc<T>, E> {
        if let Some(known) = self.seen.borrow().get(&context) {
            return Ok(Rc::clone(known));
        }
        let made = Rc::new(make()?);
        let mut seen = self.seen.borrow_mut();
        if seen.len() >= CONTEXTS_MAX {
            seen.pop_first();
        }
        seen.insert(context, Rc::clone(&made));
        Ok(made)
    }
}

impl<T> Default for Contexts<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_read_once_and_the_oldest_is_forgotten() {
        let contexts = Contexts::new();
        let mut reads = 0;
        for _ in 0..3 {
            let value: Result<_, ()> = contexts.get_or_make(7, || {
                reads += 1;
                Ok(reads)
            });
            assert_eq!(*value.unwrap(), 1);
        }
        for context in 8..8 + CONTEXTS_MAX as u64 {
            contexts.get_or_make(context, || Ok::<_, ()>(0)).unwrap();
        }
        assert_eq!(contexts.seen.borrow().len(), CONTEXTS_MAX);
        assert_eq!(*contexts.get_or_make(7, || Ok::<_, ()>(2)).unwrap(), 2);
    }

    #[test]
    fn a_failure_is_not_remembered() {
        let contexts = Contexts::new();
        assert_eq!(contexts.get_or_make(1, || Err::<i32, _>("away")), Err("away"));
        assert_eq!(contexts.get_or_make(1, || Ok::<_, ()>(5)), Ok(Rc::new(5)));
    }
}
