//! Rows of plugins' tables that are kept in memory: the answers of the statements that a manifest calls `remembered`.
//!
//! What a plugin writes makes all of them forgotten, here at once and on the other hosts as soon as they hear of it. An announcement may be
//! lost, so nothing is kept for longer than [`KEPT_MS`]. Bounded by the statements of the installed plugins, and each by the bounds of an
//! answer.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::ports::db::Value;

/// With the way of an answer to whoever asked, a change is in force within a second even if nobody tells of it.
const KEPT_MS: u64 = 900;

type Rows = Arc<Vec<Vec<Value>>>;

/// The rows by plugin and SQL.
#[derive(Default)]
pub(crate) struct RememberedRows {
    kept: Mutex<HashMap<(Arc<str>, String), Kept>>,
    /// Grows whenever all are forgotten.
    generation: AtomicU64,
}

struct Kept {
    rows: Rows,
    until_ms: u64,
}

/// What was not there, and may be put there if nothing was written since.
pub(crate) struct Missing(u64);

impl RememberedRows {
    /// The rows of a statement, if they are remembered.
    pub(crate) fn get(&self, plugin: &Arc<str>, sql: &str, now_ms: u64) -> Result<Rows, Missing> {
        let generation = self.generation.load(Ordering::Acquire);
        let kept = self.kept.lock();
        let found = kept.get(&(Arc::clone(plugin), sql.to_owned()));
        // A clock that was set back makes them old, too.
        let fresh = found.filter(|kept| now_ms < kept.until_ms && kept.until_ms <= now_ms.saturating_add(KEPT_MS));
        fresh.map(|kept| Arc::clone(&kept.rows)).ok_or(Missing(generation))
    }

    /// Remembers what was read after it was found missing at this time.
    pub(crate) fn put(&self, Missing(generation): Missing, plugin: &Arc<str>, sql: &str, rows: Rows, now_ms: u64) {
        let mut kept = self.kept.lock();
        if self.generation.load(Ordering::Acquire) == generation {
            let until_ms = now_ms.saturating_add(KEPT_MS);
            kept.insert((Arc::clone(plugin), sql.to_owned()), Kept { rows, until_ms });
        }
    }

    /// Forgets everything, also what is being read now.
    pub(crate) fn forget(&self) {
        let mut kept = self.kept.lock();
        self.generation.fetch_add(1, Ordering::AcqRel);
        kept.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(number: i64) -> Rows {
        Arc::new(vec![vec![Value::Integer(number)]])
    }

    #[test]
    fn rows_are_remembered_until_somebody_writes_or_their_time_is_over() {
        let (remembered, plugin) = (RememberedRows::default(), Arc::<str>::from("gift"));
        let missing = remembered.get(&plugin, "a", 0).unwrap_err();
        remembered.put(missing, &plugin, "a", rows(1), 0);
        assert_eq!(remembered.get(&plugin, "a", KEPT_MS - 1).ok(), Some(rows(1)));
        assert!(remembered.get(&plugin, "a", KEPT_MS).is_err());
        assert!(remembered.get(&Arc::from("other"), "a", 0).is_err());
        remembered.forget();
        assert!(remembered.get(&plugin, "a", 1).is_err());
    }

    #[test]
    fn what_was_read_before_a_change_is_not_remembered_after_it() {
        let (remembered, plugin) = (RememberedRows::default(), Arc::<str>::from("gift"));
        let missing = remembered.get(&plugin, "a", 0).unwrap_err();
        remembered.forget();
        remembered.put(missing, &plugin, "a", rows(1), 0);
        assert!(remembered.get(&plugin, "a", 0).is_err());
    }
}
