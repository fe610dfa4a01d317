//! `wasi:keyvalue`: the standard interface over the plugin's own keys. A bucket is a shard.

use std::sync::Arc;

use wasmtime::component::Resource;

use super::cache::{NAME_BYTES_MAX, VALUE_BYTES_MAX, shard_of};
use super::{length, size};
use crate::plugin::bindings::wasi::keyvalue::store::{Error, Host, HostBucket, KeyResponse};
use crate::plugin::state::State;
use crate::ports::cache::{self as port, Commit, CommitResult, Shard, Write};
use greenroom_manifest::Grant;

const PAGE: usize = 1_000;

/// A shard that a guest has opened. An instance has at most 1,024 at a time.
pub(crate) struct Bucket {
    shard: Shard,
}

impl Host for State {
    async fn open(&mut self, identifier: String) -> wasmtime::Result<Result<Resource<Bucket>, Error>> {
        self.enter()?;
        if self.granted(Grant::Cache).is_err() {
            return Ok(Err(Error::AccessDenied));
        }
        if let Err(reason) = length("identifier", &identifier, NAME_BYTES_MAX) {
            return Ok(Err(Error::Other(reason)));
        }
        let shard = shard_of(self, &identifier);
        Ok(match self.table.push(Bucket { shard }) {
            Ok(bucket) => Ok(bucket),
            Err(error) => Err(Error::Other(format!("too many open buckets: {error}"))),
        })
    }
}

impl HostBucket for State {
    async fn get(&mut self, bucket: Resource<Bucket>, key: String) -> wasmtime::Result<Result<Option<Vec<u8>>, Error>> {
        self.enter()?;
        let shard = opened(self, &bucket)?;
        Ok(read(self, &shard, &key).await.map(|value| value.map(Into::into)))
    }

    async fn set(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<(), Error>> {
        self.enter()?;
        let shard = opened(self, &bucket)?;
        if let Err(reason) = size("value", value.len(), VALUE_BYTES_MAX) {
            return Ok(Err(Error::Other(reason)));
        }
        Ok(change(self, shard, &key, |key| Write::Put { key, value: value.into(), ttl_ms: None }).await)
    }

    async fn delete(&mut self, bucket: Resource<Bucket>, key: String) -> wasmtime::Result<Result<(), Error>> {
        self.enter()?;
        let shard = opened(self, &bucket)?;
        Ok(change(self, shard, &key, |key| Write::Delete { key }).await)
    }

    async fn exists(&mut self, bucket: Resource<Bucket>, key: String) -> wasmtime::Result<Result<bool, Error>> {
        self.enter()?;
        let shard = opened(self, &bucket)?;
        Ok(read(self, &shard, &key).await.map(|value| value.is_some()))
    }

    async fn list_keys(
        &mut self,
        bucket: Resource<Bucket>,
        cursor: Option<String>,
    ) -> wasmtime::Result<Result<KeyResponse, Error>> {
        self.enter()?;
        let shard = opened(self, &bucket)?;
        let now_ms = self.ports.clock.now_ms();
        let keys = match self.ports.cache.keys(&shard, cursor.as_deref(), PAGE, now_ms).await {
            Ok(keys) => keys,
            Err(error) => return Ok(Err(error.into())),
        };
        let cursor = if keys.len() < PAGE { None } else { keys.last().map(|key| key.as_ref().into()) };
        Ok(Ok(KeyResponse { keys: keys.iter().map(|key| key.as_ref().into()).collect(), cursor }))
    }

    async fn drop(&mut self, bucket: Resource<Bucket>) -> wasmtime::Result<()> {
        self.table.delete(bucket)?;
        Ok(())
    }
}

fn opened(state: &State, bucket: &Resource<Bucket>) -> wasmtime::Result<Shard> {
    Ok(state.table.get(bucket)?.shard.clone())
}

async fn read(state: &mut State, shard: &Shard, key: &str) -> Result<Option<bytes::Bytes>, Error> {
    length("key", key, NAME_BYTES_MAX).map_err(Error::Other)?;
    Ok(state.ports.cache.get(shard, key, state.ports.clock.now_ms()).await?)
}

async fn change(
    state: &mut State,
    shard: Shard,
    key: &str,
    write: impl FnOnce(Arc<str>) -> Write,
) -> Result<(), Error> {
    length("key", key, NAME_BYTES_MAX).map_err(Error::Other)?;
    let writes = vec![write(key.into())];
    let now_ms = state.ports.clock.now_ms();
    let commit = Commit { shard, once: None, checks: Vec::new(), writes, events: Vec::new(), now_ms };
    let cache = Arc::clone(&state.ports.cache);
    if let CommitResult::Applied(_, position) = cache.commit(commit).await? {
        state.call.reached(position);
    }
    Ok(())
}

impl From<port::Error> for Error {
    fn from(error: port::Error) -> Self {
        Error::Other(error.to_string())
    }
}
