//! Which of several processes fires the timers of a shard.
//!
//! A lease is a key of the shard with a time to live. A process whose lease has ended while it was firing fires some timers a second
//! time, as the interface of plugins allows.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::ports::cache::{Cache, Check, Commit, CommitResult, Error, Shard, Write};

const KEY: &str = "lease";
/// How long a shard's timers wait at most for another process when theirs has died.
const LEASE_MS: u32 = 5_000;
/// A lease is made longer when it has less than this left, and asked for again so long after it was somebody else's.
const RENEW_MS: u64 = 3_000;
const ASK_MS: u64 = 500;

pub(super) struct Turns {
    key: Arc<str>,
    process: Bytes,
    known: Mutex<HashMap<Arc<str>, Known>>,
}

/// What this process knows of the lease of a shard.
#[derive(Clone, Copy)]
enum Known {
    Mine { until_ms: u64 },
    NotMine { ask_ms: u64 },
}

impl Turns {
    pub(super) fn new(process: &str) -> Self {
        Self { key: KEY.into(), process: Bytes::copy_from_slice(process.as_bytes()), known: Mutex::new(HashMap::new()) }
    }

    /// Whether this process is to fire the timers of a shard now.
    pub(super) async fn take(&self, cache: &dyn Cache, shard: &Shard, now_ms: u64) -> Result<bool, Error> {
        let known = self.known.lock().get(&shard.name).copied();
        let expected = match known {
            Some(Known::Mine { until_ms }) if until_ms > now_ms.saturating_add(RENEW_MS) => return Ok(true),
            Some(Known::NotMine { ask_ms }) if ask_ms > now_ms => return Ok(false),
            Some(Known::Mine { until_ms }) if until_ms > now_ms => Some(self.process.clone()),
            _ => None,
        };
        let write = Write::Put { key: self.key.clone(), value: self.process.clone(), ttl_ms: Some(LEASE_MS) };
        let commit = Commit {
            shard: shard.clone(),
            once: None,
            checks: vec![Check { key: self.key.clone(), expected }],
            writes: vec![write],
            events: Vec::new(),
            now_ms,
        };
        let is_mine = matches!(cache.commit(commit).await?, CommitResult::Applied(..));
        let known = match is_mine {
            true => Known::Mine { until_ms: now_ms.saturating_add(u64::from(LEASE_MS)) },
            false => Known::NotMine { ask_ms: now_ms.saturating_add(ASK_MS) },
        };
        self.known.lock().insert(shard.name.clone(), known);
        Ok(is_mine)
    }
}
