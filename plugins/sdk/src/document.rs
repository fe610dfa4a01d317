//! A value that is read as a whole and changed by compare-and-set.

use std::marker::PhantomData;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Problem, Step, cache, read_json};

/// How often an edit is made up anew because somebody else was faster.
const TRIES: usize = 16;

/// A JSON value of at most 64 KiB under one key of the cache. Whoever changes it sees what the others have written: nothing is lost.
#[derive(Debug, Clone)]
pub struct Document<T> {
    shard: String,
    key: String,
    ttl: Duration,
    of: PhantomData<fn() -> T>,
}

impl<T: Serialize + DeserializeOwned> Document<T> {
    /// The one of that key in that shard. It is forgotten `ttl` after its last change (at most 49 days).
    #[must_use]
    pub fn new(shard: impl Into<String>, key: impl Into<String>, ttl: Duration) -> Self {
        Self { shard: shard.into(), key: key.into(), ttl, of: PhantomData }
    }

    /// As it is now; none if it is not there.
    ///
    /// # Errors
    /// As the cache has them, or if another version of the plugin wrote what this one cannot read.
    pub fn read(&self) -> Result<Option<T>, Problem> {
        cache::get(&self.shard, &self.key)?.map(|bytes| self.parse(&bytes)).transpose()
    }

    /// A step that writes it, and is stopped at check 0 if it is there.
    ///
    /// # Errors
    /// If it cannot be written as JSON.
    pub fn create(&self, value: &T) -> Result<Step, Problem> {
        self.step().absent(self.key.clone()).put(self.key.clone(), value, None)
    }

    /// Changes it: `edit` gets what is there, and gives what is to be there, or none to leave it. It may be called several times, so it does
    /// nothing else. Gives what was written; none if it was left.
    ///
    /// # Errors
    /// Those of `edit`, as the cache has them, and 503 if others were faster 16 times.
    pub fn edit(&self, mut edit: impl FnMut(Option<T>) -> Result<Option<T>, Problem>) -> Result<Option<T>, Problem> {
        for _ in 0..TRIES {
            let bytes = cache::get(&self.shard, &self.key)?;
            let found = bytes.as_deref().map(|bytes| self.parse(bytes)).transpose()?;
            let Some(value) = edit(found)? else { return Ok(None) };
            let step = self.step().expect(self.key.clone(), bytes).put(self.key.clone(), &value, None)?;
            if step.commit()?.is_ok() {
                return Ok(Some(value));
            }
        }
        Err(Problem::overloaded(format!("`{}` is being changed by others; try again", self.key)))
    }

    fn step(&self) -> Step {
        Step::in_shard(self.shard.clone()).lasting(self.ttl)
    }

    fn parse(&self, bytes: &[u8]) -> Result<T, Problem> {
        read_json(bytes).map_err(|e| Problem::failed(format!("`{}` of {}: {e}", self.key, self.shard)))
    }
}
